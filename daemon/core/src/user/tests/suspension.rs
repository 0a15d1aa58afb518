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
    assert_eq!(suspend(true).await.unwrap().suspended, Some(SuspendedBy::User));
    assert_eq!(kind(bearer().await), Some(Kind::Unauthenticated));
    assert_eq!(
        kind(setup.users.record_sign_in(vouched("alice"), &Client::default()).await),
        Some(Kind::Unauthenticated)
    );
    assert!(setup.stored(alice.user()).await.session_generation > session_generation);
    assert_eq!(suspend(false).await.unwrap().suspended, None);
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

/// Attack: a helper with `user.update` suspends the administrators, or lets one in again whom
/// another administrator suspended.
#[tokio::test]
async fn suspending_and_lifting_need_all_that_the_other_holds() {
    let setup = Setup::new().await;
    let root = setup.member("root", &[]).await;
    let helper = setup.member("helper", &["helper"]).await;
    let admin = setup.member("admin", &["admin"]).await;
    let bound = setup.member("bound", &["acme"]).await;
    let auditor = setup.member("auditor", &["auditor"]).await;
    let set = async |by: &Member, whom: &Member, suspended| {
        let grant = authorize_suspension(by, whom.user())?;
        setup.users.set_suspended(grant, suspended).await.map(|view| view.suspended)
    };
    for whom in [&root, &admin, &bound, &auditor] {
        for suspended in [true, false] {
            let refused = set(&helper, whom, suspended).await.unwrap_err();
            assert_eq!(refused.kind(), Kind::Forbidden, "{whom:?}");
            assert_eq!(refused.fields()[0].message, "This user holds more than you do.");
        }
        assert_eq!(setup.stored(whom.user()).await.suspended, None);
    }
    assert_eq!(set(&root, &admin, true).await.unwrap(), Some(SuspendedBy::User));
    assert_eq!(kind(set(&helper, &admin, false).await), Some(Kind::Forbidden));
    assert_eq!(set(&root, &admin, false).await.unwrap(), None);
    // Who holds no more may be suspended, and let in again.
    let peer = setup.member("peer", &["helper"]).await;
    let nothing = setup.member("nothing", &[]).await;
    for whom in [&peer, &nothing] {
        assert_eq!(set(&helper, whom, true).await.unwrap(), Some(SuspendedBy::User));
        assert_eq!(set(&helper, whom, false).await.unwrap(), None);
    }
}

/// Attack: an administrator of the vault lets in whom an operator suspended.
#[tokio::test]
async fn an_operators_suspension_is_lifted_by_operators_alone() {
    let setup = Setup::new().await;
    let root = setup.member("root", &[]).await;
    let alice = setup.member("alice", &[]).await;
    let set = async |suspended| {
        let grant = authorize_suspension(&root, alice.user()).unwrap();
        setup.users.set_suspended(grant, suspended).await.map(|view| view.suspended)
    };
    let leases = &setup.world.leases;
    leases.suspend(operator(), alice.subject(), false).await.unwrap();
    assert_eq!(setup.stored(alice.user()).await.suspended, Some(SuspendedBy::Operator));
    let refused = set(false).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.fields()[0].place().as_str()),
        (Kind::Forbidden, "suspended")
    );
    // To suspend once more does not make it the administrator's own.
    assert_eq!(set(true).await.unwrap(), Some(SuspendedBy::Operator));
    assert_eq!(kind(set(false).await), Some(Kind::Forbidden));
    leases.resume(operator(), alice.subject()).await.unwrap();
    assert_eq!(setup.stored(alice.user()).await.suspended, None);
    // An operator takes an administrator's suspension over, and lifts it.
    set(true).await.unwrap();
    leases.suspend(operator(), alice.subject(), false).await.unwrap();
    assert_eq!(kind(set(false).await), Some(Kind::Forbidden));
    leases.resume(operator(), alice.subject()).await.unwrap();
    set(true).await.unwrap();
    leases.resume(operator(), alice.subject()).await.unwrap();
    assert_eq!(kind(leases.resume(operator(), alice.subject()).await), Some(Kind::NotFound));
}

/// An issuer with a slash at its end is the one without: a subject that is suspended under either
/// spelling is suspended under both.
#[tokio::test]
async fn spellings_of_an_issuer_with_and_without_a_slash_are_one() {
    let setup = Setup::new().await;
    let root = setup.member("root", &[]).await;
    let alice = setup.member("alice", &[]).await;
    let leases = &setup.world.leases;
    let records = &setup.world.ground().records;
    let [bare, slashed] = alice.subject().spellings();
    for (suspended, resumed) in [(&bare, &slashed), (&slashed, &bare)] {
        leases.suspend(operator(), suspended, false).await.unwrap();
        for spelling in [&bare, &slashed] {
            assert!(records.is_suspended(spelling).await.unwrap());
        }
        assert_eq!(setup.stored(alice.user()).await.suspended, Some(SuspendedBy::Operator));
        let again = setup.users.record_sign_in(vouched("alice"), &Client::default()).await;
        assert_eq!(kind(again), Some(Kind::Unauthenticated));
        assert_eq!(leases.suspensions(operator()).await.unwrap().len(), 1);
        let grant = authorize_suspension(&root, alice.user()).unwrap();
        let lifted = setup.users.set_suspended(grant, false).await;
        assert_eq!(kind(lifted), Some(Kind::Forbidden));
        leases.resume(operator(), resumed).await.unwrap();
        assert!(!records.is_suspended(suspended).await.unwrap());
        assert_eq!(setup.stored(alice.user()).await.suspended, None);
        assert_eq!(leases.suspensions(operator()).await.unwrap(), []);
    }
}

/// A misspelt name must not count as suspended: the user goes on.
#[tokio::test]
async fn who_was_never_seen_is_suspended_only_on_demand() {
    let setup = Setup::new().await;
    let alice = setup.member("alice", &[]).await;
    let leases = &setup.world.leases;
    let misspelt = Subject { subject: "alicia".into(), ..alice.subject().clone() };
    let elsewhere = Subject { issuer: "https://op.exmaple".into(), ..alice.subject().clone() };
    for unseen in [&misspelt, &elsewhere] {
        let refused = leases.suspend(operator(), unseen, false).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::NotFound);
        assert!(refused.public().contains("--unseen"), "{refused}");
        assert_eq!(leases.suspensions(operator()).await.unwrap(), []);
        leases.suspend(operator(), unseen, true).await.unwrap();
        assert_eq!(leases.suspensions(operator()).await.unwrap()[0].subject, *unseen);
        leases.resume(operator(), unseen).await.unwrap();
        assert_eq!(kind(leases.resume(operator(), unseen).await), Some(Kind::NotFound));
    }
    leases.suspend(operator(), alice.subject(), false).await.unwrap();
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
