use std::time::Duration;

use crate::caller::{Client, Interface};
use crate::catalogue::Service;
use crate::doubles::{self, IssueStep, PROVIDER, caller};
use crate::error::Kind;
use crate::ids::ProviderId;
use crate::ports::plugins::Parameter;
use crate::rules::Rules;
use crate::secret::Secret;
use crate::testing::{HOUR, SECOND, World, id, kind, options};

#[tokio::test]
async fn the_list_shows_what_the_user_may_see() {
    let closed = |name, hide| Service { rules: Rules::default(), hide, ..doubles::service(name) };
    let services = vec![
        closed("hidden", true),
        closed("closed", false),
        Service { display_priority: Some(1), limit: Some(1), ..doubles::service("ssh") },
        Service {
            tooltip: Some("ask Bob".into()),
            pass_access_token: true,
            ..doubles::service("broken")
        },
    ];
    let world = World::with(services, options()).await;
    world.plugins.unload(&id("broken"), "it does not compile");
    world.get("alice", "ssh").await.unwrap();

    let views = world.leases.services(&caller("alice")).await.unwrap();
    let names: Vec<_> = views.iter().map(|view| view.id.as_str()).collect();
    assert_eq!(names, ["ssh", "broken", "closed"]);
    let [ssh, broken, closed] = &views[..] else { panic!() };
    assert_eq!((ssh.count, ssh.limit, ssh.limit_reached), (1, Some(1), true));
    assert_eq!(ssh.description, "The service ssh");
    assert!(ssh.enabled && ssh.authorized && !ssh.pass_access_token);
    assert_eq!(ssh.parameter_sets, [Vec::<Parameter>::new()], "no set is one empty set");
    assert_eq!((broken.count, broken.limit, broken.limit_reached), (0, None, false));
    assert!(!broken.enabled && broken.authorized && broken.pass_access_token);
    assert_eq!(broken.parameter_sets.len(), 0);
    assert_eq!(broken.disabled_reason.as_deref(), Some("it does not compile"));
    assert_eq!(broken.tooltip.as_deref(), Some("ask Bob"));
    assert!(closed.enabled && !closed.authorized);
    assert_eq!(closed.tooltip, None);

    let bobs = world.leases.services(&caller("bob")).await.unwrap();
    assert_eq!((bobs[0].count, bobs[0].limit_reached), (0, false));
}

#[tokio::test]
async fn a_limit_of_zero_is_reached_from_the_start() {
    let world =
        World::with(vec![Service { limit: Some(0), ..doubles::service("ssh") }], options()).await;
    assert!(world.leases.services(&caller("alice")).await.unwrap()[0].limit_reached);
}

#[tokio::test]
async fn counters_of_more_services_than_a_page_are_all_read() {
    let names: Vec<_> = (0..260).map(|number| format!("s{number}")).collect();
    let world =
        World::with(names.iter().map(|name| doubles::service(name)).collect(), options()).await;
    for name in &names {
        world.get("alice", name).await.unwrap();
    }
    let views = world.leases.services(&caller("alice")).await.unwrap();
    assert!(views.iter().all(|view| view.count == 1));
    assert_eq!(world.listed("alice").await.len(), 260);
    world.assert_sound().await;
}

#[tokio::test]
async fn credentials_are_listed_by_age_with_their_ends() {
    let service = Service { max_lifetime: Some(2 * HOUR), ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    let start = world.now();
    for hours in [1_u32, 3] {
        world.plugins.on_issue(&id("ssh"), IssueStep::until(start + hours * HOUR));
        world.get("alice", "ssh").await.unwrap();
        world.clock.advance(SECOND);
    }
    let leases = world.leases.credentials(&caller("alice")).await.unwrap();
    assert_eq!(
        leases.iter().map(|lease| lease.created).collect::<Vec<_>>(),
        [start, start + SECOND]
    );
    let ends: Vec<_> = leases.iter().map(|lease| lease.ends.unwrap()).collect();
    assert_eq!(
        ends,
        [start + HOUR, start + SECOND + 2 * HOUR],
        "its own end or ours, whichever is earlier"
    );
    assert!(
        leases.iter().all(|lease| lease.service == id("ssh") && lease.interface == Interface::Rest)
    );
}

#[tokio::test]
async fn a_caller_without_a_valid_token_is_unauthenticated() {
    let world = World::new().await;
    let op = ProviderId::parse(PROVIDER).unwrap();
    let refused =
        world.leases.sign_in(&op, Secret::new("mallory"), Interface::Rest, Client::default()).await;
    assert_eq!(kind(refused.map(drop)), Err(Kind::Unauthenticated));
    let alice = world
        .leases
        .sign_in(&op, Secret::new("alice"), Interface::Web, Client::default())
        .await
        .unwrap();
    assert_eq!((alice.subject(), alice.interface), (caller("alice").subject(), Interface::Web));
}

#[tokio::test]
async fn providers_are_those_of_the_port() {
    let world = World::new().await;
    let op = ProviderId::parse(PROVIDER).unwrap();
    assert_eq!(world.leases.providers().len(), 1);
    assert_eq!(world.leases.provider(&op).unwrap().id, op);
    assert_eq!(world.leases.provider_by_issuer(doubles::ISSUER), Some(op));
    assert_eq!(world.leases.provider_by_issuer("https://other.example"), None);
}

#[tokio::test]
async fn a_net_below_the_host_keeps_the_time() {
    let world = World::new().await;
    let never = world.leases.bounded(std::future::pending::<()>(), Duration::from_secs(30));
    assert_eq!(world.in_time(never).await, None);
    assert_eq!(world.leases.bounded(async { 7 }, Duration::ZERO).await, Some(7));
}

/// A task that dies leaves its caller with an error, not with a wait.
#[tokio::test]
async fn work_that_dies_is_an_error() {
    let world = World::new().await;
    let died = world
        .ground()
        .detached::<()>("die", Box::pin(async { panic!("it dies here on purpose") }))
        .await;
    assert_eq!(kind(died), Err(Kind::Internal));
}

/// Readiness stayed green while reads of the store failed.
#[tokio::test]
async fn readiness_knows_of_a_store_that_fails() {
    let world = World::new().await;
    world.leases.start().await.unwrap();
    assert_eq!(world.leases.readiness(), Vec::<String>::new());
    world.store.fail_next(doubles::Fault::Unavailable);
    world.get("alice", "ssh").await.unwrap_err();
    let reasons = world.leases.readiness().join(" ");
    assert!(reasons.contains("commits to the store fail"), "{reasons}");
    world.run(60 * SECOND).await;
    assert_eq!(world.leases.readiness(), Vec::<String>::new());
    // From now on nothing can be read.
    world.store.stop_after(0);
    world.leases.credentials(&caller("alice")).await.unwrap_err();
    let reasons = world.leases.readiness().join(" ");
    assert!(reasons.contains("reads of the store fail"), "{reasons}");
    world.run(600 * SECOND).await;
    assert!(world.leases.readiness().join(" ").contains("reads of the store"), "it goes on");
}
