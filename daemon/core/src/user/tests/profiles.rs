//! Sign-ins and profiles.

use super::*;

#[tokio::test]
async fn the_first_sign_in_creates_a_user_and_later_ones_keep_the_overrides() {
    let setup = Setup::new().await;
    let member = setup.member("alice", &[]).await;
    let view = setup.users.me(&member).await.unwrap();
    assert_eq!((view.login.as_str(), view.name.as_str()), ("alice", "alice"));
    assert_eq!((view.email.as_deref(), view.created), (Some("alice@example.org"), view.updated));

    let change = ProfileChange { name: Some(" Alice A. ".into()), image: None };
    setup.world.clock.advance(SECOND);
    let view =
        setup.users.change_profile(authorize_profile(&member).unwrap(), &change).await.unwrap();
    assert_eq!((view.name.as_str(), view.updated), ("Alice A.", view.created + SECOND));

    let mut again = vouched("alice");
    again.claims.insert("name".into(), "Another Name".into());
    again.claims.insert("email".into(), "new@example.org".into());
    again.claims.insert("picture".into(), "https://op.example.org/alice.png".into());
    assert_eq!(setup.users.record_sign_in(again, &Client::default()).await.unwrap(), member.user());
    let view = setup.users.me(&member).await.unwrap();
    assert_eq!((view.name.as_str(), view.email.as_deref()), ("Alice A.", Some("new@example.org")));
    assert_eq!(view.image.as_deref(), Some("https://op.example.org/alice.png"));

    let none = ProfileChange { name: None, image: Some(None) };
    let view =
        setup.users.change_profile(authorize_profile(&member).unwrap(), &none).await.unwrap();
    assert_eq!((view.name.as_str(), view.image), ("Alice A.", None));
    let commits = setup.world.store.commits();
    let nothing = ProfileChange::default();
    setup.users.change_profile(authorize_profile(&member).unwrap(), &nothing).await.unwrap();
    assert_eq!(setup.world.store.commits(), commits, "an empty change writes nothing");
}

/// Attack: another provider, or another user, claims the mail address of alice.
#[tokio::test]
async fn a_user_is_identified_by_issuer_and_subject_never_by_email() {
    let setup = Setup::new().await;
    let alice = setup.users.record_sign_in(vouched("alice"), &Client::default()).await.unwrap();
    let mut elsewhere = vouched("alice");
    elsewhere.subject.issuer = "https://evil.example".into();
    let mut other = vouched("mallory");
    other.claims.insert("email".into(), "alice@example.org".into());
    for stranger in [elsewhere, other] {
        assert_ne!(setup.users.record_sign_in(stranger, &Client::default()).await.unwrap(), alice);
    }
}

#[tokio::test]
async fn every_problem_of_a_profile_is_found() {
    let setup = Setup::new().await;
    let member = setup.member("alice", &[]).await;
    for (name, image, places) in [
        (Some("  "), Some("ftp://x"), vec!["name", "image"]),
        (Some("a\u{202e}b"), None, vec!["name"]),
        (None, Some("https://user@x/"), vec!["image"]),
    ] {
        let change = ProfileChange {
            name: name.map(str::to_owned),
            image: image.map(|url| Some(url.to_owned())),
        };
        let refused = setup
            .users
            .change_profile(authorize_profile(&member).unwrap(), &change)
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid);
        assert_eq!(refused.fields().iter().map(FieldProblem::place).collect::<Vec<_>>(), places);
    }
    let narrow = doubles::member_with_scopes(&member, &["user.read"]);
    assert_eq!(kind(authorize_profile(&narrow)), Some(Kind::Forbidden));
}
