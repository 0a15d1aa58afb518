use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::access::operator;
use crate::caller::{Caller, Interface};
use crate::catalogue::Service;
use crate::doubles::{self, Call, Effect, Fault, Gate, IssueStep, RevokeStep, caller};
use crate::error::Kind;
use crate::leases::Options;
use crate::leases::handoff::Handoff;
use crate::ports::Clock as _;
use crate::ports::audit::{Action, Actor, Outcome, Who};
use crate::ports::plugins::{BrokenHow, IssueCall, MAX_STATE_BYTES, Parameter, Refusal};
use crate::ports::providers::ProviderView;
use crate::rules::Rules;
use crate::secret::Secret;
use crate::testing::{DAY, HOUR, SECOND, World, id, kind, options};

fn refusal(retry_after: Option<Duration>) -> Refusal {
    Refusal { user: "sorry".into(), retry_after }
}

fn issue_call(world: &World) -> IssueCall {
    let calls = world.plugins.calls().into_iter().filter_map(|call| match call {
        Call::Issue(call) => Some(call),
        Call::Revoke(_) => None,
    });
    calls.last().unwrap()
}

fn revoke_call(world: &World) -> crate::ports::plugins::RevokeCall {
    let calls = world.plugins.calls().into_iter().filter_map(|call| match call {
        Call::Revoke(call) => Some(call),
        Call::Issue(_) => None,
    });
    calls.last().unwrap()
}

async fn limited(limit: u32) -> World {
    let service = Service { limit: Some(limit), ..doubles::service("ssh") };
    World::with(vec![service], options()).await
}

#[tokio::test]
async fn a_credential_is_issued_listed_and_collected_once() {
    let world = World::new().await;
    let alice = caller("alice");
    let handoff = world.issue(&alice, "ssh").await.unwrap();
    assert_eq!(
        kind(world.leases.collect(&caller("bob"), handoff).await.map(drop)),
        Err(Kind::NotFound)
    );
    let Handoff::Credential { id: lease, entries } =
        world.leases.collect(&alice, handoff).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(entries.len(), 1);
    assert_eq!(kind(world.leases.collect(&alice, handoff).await.map(drop)), Err(Kind::NotFound));

    assert_eq!(world.listed("alice").await, [lease]);
    assert_eq!(world.listed("bob").await, []);
    assert_eq!((world.count("alice", "ssh").await, world.count("bob", "ssh").await), (1, 0));
    assert_eq!(world.things(), [lease.to_string()]);
    world.assert_sound().await;

    let events = world.events().await;
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.action, event.target.lease, event.outcome.clone()))
        .collect();
    assert_eq!(
        seen,
        [
            (Action::Issue, Some(lease), Outcome::Done),
            (Action::Collect, Some(lease), Outcome::Done)
        ]
    );
    for event in events {
        assert!(
            matches!(&event.actor, Some(Actor { who: Who::User(who, Interface::Rest), .. }) if who == alice.subject())
        );
        assert_eq!(
            (event.target.service, event.target.subject.as_ref()),
            (Some(id("ssh")), Some(alice.subject()))
        );
    }
}

#[tokio::test]
async fn it_takes_two_commits_to_issue_and_one_to_hand_out() {
    let world = World::new().await;
    let before = world.store.commits();
    world.get("alice", "ssh").await.unwrap();
    // The first seal reserves a block of the keyring's budget.
    world.get("alice", "ssh").await.unwrap();
    assert_eq!(world.store.commits() - before, 2 * 3 + 1);
}

#[tokio::test]
async fn the_store_never_sees_an_entry_or_a_secure_parameter() {
    let world = World::new().await;
    world.plugins.on_issue(
        &id("ssh"),
        IssueStep::Make {
            state: Some("state-canary".into()),
            expires_at: None,
            revoke_with: Some("revoke-canary".into()),
        },
    );
    world.get("alice", "ssh").await.unwrap();
    for (_, value) in world.store.dump("") {
        for canary in
            [&b"secret of"[..], b"state-canary", b"revoke-canary", b"alice", b"op.example"]
        {
            assert!(!value.windows(canary.len()).any(|part| part == canary));
        }
    }
}

#[tokio::test]
async fn unknown_and_disabled_services_and_strangers_are_turned_away() {
    let closed = Service { rules: Rules::default(), ..doubles::service("closed") };
    let world = World::with(vec![doubles::service("ssh"), closed], options()).await;
    world.plugins.unload(&id("ssh"), "it does not compile");
    let ask = |service: &'static str| {
        kind(world.leases.authorize_issue(&caller("alice"), service).map(drop))
    };
    assert_eq!(ask("none"), Err(Kind::Disabled));
    assert_eq!(ask("ssh"), Err(Kind::Disabled));
    assert_eq!(ask("closed"), Err(Kind::Forbidden));
    let events = world.events().await;
    assert_eq!(events.len(), 1, "who may not is audited");
    assert!(matches!(&events[0].outcome, Outcome::Refused(_)));
    assert_eq!(events[0].target.service, Some(id("closed")));
}

#[tokio::test]
async fn the_plugin_gets_what_was_asked_and_the_token_only_where_granted() {
    let day = Service { max_lifetime: Some(DAY), ..doubles::service("plain") };
    let trusted = Service { pass_access_token: true, ..doubles::service("trusted") };
    let world = World::with(vec![day, trusted], options()).await;
    let alice = Caller { access_token: Some(Arc::new(Secret::new("token"))), ..caller("alice") };

    let handoff = world.issue(&alice, "plain").await.unwrap();
    let Handoff::Credential { id: lease, .. } =
        world.leases.collect(&alice, handoff).await.unwrap()
    else {
        panic!()
    };
    let call = issue_call(&world);
    assert_eq!((call.service, call.lease), (id("plain"), lease));
    assert_eq!(call.not_after, Some(world.now() + DAY));
    assert!(call.user.access_token.is_none() && call.additional_logins.is_empty());
    assert_eq!(call.user.identity, alice.identity);

    world.issue(&alice, "trusted").await.unwrap();
    let call = issue_call(&world);
    assert!(call.user.access_token.unwrap().verify(b"token"));
    assert_eq!(call.not_after, None);
}

#[tokio::test]
async fn parameters_are_judged_before_anything_happens() {
    let world = World::new().await;
    let parameter = |key: &str, secure| Parameter {
        key: key.into(),
        label: String::new(),
        help: String::new(),
        kind: "text".into(),
        choices: Vec::new(),
        required: true,
        secure,
        default: None,
    };
    world.load("ssh", |loaded| {
        loaded.offer.parameter_sets = vec![vec![parameter("a", false), parameter("b", true)]]
    });
    let ask = async |given: Value| {
        let Value::Object(given) = given else { panic!() };
        let grant = world.leases.authorize_issue(&caller("alice"), "ssh").unwrap();
        kind(world.leases.issue(grant, given).await.map(drop))
    };
    assert_eq!(ask(json!({"a": "x"})).await, Err(Kind::Invalid));
    assert_eq!(
        ask(json!({"a": "x".repeat(9000), "b": "x"})).await,
        Err(Kind::Invalid),
        "too large to keep"
    );
    assert_eq!(world.store.dump("lease/").len(), 0);
    assert_eq!(
        ask(json!({"a": "x", "b": "x".repeat(9000)})).await,
        Ok(()),
        "secure ones are not kept"
    );
    let keys: Vec<_> = issue_call(&world).parameters.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "b"]);

    let lease = world.listed("alice").await[0];
    world.revoke("alice", lease).await.unwrap();
    let kept: Vec<_> = revoke_call(&world).parameters.into_iter().map(|(key, _)| key).collect();
    assert_eq!(kept, ["a"]);
}

#[tokio::test]
async fn a_revocation_gets_the_claims_that_the_plugin_read() {
    let world = World::new().await;
    world.plugins.reads(&id("ssh"), &["groups"]);
    let lease = world.get("alice", "ssh").await.unwrap();
    world.revoke("alice", lease).await.unwrap();
    let call = revoke_call(&world);
    assert_eq!(call.user.claims().keys().collect::<Vec<_>>(), ["groups"]);
    assert_eq!(call.user.subject(), caller("alice").subject());
    assert_eq!(call.state, lease.to_string());
}

#[tokio::test]
async fn what_was_cut_short_is_cleaned_up_with_all_claims() {
    let mut world = World::new().await;
    let gate = Gate::shut();
    let make = Box::new(IssueStep::state("never returned"));
    world.plugins.on_issue(&id("ssh"), IssueStep::Answer(gate.clone(), make));
    let leases = Arc::clone(&world.leases);
    let grant = leases.authorize_issue(&caller("alice"), "ssh").unwrap();
    tokio::spawn(async move { leases.issue(grant, Map::new()).await });
    while gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.things().len(), 1);
    world.crash().await;
    assert_eq!(world.count("alice", "ssh").await, 1, "pending counts");
    assert_eq!(world.listed("alice").await, []);
    world.leases.start().await.unwrap();
    world.run(10 * 60 * SECOND).await;
    assert_eq!(world.things(), Vec::<String>::new());
    assert_eq!(world.count("alice", "ssh").await, 0);
    assert_eq!(world.revocations(), 2);
    let call = revoke_call(&world);
    assert_eq!(call.state, "");
    assert_eq!(call.user.claims(), caller("alice").identity.claims());
    world.assert_sound().await;
}

#[tokio::test]
async fn claims_that_are_too_large_refuse_the_issue_and_take_it_back() {
    let world = World::new().await;
    let alice = doubles::caller_with_claim("alice", "groups", json!("x".repeat(9000)));
    world
        .issue(&alice, "ssh")
        .await
        .expect("a large claim that the plugin does not read is no matter");

    world.plugins.reads(&id("ssh"), &["sub", "groups"]);
    let refused = world.issue(&alice, "ssh").await;
    assert_eq!(kind(refused.map(drop)), Err(Kind::Refused));
    assert_eq!(world.things().len(), 2);
    world.leases.start().await.unwrap();
    world.run(30 * SECOND).await;
    assert_eq!(world.things().len(), 1);
    assert_eq!(revoke_call(&world).user.claims().keys().collect::<Vec<_>>(), ["sub"]);
    assert_eq!(world.count("alice", "ssh").await, 1);
    world.assert_sound().await;
}

#[tokio::test]
async fn what_left_nothing_behind_leaves_nothing_behind() {
    let world = World::new().await;
    let cases = [
        (IssueStep::Refuse(refusal(None)), Kind::Refused),
        (IssueStep::Refuse(refusal(Some(9 * SECOND))), Kind::Refused),
        (IssueStep::Busy, Kind::Busy),
        (IssueStep::Login { provider: "op".into() }, Kind::LoginRequired),
        (IssueStep::Login { provider: "unknown".into() }, Kind::PluginFailed),
        (IssueStep::Login { provider: "no id at all".into() }, Kind::PluginFailed),
    ];
    for (step, expected) in cases {
        world.plugins.on_issue(&id("ssh"), step.clone());
        let error = world.issue(&caller("alice"), "ssh").await.unwrap_err();
        assert_eq!(error.kind(), expected, "{step:?}");
        match &step {
            IssueStep::Refuse(refusal) => {
                assert_eq!(error.public(), "sorry");
                assert_eq!(error.retry_hint(), refusal.retry_after);
            }
            IssueStep::Login { provider } if provider == "op" => {
                assert_eq!(
                    error.public(),
                    "The plugin of this service wants you to sign in elsewhere first."
                );
            }
            _ => {}
        }
        assert_eq!(world.count("alice", "ssh").await, 0);
        for space in ["lease/", "own/", "due/", "count/", "state/"] {
            assert_eq!(world.store.dump(space), [], "{space} after {step:?}");
        }
    }
    assert_eq!(world.actions().await, vec![Action::Issue; 6]);
}

#[tokio::test]
async fn the_web_page_is_sent_to_a_provider_that_is_ready() {
    let world = World::new().await;
    let other = |ready| ProviderView {
        id: crate::ids::ProviderId::parse("other").unwrap(),
        description: String::new(),
        issuer: "https://other.example".into(),
        ready,
        login_disabled: true,
        priority: 0,
    };
    let ask = async |interface, ready| {
        world.providers.add_provider(other(ready));
        world.plugins.on_issue(&id("ssh"), IssueStep::Login { provider: "other".into() });
        let user = Caller { interface, ..caller("alice") };
        let handoff = world.issue(&user, "ssh").await?;
        world.leases.collect(&user, handoff).await
    };
    let Handoff::Login { provider, message } = ask(Interface::Web, true).await.unwrap() else {
        panic!()
    };
    assert_eq!((provider.as_str(), message.as_str()), ("other", "please sign in there"));
    assert_eq!(kind(ask(Interface::Web, false).await.map(drop)), Err(Kind::LoginRequired));
    assert_eq!(kind(ask(Interface::Rsp, true).await.map(drop)), Err(Kind::PluginFailed));
    assert_eq!(kind(ask(Interface::Rest, false).await.map(drop)), Err(Kind::LoginRequired));
    assert_eq!(world.count("alice", "ssh").await, 0);
}

/// A call that had sent nothing counted against its user for minutes.
#[tokio::test]
async fn a_plugin_that_breaks_before_it_sent_anything_leaves_nothing_behind() {
    for (how, expected) in [
        (BrokenHow::Timeout, Kind::PluginTimeout),
        (BrokenHow::Trap, Kind::PluginFailed),
        (BrokenHow::BadOutput, Kind::PluginFailed),
    ] {
        let world = World::new().await;
        world.leases.start().await.unwrap();
        world.plugins.on_issue(&id("ssh"), IssueStep::Break(how, Effect::Unsent));
        assert_eq!(kind(world.get("alice", "ssh").await), Err(expected));
        assert_eq!(world.count("alice", "ssh").await, 0);
        assert_eq!(world.store.dump("lease/"), []);
        world.run(10 * 60 * SECOND).await;
        assert_eq!(world.revocations(), 0);
        world.assert_sound().await;
    }
}

#[tokio::test]
async fn a_plugin_that_breaks_is_cleaned_up_after_also_when_its_request_lands_late() {
    for effect in [Effect::None, Effect::Done, Effect::Late] {
        for (how, expected) in [
            (BrokenHow::Timeout, Kind::PluginTimeout),
            (BrokenHow::Trap, Kind::PluginFailed),
            (BrokenHow::BadOutput, Kind::PluginFailed),
        ] {
            let world = World::new().await;
            world.leases.start().await.unwrap();
            world.plugins.on_issue(&id("ssh"), IssueStep::Break(how, effect));
            assert_eq!(kind(world.get("alice", "ssh").await), Err(expected));
            assert_eq!(world.count("alice", "ssh").await, 1, "it is unknown yet");
            assert_eq!(world.listed("alice").await, []);
            world.run(55 * SECOND).await;
            assert_eq!(world.revocations(), 0, "due after settle");
            world.run(10 * SECOND).await;
            assert_eq!(world.revocations(), 1);
            assert_eq!(world.count("alice", "ssh").await, 1, "one ok is not enough");
            // A request that was under way lands after the first revocation.
            world.plugins.land();
            world.run(120 * SECOND).await;
            assert_eq!(world.revocations(), 2);
            assert_eq!(world.count("alice", "ssh").await, 0);
            assert_eq!(world.things(), Vec::<String>::new(), "{effect:?} {how:?}");
            world.assert_sound().await;
        }
    }
}

/// The operator who looks after a lease learns why its issue or its revocation broke off.
#[tokio::test]
async fn the_last_words_of_a_plugin_stay_with_the_lease() {
    let world = World::new().await;
    world.plugins.on_issue(&id("ssh"), IssueStep::Break(BrokenHow::Trap, Effect::Done));
    assert_eq!(kind(world.get("alice", "ssh").await), Err(Kind::PluginFailed));
    let alice = doubles::identity("alice");
    let leases = world.leases.ground.records.leases_of(alice.subject(), None).await.unwrap();
    let words: Vec<_> = leases.into_iter().map(|lease| lease.value.last_words).collect();
    assert_eq!(words, [Some("scripted: Trap".to_owned())]);
}

#[tokio::test]
async fn a_state_that_cannot_be_revoked_by_counts_as_a_bad_answer() {
    for state in [String::new(), "x".repeat(MAX_STATE_BYTES + 1)] {
        let world = World::new().await;
        world.plugins.on_issue(&id("ssh"), IssueStep::state(&state));
        assert_eq!(kind(world.get("alice", "ssh").await), Err(Kind::PluginFailed));
        world.leases.start().await.unwrap();
        world.run(5 * 60 * SECOND).await;
        assert_eq!(world.things(), Vec::<String>::new());
        assert_eq!(world.count("alice", "ssh").await, 0);
    }
    let world = World::new().await;
    world.plugins.on_issue(&id("ssh"), IssueStep::state(&"\u{1}".repeat(MAX_STATE_BYTES)));
    world.get("alice", "ssh").await.expect("the longest state, of the most awkward characters");
}

#[tokio::test]
async fn the_same_state_is_the_same_credential_where_that_is_allowed() {
    let service = Service {
        allow_same_state: true,
        limit: Some(2),
        max_lifetime: Some(DAY),
        ..doubles::service("ssh")
    };
    let world = World::with(vec![service], options()).await;
    let end = |hours: u32| Some(world.clock.now() + hours * HOUR);
    let make =
        |ends| IssueStep::Make { state: Some("same".into()), expires_at: ends, revoke_with: None };
    world.plugins.on_issue(&id("ssh"), make(end(1)));
    let first = world.get("alice", "ssh").await.unwrap();
    let created = world.leases.credentials(&caller("alice")).await.unwrap()[0].created;

    for (hours, later) in [(3, 3), (2, 3)] {
        world.clock.advance(60 * SECOND);
        world.plugins.on_issue(&id("ssh"), make(Some(created + hours * HOUR)));
        assert_eq!(world.get("alice", "ssh").await.unwrap(), first);
        let leases = world.leases.credentials(&caller("alice")).await.unwrap();
        assert_eq!(leases.len(), 1);
        assert_eq!((leases[0].created, leases[0].ends), (created, Some(created + later * HOUR)));
        assert_eq!(world.count("alice", "ssh").await, 1);
        world.assert_sound().await;
    }
    // The limit of the later request holds too.
    world.plugins.on_issue(&id("ssh"), make(None));
    world.get("alice", "ssh").await.unwrap();
    let ends = world.leases.credentials(&caller("alice")).await.unwrap()[0].ends;
    assert_eq!(ends, Some(created + 120 * SECOND + DAY));

    // Another user has a lease of their own.
    world.plugins.on_issue(&id("ssh"), make(None));
    assert_ne!(world.get("bob", "ssh").await.unwrap(), first);
    assert_eq!((world.count("alice", "ssh").await, world.count("bob", "ssh").await), (1, 1));
    assert_eq!(world.revocations(), 0);
    world.assert_sound().await;
}

/// Attack: a credential of the plugin that is behind the service now is recorded as one of the
/// plugin that was there before, which nothing can revoke any more, and goes on when its time is
/// over.
#[tokio::test]
async fn a_lease_of_another_plugin_does_not_lend_its_state() {
    let service = Service { allow_same_state: true, ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    world.plugins.on_issue(&id("ssh"), IssueStep::state("same"));
    let first = world.get("alice", "ssh").await.unwrap();
    world.load("ssh", |loaded| {
        loaded.plugin.name = crate::ids::PluginName::parse("another").unwrap()
    });
    world.plugins.on_issue(&id("ssh"), IssueStep::state("same"));
    assert_eq!(kind(world.get("alice", "ssh").await), Err(Kind::Conflict));
    assert_eq!(world.listed("alice").await, [first]);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_secret_for_the_revocation_follows_the_newest_issue() {
    let service = Service { allow_same_state: true, ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    let make = |secret: Option<&str>| IssueStep::Make {
        state: Some("same".into()),
        expires_at: None,
        revoke_with: secret.map(str::to_owned),
    };
    for secret in [None, Some("first"), Some("second"), None] {
        world.plugins.on_issue(&id("ssh"), make(secret));
        world.get("alice", "ssh").await.unwrap();
        world.assert_sound().await;
    }
    let lease = world.listed("alice").await[0];
    world.revoke("alice", lease).await.unwrap();
    assert!(revoke_call(&world).revoke_with.unwrap().verify(b"second"));
    assert_eq!(world.store.dump("revoke-with/"), [], "gone with the lease");
}

#[tokio::test]
async fn a_state_that_is_taken_is_an_error_and_nothing_is_revoked_by_it() {
    let world = World::new().await;
    let make = || IssueStep::state("same");
    world.plugins.on_issue(&id("ssh"), make());
    let first = world.get("alice", "ssh").await.unwrap();
    world.plugins.on_issue(&id("ssh"), make());
    assert_eq!(kind(world.get("alice", "ssh").await), Err(Kind::Conflict));
    world.leases.start().await.unwrap();
    world.run(10 * 60 * SECOND).await;
    assert_eq!(world.revocations(), 0);
    assert_eq!(world.things(), ["same"]);
    assert_eq!(world.listed("alice").await, [first]);
    assert_eq!(world.count("alice", "ssh").await, 1);
    world.assert_sound().await;
    world.revoke("alice", first).await.unwrap();
    world.plugins.on_issue(&id("ssh"), make());
    world.get("alice", "ssh").await.expect("what was revoked is free again");
}

/// A plugin whose state is always the same served the first user alone.
#[tokio::test]
async fn a_plugin_with_a_constant_state_serves_every_user() {
    let world = World::new().await;
    for user in ["alice", "bob"] {
        world.plugins.on_issue(&id("ssh"), IssueStep::state("constant"));
        world.get(user, "ssh").await.unwrap();
        world.plugins.on_issue(&id("ssh"), IssueStep::state("constant"));
        assert_eq!(kind(world.get(user, "ssh").await), Err(Kind::Conflict));
    }
    assert_eq!((world.count("alice", "ssh").await, world.count("bob", "ssh").await), (1, 1));
    world.assert_sound().await;
    let [lease] = world.listed("alice").await[..] else { panic!() };
    world.revoke("alice", lease).await.unwrap();
    assert_eq!((world.count("alice", "ssh").await, world.count("bob", "ssh").await), (0, 1));
    world.assert_sound().await;
}

#[tokio::test]
async fn states_of_different_services_are_different() {
    let world =
        World::with(vec![doubles::service("ssh"), doubles::service("web")], options()).await;
    for service in ["ssh", "web"] {
        world.plugins.on_issue(&id(service), IssueStep::state("same"));
        world.get("alice", service).await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_that_is_being_revoked_does_not_lend_its_state() {
    let service = Service { allow_same_state: true, ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    world.plugins.on_issue(&id("ssh"), IssueStep::state("same"));
    let first = world.get("alice", "ssh").await.unwrap();
    world.plugins.on_revoke(&id("ssh"), RevokeStep::Break(BrokenHow::Timeout, Effect::None));
    world.revoke("alice", first).await.unwrap_err();
    world.plugins.on_issue(&id("ssh"), IssueStep::state("same"));
    assert_eq!(kind(world.get("alice", "ssh").await), Err(Kind::Conflict));
    assert_eq!(world.stage(first).await, "revoking");
    world.assert_sound().await;
}

#[tokio::test]
async fn the_limit_is_exact_for_many_at_once_on_every_round() {
    for round in 0..6 {
        let world = Arc::new(limited(3).await);
        let asks: Vec<_> = (0..200)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { kind(world.issue(&caller("alice"), "ssh").await) })
            })
            .collect();
        let mut issued = 0;
        for ask in asks {
            match ask.await.unwrap() {
                Ok(_) => issued += 1,
                Err(kind) => assert_eq!(kind, Kind::LimitReached, "round {round}"),
            }
        }
        assert_eq!(issued, 3, "round {round}");
        assert_eq!(world.things().len(), 3);
        assert_eq!(world.count("alice", "ssh").await, 3);
        world.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_limit_is_exact_for_users_side_by_side_on_several_threads() {
    let world = Arc::new(limited(3).await);
    let asks: Vec<_> = (0..200)
        .map(|n| {
            let world = Arc::clone(&world);
            let user = if n % 2 == 0 { "alice" } else { "bob" };
            tokio::spawn(async move { world.issue(&caller(user), "ssh").await.is_ok() })
        })
        .collect();
    let mut issued = 0;
    for ask in asks {
        issued += usize::from(ask.await.unwrap());
    }
    assert_eq!(issued, 6);
    assert_eq!((world.count("alice", "ssh").await, world.count("bob", "ssh").await), (3, 3));
    world.assert_sound().await;
}

/// The queue in front of a counter is a courtesy; what keeps the limit is the store.
#[tokio::test]
async fn the_limit_is_exact_for_two_daemons_over_one_store() {
    for _ in 0..3 {
        let world = limited(3).await;
        let daemons = [Arc::clone(&world.leases), world.second_daemon().await];
        let asks: Vec<_> = (0..40)
            .map(|n| {
                let leases = Arc::clone(&daemons[n % 2]);
                tokio::spawn(async move {
                    let grant = leases.authorize_issue(&caller("alice"), "ssh").unwrap();
                    leases.issue(grant, Map::new()).await.is_ok()
                })
            })
            .collect();
        let mut issued = 0;
        for ask in asks {
            issued += usize::from(ask.await.unwrap());
        }
        assert_eq!(issued, 3);
        assert_eq!(world.count("alice", "ssh").await, 3);
        world.assert_sound().await;
    }
}

#[tokio::test]
async fn a_limit_of_zero_lets_nobody() {
    let world = limited(0).await;
    assert_eq!(kind(world.get("alice", "ssh").await), Err(Kind::LimitReached));
    let events = world.events().await;
    assert!(matches!(events[0].outcome, Outcome::Refused(_)));
    assert_eq!(events[0].target.lease, None, "there never was one");
}

#[tokio::test]
async fn expired_leases_make_room_at_the_limit_without_waiting_for_the_sweeper() {
    for count in [1, 3, 8, 9, 30] {
        let world = limited(count).await;
        for _ in 0..count {
            world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + HOUR));
            world.get("alice", "ssh").await.unwrap();
        }
        assert_eq!(kind(world.get("alice", "ssh").await), Err(Kind::LimitReached));
        world.clock.advance(HOUR);
        assert_eq!(world.listed("alice").await, [], "expiry is judged when reading");
        assert_eq!(
            kind(world.get("alice", "ssh").await),
            Err(Kind::LimitReached),
            "clocks may differ by the skew"
        );
        world.clock.advance(options().skew);
        world.events().await;
        world.get("alice", "ssh").await.unwrap();
        assert_eq!(
            world.count("alice", "ssh").await,
            u64::from(count),
            "as many as needed, no more"
        );
        assert_eq!(world.actions().await, [Action::Expire, Action::Issue, Action::Collect]);
        world.assert_sound().await;
    }
}

/// Attack: a user at the limit waits for the day when the clock of the machine jumps ahead, and
/// has leases retired that have not ended.
#[tokio::test]
async fn a_clock_that_jumped_makes_no_room_at_the_limit() {
    let world = limited(1).await;
    world.leases.start().await.unwrap();
    world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + HOUR));
    let first = world.get("alice", "ssh").await.unwrap();
    let right = world.now();
    world.clock.set_wall(right + DAY);
    assert_eq!(kind(world.get("alice", "ssh").await), Err(Kind::LimitReached));
    world.clock.set_wall(right);
    assert_eq!((world.stage(first).await, world.things().len()), ("active", 1));
    world.clock.advance(2 * HOUR);
    world.get("alice", "ssh").await.unwrap();
    world.assert_sound().await;
}

#[tokio::test]
async fn a_limit_that_was_lowered_retires_in_several_steps() {
    let mut world = limited(40).await;
    for _ in 0..40 {
        world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + HOUR));
        world.get("alice", "ssh").await.unwrap();
    }
    world.clock.advance(2 * HOUR);
    world.restart_with(vec![Service { limit: Some(1), ..doubles::service("ssh") }]).await;
    world.get("alice", "ssh").await.unwrap();
    assert_eq!(world.count("alice", "ssh").await, 1);
    world.assert_sound().await;
}

#[tokio::test]
async fn too_many_at_once_are_turned_away_one_service_has_half_and_one_user_a_quarter() {
    let services = vec![doubles::service("ssh"), doubles::service("web")];
    let world = Arc::new(World::with(services, Options { max_effects: 8, ..options() }).await);
    let gate = Gate::shut();
    let mut held = Vec::new();
    for user in ["alice", "alice", "bob", "bob"] {
        let make = Box::new(IssueStep::Make { state: None, expires_at: None, revoke_with: None });
        world.plugins.on_issue(&id("ssh"), IssueStep::Wait(gate.clone(), make));
        let world = Arc::clone(&world);
        held.push(tokio::spawn(async move { world.get(user, "ssh").await }));
    }
    while gate.waiting() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(kind(world.get("carol", "ssh").await), Err(Kind::Busy));
    world.get("carol", "web").await.expect("a target that hangs leaves room for others");
    assert_eq!(kind(world.get("alice", "web").await), Err(Kind::Busy), "a user has a quarter");
    gate.open();
    for held in held {
        held.await.unwrap().unwrap();
    }
    world.get("carol", "ssh").await.unwrap();
}

#[tokio::test]
async fn results_that_nobody_fetches_do_not_pile_up() {
    let world =
        World::with(vec![doubles::service("ssh")], Options { handoff_per_user: 2, ..options() })
            .await;
    for _ in 0..2 {
        world.issue(&caller("alice"), "ssh").await.unwrap();
    }
    assert_eq!(kind(world.issue(&caller("alice"), "ssh").await), Err(Kind::Busy));
    world.issue(&caller("bob"), "ssh").await.unwrap();
    world.clock.advance(10 * SECOND);
    world.issue(&caller("alice"), "ssh").await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_into_memory_is_taken_back() {
    let world =
        World::with(vec![doubles::service("ssh")], Options { handoff_bytes: 10, ..options() })
            .await;
    assert_eq!(kind(world.issue(&caller("alice"), "ssh").await), Err(Kind::Busy));
    world.leases.start().await.unwrap();
    world.run(30 * SECOND).await;
    assert_eq!(world.things(), Vec::<String>::new());
    assert_eq!(world.count("alice", "ssh").await, 0);
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_nothing() {
    let world = World::new().await;
    let gate = Gate::shut();
    let make = Box::new(IssueStep::state("made"));
    world.plugins.on_issue(&id("ssh"), IssueStep::Wait(gate.clone(), make));
    let grant = world.leases.authorize_issue(&caller("alice"), "ssh").unwrap();
    let mut issue = Box::pin(world.leases.issue(grant, Map::new()));
    while gate.waiting() == 0 {
        assert!(futures_util::FutureExt::now_or_never(&mut issue).is_none());
        tokio::task::yield_now().await;
    }
    drop(issue);
    gate.open();
    world.settle().await;
    assert_eq!(world.listed("alice").await.len(), 1);
    assert_eq!(world.things(), ["made"]);
}

#[tokio::test]
async fn a_plugin_that_outlives_its_time_is_cut_short_by_core_itself() {
    let world = Arc::new(World::new().await);
    world.leases.start().await.unwrap();
    let gate = Gate::shut();
    let make = Box::new(IssueStep::state("made"));
    world.plugins.on_issue(&id("ssh"), IssueStep::Answer(gate.clone(), make));
    let ask = tokio::spawn({
        let world = Arc::clone(&world);
        async move { kind(world.get("alice", "ssh").await) }
    });
    world.run(40 * SECOND).await;
    assert_eq!(ask.await.unwrap(), Err(Kind::PluginTimeout));
    world.run(5 * 60 * SECOND).await;
    assert_eq!(world.things(), Vec::<String>::new());
    world.assert_sound().await;
}

/// The deadline is judged by the wall clock: when that jumps, an answer arrives after it.
#[tokio::test]
async fn a_late_answer_is_revoked_by_what_it_says() {
    let world = Arc::new(World::new().await);
    let gate = Gate::shut();
    let make = Box::new(IssueStep::state("made"));
    world.plugins.on_issue(&id("ssh"), IssueStep::Answer(gate.clone(), make));
    let ask = tokio::spawn({
        let world = Arc::clone(&world);
        async move { kind(world.get("alice", "ssh").await) }
    });
    while gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    world.clock.set_wall(world.now() + HOUR);
    world.leases.start().await.unwrap();
    world.run(10 * SECOND).await;
    assert_eq!(world.revocations(), 0, "cut short just now");
    gate.open();
    assert_eq!(ask.await.unwrap(), Err(Kind::PluginTimeout));
    world.run(10 * SECOND).await;
    assert_eq!(revoke_call(&world).state, "made");
    assert_eq!(world.things(), Vec::<String>::new());
    assert_eq!((world.count("alice", "ssh").await, world.listed("alice").await.len()), (0, 0));
    world.assert_sound().await;
}

/// The clean-up knew of nothing; its success says nothing of what the late answer names.
#[tokio::test]
async fn a_clean_up_that_a_late_answer_overtakes_does_not_end_the_lease() {
    let world = Arc::new(World::new().await);
    world.load("ssh", |loaded| loaded.longest_call = HOUR);
    let (answer, clean_up) = (Gate::shut(), Gate::shut());
    let make = Box::new(IssueStep::state("made"));
    world.plugins.on_issue(&id("ssh"), IssueStep::Answer(answer.clone(), make));
    for _ in 0..2 {
        let remove = Box::new(RevokeStep::Remove);
        world.plugins.on_revoke(&id("ssh"), RevokeStep::Wait(clean_up.clone(), remove));
    }
    let ask = tokio::spawn({
        let world = Arc::clone(&world);
        async move { kind(world.get("alice", "ssh").await) }
    });
    while answer.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    world.clock.set_wall(world.now() + 3 * HOUR);
    world.leases.start().await.unwrap();
    while clean_up.waiting() == 0 {
        world.run(10 * SECOND).await;
    }
    assert_eq!(revoke_call(&world).state, "");
    answer.open();
    assert_eq!(ask.await.unwrap(), Err(Kind::PluginTimeout));
    clean_up.open();
    world.settle().await;
    assert_eq!(world.count("alice", "ssh").await, 1);
    world.run(10 * SECOND).await;
    assert_eq!(revoke_call(&world).state, "made");
    assert_eq!(world.count("alice", "ssh").await, 0);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_late_answer_that_names_another_leases_state_is_not_revoked_by_it() {
    let world = Arc::new(World::new().await);
    let gate = Gate::shut();
    let make = Box::new(IssueStep::state("same"));
    world.plugins.on_issue(&id("ssh"), IssueStep::Wait(gate.clone(), make));
    let ask = tokio::spawn({
        let world = Arc::clone(&world);
        async move { kind(world.get("alice", "ssh").await) }
    });
    while gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    world.plugins.on_issue(&id("ssh"), IssueStep::state("same"));
    let other = world.get("alice", "ssh").await.unwrap();
    world.clock.set_wall(world.now() + HOUR);
    world.leases.start().await.unwrap();
    world.run(10 * SECOND).await;
    gate.open();
    assert_eq!(ask.await.unwrap(), Err(Kind::PluginTimeout));
    world.run(5 * 60 * SECOND).await;
    assert_eq!(world.things(), ["same"]);
    assert_eq!(world.listed("alice").await, [other]);
    assert_eq!(world.count("alice", "ssh").await, 1, "cleaned up by its own id alone");
    world.assert_sound().await;
}

#[tokio::test]
async fn somebody_who_is_suspended_meanwhile_gets_nothing() {
    let world = Arc::new(World::new().await);
    world.leases.start().await.unwrap();
    let gate = Gate::shut();
    let make = Box::new(IssueStep::state("made"));
    world.plugins.on_issue(&id("ssh"), IssueStep::Answer(gate.clone(), make));
    let ask = tokio::spawn({
        let world = Arc::clone(&world);
        async move { kind(world.get("alice", "ssh").await) }
    });
    while gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let alice = caller("alice");
    world.leases.suspend(operator(), alice.subject(), true).await.unwrap();
    // Doomed is doomed, also when the suspension is lifted before the plugin answers.
    world.leases.resume(operator(), alice.subject()).await.unwrap();
    gate.open();
    assert_eq!(ask.await.unwrap(), Err(Kind::Unauthenticated));
    world.run(30 * SECOND).await;
    assert_eq!(world.things(), Vec::<String>::new());
    assert_eq!(world.count("alice", "ssh").await, 0);
    world.assert_sound().await;
}

/// The suspension is there, and the look for what is pending has not come to this lease yet.
#[tokio::test]
async fn a_suspension_holds_before_every_pending_lease_knows_of_it() {
    let service = Service { allow_same_state: true, ..doubles::service("ssh") };
    let world = Arc::new(World::with(vec![service], options()).await);
    world.leases.start().await.unwrap();
    world.plugins.on_issue(&id("ssh"), IssueStep::state("old"));
    let old = world.get("alice", "ssh").await.unwrap();
    let gate = Gate::shut();
    let asks = ["new", "old"].map(|state| {
        let make = Box::new(IssueStep::state(state));
        world.plugins.on_issue(&id("ssh"), IssueStep::Answer(gate.clone(), make));
        let world = Arc::clone(&world);
        tokio::spawn(async move { kind(world.get("alice", "ssh").await) })
    });
    while gate.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    let alice = caller("alice");
    let mut writing = world.ground().records.writing();
    let (subject, since) = (alice.subject().clone(), world.now());
    let by = crate::model::user::SuspendedBy::Operator;
    let suspension = crate::model::user::Suspension { subject, since, by };
    writing.suspend(&suspension).await.unwrap();
    writing.commit().await.unwrap();
    gate.open();
    let [new, same] = asks;
    assert_eq!(new.await.unwrap(), Err(Kind::Unauthenticated));
    assert_eq!(same.await.unwrap(), Err(Kind::Conflict));
    world.run(30 * SECOND).await;
    assert_eq!(world.things(), ["old"], "what they had stays");
    assert_eq!(world.stage(old).await, "active");
    assert_eq!(world.count("alice", "ssh").await, 1);
    world.assert_sound().await;
}

#[tokio::test]
async fn somebody_who_is_suspended_starts_nothing() {
    let world = World::new().await;
    let alice = caller("alice");
    let grant = world.leases.authorize_issue(&alice, "ssh").unwrap();
    world.leases.suspend(operator(), alice.subject(), true).await.unwrap();
    assert_eq!(kind(world.leases.issue(grant, Map::new()).await), Err(Kind::Unauthenticated));
    assert_eq!(world.plugins.calls().len(), 0);
    assert_eq!(world.store.dump("lease/"), []);
}

#[tokio::test]
async fn commits_of_unknown_fate_and_lost_races_change_nothing_for_the_caller() {
    let faults =
        [Fault::Conflict, Fault::Unknown { applied: true }, Fault::Unknown { applied: false }];
    for first in faults {
        for second in faults {
            let world = World::new().await;
            world.leases.start().await.unwrap();
            world.get("bob", "ssh").await.unwrap();
            // Two for the reservation, two for the record of what was made.
            for fault in [first, second] {
                world.store.fail_next(fault);
            }
            let lease = world.in_time(world.get("alice", "ssh")).await;
            let lease = lease.unwrap_or_else(|error| {
                panic!("{first:?}, {second:?}: {error} {:?}", error.cause())
            });
            assert_eq!(world.listed("alice").await, [lease]);
            assert_eq!(world.count("alice", "ssh").await, 1);
            world.assert_sound().await;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_handed_out_and_is_cleaned_up() {
    let world = World::new().await;
    world.get("bob", "ssh").await.unwrap();
    let gate = Gate::shut();
    let make = Box::new(IssueStep::state("made"));
    world.plugins.on_issue(&id("ssh"), IssueStep::Answer(gate.clone(), make));
    let world = Arc::new(world);
    let ask = tokio::spawn({
        let world = Arc::clone(&world);
        async move { kind(world.get("alice", "ssh").await) }
    });
    while gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    world.store.fail_next(Fault::Unavailable);
    gate.open();
    assert_eq!(ask.await.unwrap(), Err(Kind::Internal));
    world.leases.start().await.unwrap();
    world.run(10 * 60 * SECOND).await;
    assert_eq!(world.things().len(), 1, "bob's is all that is left");
    assert_eq!(world.count("alice", "ssh").await, 0);
    world.assert_sound().await;
}

#[tokio::test]
async fn after_the_stop_nothing_begins() {
    let world = World::new().await;
    world.leases.start().await.unwrap();
    world.leases.stop();
    assert_eq!(kind(world.get("alice", "ssh").await), Err(Kind::Busy));
    assert!(!world.leases.readiness().is_empty());
}
