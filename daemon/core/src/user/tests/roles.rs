//! Roles and the rights by them.

use super::*;

#[tokio::test]
async fn rights_follow_the_roles_as_configured_now() {
    let mut setup = Setup::new().await;
    let member = setup.member("alice", &["helper", "gone"]).await;
    assert!(member.rights().hold("user.update") && !member.rights().hold("gone.by"));
    setup.users = Users::new(
        Arc::clone(&setup.world.leases),
        Roles::new(vec![role("gone", &["gone.by"], None)]),
    );
    let later = setup.again(member.user()).await;
    assert!(!later.rights().hold("user.update"), "no longer configured");
    assert!(later.rights().hold("gone.by"), "configured again");
}

#[tokio::test]
async fn claim_roles_are_those_of_the_last_sign_in() {
    let setup = Setup::new().await;
    for (dept, holds) in [(Some("7"), true), (Some("8"), false), (Some("7"), true), (None, false)] {
        let mut vouched = vouched("alice");
        if let Some(dept) = dept {
            vouched.claims.insert("dept".into(), dept.into());
        }
        let id = setup.users.record_sign_in(vouched, &Client::default()).await.unwrap();
        assert_eq!(setup.again(id).await.rights().hold("seven.up"), holds, "{dept:?}");
    }
    let mut large = vouched("alice");
    large.claims.insert("dept".into(), "7".repeat(20_000).into());
    assert!(
        setup.users.record_sign_in(large, &Client::default()).await.is_ok(),
        "claims too large to keep grant nothing, and do not fail the sign-in"
    );
}

/// Attack: a helper assigns the role of an admin to a friend or to themselves, or removes it from
/// an admin.
#[tokio::test]
async fn a_member_cannot_assign_or_remove_roles_beyond_their_own_rights() {
    let setup = Setup::new().await;
    let root = setup.member("root", &[]).await;
    let helper = setup.member("helper", &["helper"]).await;
    let friend = setup.member("friend", &[]).await;
    let boss = setup.member("boss", &["admin", "auditor"]).await;
    for (by, to, names, refused) in [
        (&helper, &friend, &["admin"][..], Some(Kind::Forbidden)),
        (&helper, &friend, &["auditor"], Some(Kind::Forbidden)),
        (&helper, &friend, &["acme"], Some(Kind::Forbidden)),
        (&helper, &boss, &[], Some(Kind::Forbidden)),
        (&helper, &boss, &["auditor"], Some(Kind::Forbidden)),
        (&helper, &boss, &["admin", "auditor", "helper"], None),
        (&helper, &helper, &["helper", "admin"], Some(Kind::Forbidden)),
        (&root, &root, &[], Some(Kind::Forbidden)),
        (&friend, &helper, &[], Some(Kind::Forbidden)),
        (&helper, &friend, &["helper"], None),
        (&root, &friend, &["acme", "acme"], None),
        (&root, &boss, &[], None),
    ] {
        assert_eq!(kind(setup.assign(by, to, names).await), refused, "{names:?}");
    }
    assert_eq!(setup.users.me(&friend).await.unwrap().roles, ["acme"]);
    assert_eq!(
        setup.assign(&root, &friend, &["helper", "acme"]).await.unwrap(),
        ["helper", "acme"]
    );
}

/// Attack: a member with a permission at one company assigns it to others for all companies.
#[tokio::test]
async fn a_role_bound_to_companies_cannot_be_assigned_unbound() {
    let setup = Setup::new().await;
    let local = setup.member("local", &["acme"]).await;
    let rights = Rights::new(vec![
        Arc::clone(setup.users.roles.get("acme").unwrap()),
        role("assigner", &["user.roles.update"], None).role,
    ]);
    let local = doubles::member_with_rights(&local, rights);
    let friend = setup.member("friend", &[]).await;
    assert_eq!(kind(setup.assign(&local, &friend, &["auditor"]).await), Some(Kind::Forbidden));
    assert!(setup.assign(&local, &friend, &["acme"]).await.is_ok());
}

#[tokio::test]
async fn every_unknown_role_is_reported_and_so_is_an_unknown_user() {
    let setup = Setup::new().await;
    let root = setup.member("root", &[]).await;
    let friend = setup.member("friend", &[]).await;
    let refused = setup.assign(&root, &friend, &["x", "acme", "y"]).await.unwrap_err();
    assert_eq!(
        refused.fields().iter().map(FieldProblem::place).collect::<Vec<_>>(),
        ["roles.0", "roles.2"]
    );
    let unknown = doubles::member(
        UserId::from_random([9; 16]),
        friend.subject().clone(),
        &[],
        friend.rights().clone(),
    );
    assert_eq!(kind(setup.assign(&root, &unknown, &[]).await), Some(Kind::NotFound));
    let grant = authorize_suspension(&root, unknown.user()).unwrap();
    assert_eq!(kind(setup.users.set_suspended(grant, true).await), Some(Kind::NotFound));
}

#[tokio::test]
async fn a_client_learns_the_permissions_of_its_user() {
    let setup = Setup::new().await;
    let member = setup.member("alice", &["helper", "acme", "auditor"]).await;
    let lines: Vec<_> = effective_permissions(&member)
        .into_iter()
        .map(|line| format!("{} {}", line.permission, line.companies.unwrap_or_default().join(",")))
        .collect();
    assert_eq!(
        lines,
        ["company.* ", "company.* acme", "company.fetch ", "credential.* acme", "user.* "]
    );
}
