//! Lists of users.

use super::*;

#[tokio::test]
async fn users_are_listed_by_name_and_found_by_name_login_and_address() {
    let setup = Setup::new().await;
    let root = setup.member("root", &[]).await;
    for (subject, name) in [("b", "Zoë"), ("c", "alice"), ("d", "Bob Strasse"), ("e", "ALICE")] {
        let mut vouched = vouched(subject);
        vouched.claims.insert("name".into(), name.into());
        setup.users.record_sign_in(vouched, &Client::default()).await.unwrap();
    }
    let all = setup.list(&root, "").await;
    assert_eq!(
        all.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>(),
        ["alice", "alice", "bob strasse", "root", "zoë"]
    );
    assert_eq!(setup.list(&root, "  ZOË ").await, ["Zoë"]);
    assert_eq!(setup.list(&root, "straße").await, ["Bob Strasse"]);
    assert_eq!(setup.list(&root, "D@EXAMPLE").await, ["Bob Strasse"]);
    assert!(setup.list(&root, "unknown").await.is_empty());
    let second = Paging::new(2, 3).unwrap();
    let page = setup.users.list(authorize_users(&root).unwrap(), "", second).await.unwrap();
    assert_eq!((page.total, page.items.len()), (5, 2));

    let bob = setup.users.record_sign_in(vouched("d"), &Client::default()).await.unwrap();
    let change = ProfileChange { name: Some("Yves".into()), image: None };
    let grant = authorize_profile(&setup.again(bob).await).unwrap();
    setup.users.change_profile(grant, &change).await.unwrap();
    assert_eq!(setup.list(&root, "yves").await, ["Yves"], "a change is visible at once");
    let plain = setup.member("plain", &[]).await;
    assert_eq!(kind(authorize_users(&plain)), Some(Kind::Forbidden));
}
