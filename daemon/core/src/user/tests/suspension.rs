//! Suspension by a member.

use super::*;

#[tokio::test]
async fn a_suspended_user_is_suspended_in_every_dialect() {
    let setup = Setup::new().await;
    let root = setup.member("root", &[]).await;
    let alice = setup.member("alice", &[]).await;
    let provider = ProviderId::parse(PROVIDER).unwrap();
    let bearer = || {
        setup.world.leases.sign_in(
            &provider,
            Secret::new("alice"),
            Interface::Rest,
            Client::default(),
        )
    };
    let suspend = |suspended| {
        let grant = authorize_suspension(&root, alice.user()).unwrap();
        setup.users.set_suspended(grant, suspended)
    };
    assert!(bearer().await.is_ok());
    let session_generation = setup.stored(alice.user()).await.session_generation;
    assert!(suspend(true).await.unwrap().suspended);
    assert_eq!(kind(bearer().await), Some(Kind::Unauthenticated));
    assert_eq!(
        kind(setup.users.record_sign_in(vouched("alice"), &Client::default()).await),
        Some(Kind::Unauthenticated)
    );
    assert!(setup.stored(alice.user()).await.session_generation > session_generation);
    assert!(!suspend(false).await.unwrap().suspended);
    assert!(bearer().await.is_ok());
    assert_eq!(
        setup.users.record_sign_in(vouched("alice"), &Client::default()).await.unwrap(),
        alice.user()
    );
    assert_eq!(
        kind(authorize_suspension(&root, root.user())),
        Some(Kind::Forbidden),
        "no member can suspend themselves"
    );
    assert_eq!(kind(authorize_suspension(&alice, root.user())), Some(Kind::Forbidden));
}

/// A credential that is being issued when its user is suspended is revoked.
#[tokio::test]
async fn a_suspension_by_a_member_revokes_what_is_being_issued() {
    use crate::doubles::{Gate, IssueStep, caller};
    use crate::testing::id;
    let setup = Setup::new().await;
    let world = &setup.world;
    world.leases.start().await.unwrap();
    let root = setup.member("root", &[]).await;
    let alice = setup.member("alice", &[]).await;
    let gate = Gate::shut();
    world
        .plugins
        .on_issue(&id("ssh"), IssueStep::Answer(gate.clone(), Box::new(IssueStep::state("thing"))));
    let grant = world.leases.authorize_issue(&caller("alice"), "ssh").unwrap();
    let leases = Arc::clone(&world.leases);
    let issuing = tokio::spawn(async move { leases.issue(grant, serde_json::Map::new()).await });
    while gate.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    setup
        .users
        .set_suspended(authorize_suspension(&root, alice.user()).unwrap(), true)
        .await
        .unwrap();
    gate.open();
    assert_eq!(kind(issuing.await.unwrap()), Some(Kind::Unauthenticated));
    world.run(30 * SECOND).await;
    assert!(world.things().is_empty());
}
