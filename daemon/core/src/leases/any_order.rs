//! Anything, in any order: issues and revocations side by side, plugins that break in every way,
//! commits that fail, kills between any two commits, restarts, suspensions, services that vanish
//! and come back, time.
//!
//! After every step the ledger has to agree with itself: counters equal a recount, indexes name
//! exactly the records that exist, no plugin state is held twice. After recovery everything that
//! the target ever made is in the ledger or gone, and nothing that a caller was answered is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Map;

use crate::access::operator;
use crate::catalogue::Service;
use crate::doubles::{self, Effect, Fault, Gate, IssueStep, RevokeStep, caller};
use crate::ids::LeaseId;
use crate::leases::handoff::Handoff;
use crate::leases::{Leases, Options};
use crate::model::lease::{Lease, State};
use crate::ports::plugins::{BrokenHow, Refusal};
use crate::testing::{SECOND, World, id, options};

const USERS: [&str; 2] = ["alice", "bob"];
/// The second one lets a user have one state twice.
const SERVICES: [&str; 2] = ["ssh", "web"];

#[derive(Debug, Clone)]
enum Op {
    Issue { user: usize, service: usize, plugin: Issuing },
    Revoke { user: usize, nth: usize, plugin: Revoking },
    OpenGates,
    Run(u64),
    Yield(usize),
    Fail(Fault),
    KillAfter(u64),
    Restart { with_web: bool },
    Suspend { user: usize },
    Resume { user: usize },
    RetryParked,
}

#[derive(Debug, Clone)]
enum Issuing {
    Makes { shared: bool, ends_after: Option<u64>, with_secret: bool },
    Refuses,
    IsBusy,
    Breaks(BrokenHow, Effect),
    WaitsBefore,
    WaitsAfter { shared: bool },
}

#[derive(Debug, Clone)]
enum Revoking {
    Removes,
    Refuses(Option<u32>),
    IsBusy,
    Breaks(BrokenHow, Effect),
    Waits,
}

fn how() -> impl Strategy<Value = BrokenHow> {
    prop_oneof![Just(BrokenHow::Timeout), Just(BrokenHow::Trap), Just(BrokenHow::BadOutput)]
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![Just(Effect::Unsent), Just(Effect::None), Just(Effect::Done), Just(Effect::Late)]
}

fn issuing() -> impl Strategy<Value = Issuing> {
    let makes = (any::<bool>(), prop::option::of(1..400_u64), any::<bool>());
    prop_oneof![
        4 => makes.prop_map(|(shared, ends_after, with_secret)| Issuing::Makes { shared, ends_after, with_secret }),
        1 => Just(Issuing::Refuses),
        1 => Just(Issuing::IsBusy),
        3 => (how(), effect()).prop_map(|(how, effect)| Issuing::Breaks(how, effect)),
        1 => Just(Issuing::WaitsBefore),
        2 => any::<bool>().prop_map(|shared| Issuing::WaitsAfter { shared }),
    ]
}

fn revoking() -> impl Strategy<Value = Revoking> {
    prop_oneof![
        3 => Just(Revoking::Removes),
        1 => prop::option::of(1..100_u32).prop_map(Revoking::Refuses),
        1 => Just(Revoking::IsBusy),
        2 => (how(), effect()).prop_map(|(how, effect)| Revoking::Breaks(how, effect)),
        1 => Just(Revoking::Waits),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let unknown = any::<bool>().prop_map(|applied| Fault::Unknown { applied });
    prop_oneof![Just(Fault::Conflict), unknown, Just(Fault::Unavailable)]
}

fn op() -> impl Strategy<Value = Op> {
    let (user, service) = (0..USERS.len(), 0..SERVICES.len());
    prop_oneof![
        8 => (user.clone(), service, issuing()).prop_map(|(user, service, plugin)| Op::Issue { user, service, plugin }),
        5 => (user.clone(), 0..4_usize, revoking()).prop_map(|(user, nth, plugin)| Op::Revoke { user, nth, plugin }),
        2 => Just(Op::OpenGates),
        4 => (1..50_u64).prop_map(Op::Run),
        3 => (1..40_usize).prop_map(Op::Yield),
        2 => fault().prop_map(Op::Fail),
        2 => (0..6_u64).prop_map(Op::KillAfter),
        2 => any::<bool>().prop_map(|with_web| Op::Restart { with_web }),
        1 => user.clone().prop_map(|user| Op::Suspend { user }),
        1 => user.prop_map(|user| Op::Resume { user }),
        1 => Just(Op::RetryParked),
    ]
}

/// The answers that callers got.
#[derive(Default)]
struct Answers {
    /// Leases that were handed out.
    issued: BTreeMap<LeaseId, &'static str>,
    /// Leases that a caller wanted revoked, whatever came of it.
    asked: BTreeSet<LeaseId>,
    /// Leases whose revocation a caller was answered with success.
    revoked: BTreeSet<LeaseId>,
}

struct Run {
    world: World,
    answers: Arc<Mutex<Answers>>,
    gates: Vec<Gate>,
    made: u32,
    /// Names of things that end by themselves; the target of the doubles does not do that.
    mortal: BTreeSet<String>,
}

fn services(with_web: bool) -> Vec<Service> {
    let ssh = Service { limit: Some(3), ..doubles::service("ssh") };
    let web = Service { limit: Some(2), allow_same_state: true, ..doubles::service("web") };
    if with_web { vec![ssh, web] } else { vec![ssh] }
}

impl Run {
    async fn new() -> Self {
        let options = Options { sweep_every: 20 * SECOND, ..options() };
        let world = World::with(services(true), options).await;
        world.leases.start().await.unwrap();
        Self { world, answers: Arc::default(), gates: Vec::new(), made: 0, mortal: BTreeSet::new() }
    }

    fn gate(&mut self) -> Gate {
        let gate = Gate::shut();
        self.gates.push(gate.clone());
        gate
    }

    fn make(&mut self, shared: bool, ends_after: Option<u64>, with_secret: bool) -> IssueStep {
        self.made += 1;
        let state = if shared { "shared".to_owned() } else { format!("thing {}", self.made) };
        // A state that several leases may share has no end of its own: which one would it be?
        let expires_at =
            ends_after.filter(|_| !shared).map(|secs| self.world.now() + Duration::from_secs(secs));
        self.mortal.extend(expires_at.map(|_| state.clone()));
        IssueStep::Make {
            state: Some(state),
            expires_at,
            revoke_with: with_secret.then(|| "secret".to_owned()),
        }
    }

    fn issue_step(&mut self, plugin: Issuing) -> IssueStep {
        match plugin {
            Issuing::Makes { shared, ends_after, with_secret } => {
                self.make(shared, ends_after, with_secret)
            }
            Issuing::Refuses => IssueStep::Refuse(Refusal { user: "no".into(), retry_after: None }),
            Issuing::IsBusy => IssueStep::Busy,
            Issuing::Breaks(how, effect) => IssueStep::Break(how, effect),
            Issuing::WaitsBefore => {
                IssueStep::Wait(self.gate(), Box::new(self.make(false, None, false)))
            }
            Issuing::WaitsAfter { shared } => {
                IssueStep::Answer(self.gate(), Box::new(self.make(shared, None, true)))
            }
        }
    }

    fn revoke_step(&mut self, plugin: Revoking) -> RevokeStep {
        match plugin {
            Revoking::Removes => RevokeStep::Remove,
            Revoking::Refuses(retry_after) => {
                let retry_after = retry_after.map(|secs| secs * SECOND);
                RevokeStep::Refuse(Refusal { user: "no".into(), retry_after })
            }
            Revoking::IsBusy => RevokeStep::Busy,
            Revoking::Breaks(how, effect) => RevokeStep::Break(how, effect),
            Revoking::Waits => RevokeStep::Wait(self.gate(), Box::new(RevokeStep::Remove)),
        }
    }

    async fn step(&mut self, op: Op) {
        match op {
            Op::Issue { user, service, plugin } => {
                let step = self.issue_step(plugin);
                self.world.plugins.on_issue(&id(SERVICES[service]), step);
                let (leases, answers) = (Arc::clone(&self.world.leases), Arc::clone(&self.answers));
                tokio::spawn(issue(leases, answers, USERS[user], SERVICES[service]));
            }
            Op::Revoke { user, nth, plugin } => {
                let step = self.revoke_step(plugin);
                self.world.plugins.on_revoke(&id(SERVICES[nth % 2]), step);
                let (leases, answers) = (Arc::clone(&self.world.leases), Arc::clone(&self.answers));
                tokio::spawn(revoke(leases, answers, USERS[user], nth));
            }
            Op::OpenGates => self.gates.drain(..).for_each(|gate| gate.open()),
            Op::Run(secs) => {
                self.world.run(Duration::from_secs(secs)).await;
                // Less than `settle` after it was sent, whatever was under way has arrived.
                self.world.plugins.land();
            }
            Op::Yield(times) => {
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
            }
            Op::Fail(fault) => self.world.store.fail_next(fault),
            Op::KillAfter(commits) => self.world.store.stop_after(commits),
            Op::Restart { with_web } => self.restart(with_web).await,
            Op::Suspend { user } => {
                let leases = Arc::clone(&self.world.leases);
                tokio::spawn(async move {
                    leases.suspend(operator(), caller(USERS[user]).subject(), true).await
                });
            }
            Op::Resume { user } => {
                let leases = Arc::clone(&self.world.leases);
                tokio::spawn(async move {
                    leases.resume(operator(), caller(USERS[user]).subject()).await
                });
            }
            Op::RetryParked => retry_parked(&self.world.leases).await,
        }
    }

    async fn restart(&mut self, with_web: bool) {
        self.world.restart_with(services(with_web)).await;
        self.world.leases.start().await.unwrap();
    }

    /// The ledger at this very moment.
    async fn leases(&self) -> Vec<Lease> {
        let Leases { ground, ledger, .. } = &*self.world.leases;
        let frozen = ground.records.in_store(Arc::new(self.world.store.snapshot()));
        let mut leases = Vec::new();
        let found = frozen.examine(&ledger.timing, &mut |lease| leases.push(lease)).await.unwrap();
        assert_eq!(found.faults, Vec::<String>::new());
        leases
    }

    /// A last restart; from now on everything goes well.
    async fn recover(&mut self) {
        self.gates.drain(..).for_each(|gate| gate.open());
        self.world.settle().await;
        self.world.plugins.recover();
        self.restart(true).await;
        self.step(Op::Run(30)).await;
        for _ in 0..2 {
            self.world.run(20 * 60 * SECOND).await;
            retry_parked(&self.world.leases).await;
        }
        self.world.run(20 * 60 * SECOND).await;
    }
}

async fn issue(
    leases: Arc<Leases>,
    answers: Arc<Mutex<Answers>>,
    user: &'static str,
    service: &'static str,
) {
    let user_is = caller(user);
    let Ok(grant) = leases.authorize_issue(&user_is, service) else { return };
    let Ok(handoff) = leases.issue(grant, Map::new()).await else { return };
    if let Ok(Handoff::Credential { id, .. }) = leases.collect(&user_is, handoff).await {
        answers.lock().unwrap().issued.insert(id, user);
    }
}

async fn revoke(leases: Arc<Leases>, answers: Arc<Mutex<Answers>>, user: &'static str, nth: usize) {
    let user = caller(user);
    let Ok(listed) = leases.credentials(&user).await else { return };
    let Some(lease) = listed.get(nth % listed.len().max(1)).map(|lease| lease.id) else { return };
    answers.lock().unwrap().asked.insert(lease);
    let Ok(grant) = leases.authorize_revoke(&user, lease).await else { return };
    if leases.revoke(grant).await.is_ok() {
        answers.lock().unwrap().revoked.insert(lease);
    }
}

async fn retry_parked(leases: &Leases) {
    for parked in leases.parked(operator(), 100).await.unwrap_or_default() {
        let _ = leases.retry(operator(), parked.id).await;
    }
}

async fn run(ops: Vec<Op>) {
    let mut run = Run::new().await;
    for op in ops {
        run.step(op).await;
        run.leases().await;
    }
    run.recover().await;
    let leases = run.leases().await;
    let counted: BTreeMap<_, _> = leases
        .iter()
        .filter(|lease| lease.state.is_counted())
        .map(|lease| (lease.id, lease))
        .collect();

    for lease in counted.values() {
        assert!(
            matches!(lease.state, State::Active(_)),
            "recovery leaves nothing half done: {lease:?}"
        );
    }
    for thing in
        run.world.plugins.things().into_iter().filter(|thing| !run.mortal.contains(&thing.name))
    {
        let holder = counted.values().find(|lease| {
            lease.service == thing.service
                && lease.state.made().is_some_and(|made| made.state == thing.name)
        });
        assert!(holder.is_some(), "no lease holds {thing:?}");
    }
    let answers = run.answers.lock().unwrap();
    for (lease, user) in &answers.issued {
        let found = leases.iter().find(|found| found.id == *lease);
        let over = answers.asked.contains(lease)
            || found.is_some_and(|found| matches!(found.state, State::Ended { .. }));
        assert!(
            over || counted.contains_key(lease),
            "{user} got {lease}, which is lost: {found:?}"
        );
    }
    for lease in &answers.revoked {
        assert!(!counted.contains_key(lease), "a caller was answered that {lease} is gone");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_ledger_agrees_with_itself_and_with_the_target(ops in prop::collection::vec(op(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(ops));
    }
}
