//! Plugins that do what a test says, at a target that a test can look at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::{Gate, lock};
use crate::caller::Claims;
use crate::ids::{LeaseId, PluginName, ServiceId};
use crate::ports::plugins::{
    Broken, BrokenHow, CallFailure, Entry, EntryKind, IssueCall, IssueOutcome, IssueReport, Issued,
    LoadedService, NotStarted, Offer, PluginIdentity, Refusal, RevokeCall, ServicePlugins,
};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The effect on the target of a call that breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing, and the host knows that no request was sent.
    Unsent,
    /// Nothing, though a request was sent.
    None,
    /// The intended one.
    Done,
    /// Nothing yet: the request is on its way and lands with [`ScriptedPlugins::land`].
    Late,
}

/// The step of the next issue of a service. Where no step is left, the plugin makes a thing named
/// after the lease.
#[derive(Debug, Clone)]
pub enum IssueStep {
    /// Makes a thing of this name, or takes the one that is there, and answers all this.
    Make {
        /// The state; `None`: the lease's id.
        state: Option<String>,
        /// The thing's own end.
        expires_at: Option<Timestamp>,
        /// The secret that comes back at revoke.
        revoke_with: Option<String>,
    },
    /// Says no.
    Refuse(Refusal),
    /// Wants a login at that provider first.
    Login {
        /// The provider's id.
        provider: String,
    },
    /// Never starts.
    Busy,
    /// Starts and breaks.
    Break(BrokenHow, Effect),
    /// Waits for the gate, then does the step. Who stops polling meanwhile has sent nothing.
    Wait(Gate, Box<IssueStep>),
    /// Does the step, then waits for the gate with the answer. Who stops polling meanwhile leaves
    /// what was done.
    Answer(Gate, Box<IssueStep>),
}

impl IssueStep {
    /// Makes a thing of this name that stays until it is revoked.
    pub fn state(state: &str) -> Self {
        Self::Make { state: Some(state.into()), expires_at: None, revoke_with: None }
    }

    /// Makes a thing named after the lease, with an end of its own.
    pub fn until(expires_at: Timestamp) -> Self {
        Self::Make { state: None, expires_at: Some(expires_at), revoke_with: None }
    }
}

/// The step of the next revoke of a service. Where no step is left, the plugin takes the thing
/// away.
#[derive(Debug, Clone)]
pub enum RevokeStep {
    /// Takes the thing away, if it is there.
    Remove,
    /// Says no.
    Refuse(Refusal),
    /// Never starts.
    Busy,
    /// Starts and breaks.
    Break(BrokenHow, Effect),
    /// Waits for the gate, then does the step.
    Wait(Gate, Box<RevokeStep>),
}

/// Something that a plugin made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// By which service.
    pub service: ServiceId,
    /// Its name at the target: the state.
    pub name: String,
    /// For which lease.
    pub lease: LeaseId,
}

/// A call that reached a plugin.
#[derive(Debug, Clone)]
pub enum Call {
    /// An issue.
    Issue(IssueCall),
    /// A revoke.
    Revoke(RevokeCall),
}

/// The plugins of a test, and the target that they work at. A service that was not added is not
/// loaded.
#[derive(Debug, Default)]
pub struct ScriptedPlugins(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    services: BTreeMap<ServiceId, Script>,
    things: BTreeMap<(ServiceId, String), LeaseId>,
    late: Vec<Change>,
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Script {
    loaded: Result<LoadedService, String>,
    reads: Vec<String>,
    issues: VecDeque<IssueStep>,
    revokes: VecDeque<RevokeStep>,
}

/// The effect of a request on the target.
#[derive(Debug, Clone)]
enum Change {
    Make(Thing),
    RemoveNamed(ServiceId, String),
    // Without a name: whatever was made for the lease.
    RemoveOf(ServiceId, LeaseId),
}

impl State {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Make(thing) => {
                self.things.entry((thing.service, thing.name)).or_insert(thing.lease);
            }
            Change::RemoveNamed(service, name) => {
                self.things.remove(&(service, name));
            }
            Change::RemoveOf(service, lease) => {
                self.things.retain(|(by, _), of| *by != service || *of != lease);
            }
        }
    }

    fn take_effect(&mut self, effect: Effect, change: Change) {
        match effect {
            Effect::Unsent | Effect::None => {}
            Effect::Done => self.apply(change),
            Effect::Late => self.late.push(change),
        }
    }

    fn started(&self, service: &ServiceId) -> Result<(), CallFailure> {
        match self.services.get(service).map(|script| &script.loaded) {
            Some(Ok(_)) => Ok(()),
            Some(Err(why)) => Err(CallFailure::NotStarted(NotStarted::NotLoaded(why.clone()))),
            None => {
                Err(CallFailure::NotStarted(NotStarted::NotLoaded("it was never added".into())))
            }
        }
    }
}

impl ScriptedPlugins {
    /// Nothing is loaded.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loads a plugin called `scripted` for each of the services. It takes no parameters, can
    /// revoke, reads the claim `sub`, and takes 30 s at most.
    ///
    /// # Panics
    /// When one of them is no id of a service.
    #[expect(clippy::expect_used, reason = "tests name their services themselves")]
    pub fn with_services<'a>(services: impl IntoIterator<Item = &'a str>) -> Self {
        let plugins = Self::new();
        for service in services {
            plugins.load(
                &ServiceId::parse(service).expect("the id of a service"),
                Self::plugin("scripted"),
            );
        }
        plugins
    }

    /// A plugin of that name to [`ScriptedPlugins::load`].
    ///
    /// # Panics
    /// When `name` is no name of a plugin.
    #[expect(clippy::expect_used, reason = "tests name their plugins themselves")]
    pub fn plugin(name: &str) -> LoadedService {
        LoadedService {
            plugin: PluginIdentity {
                name: PluginName::parse(name).expect("the name of a plugin"),
                version: "1.0.0".into(),
                digest: "00".repeat(32),
            },
            offer: Offer { parameter_sets: Vec::new(), can_revoke: true },
            longest_call: Duration::from_secs(30),
        }
    }

    /// Loads a plugin for a service, in the place of any other; steps that are left stay.
    pub fn load(&self, service: &ServiceId, loaded: LoadedService) {
        self.script(service, |script| script.loaded = Ok(loaded));
    }

    /// Takes the plugin of a service away.
    pub fn unload(&self, service: &ServiceId, why: &str) {
        self.script(service, |script| script.loaded = Err(why.to_owned()));
    }

    /// Which claims the plugin looks at when it issues.
    pub fn reads(&self, service: &ServiceId, claims: &[&str]) {
        self.script(service, |script| {
            script.reads = claims.iter().map(|claim| (*claim).to_owned()).collect()
        });
    }

    /// Adds a step to what the service's issues do.
    pub fn on_issue(&self, service: &ServiceId, step: IssueStep) {
        self.script(service, |script| script.issues.push_back(step));
    }

    /// Adds a step to what the service's revokes do.
    pub fn on_revoke(&self, service: &ServiceId, step: RevokeStep) {
        self.script(service, |script| script.revokes.push_back(step));
    }

    /// Drops the steps that are left: from now on everything goes well.
    pub fn recover(&self) {
        for script in lock(&self.0).services.values_mut() {
            script.issues.clear();
            script.revokes.clear();
        }
    }

    /// Lets the target apply every request that is still on its way, in the order in which they
    /// were sent.
    pub fn land(&self) {
        let mut state = lock(&self.0);
        for change in std::mem::take(&mut state.late) {
            state.apply(change);
        }
    }

    /// The things at the target.
    pub fn things(&self) -> Vec<Thing> {
        let state = lock(&self.0);
        let thing = |((service, name), lease): (&(ServiceId, String), &LeaseId)| Thing {
            service: service.clone(),
            name: name.clone(),
            lease: *lease,
        };
        state.things.iter().map(thing).collect()
    }

    /// Every call that reached a plugin, in order.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.0).calls.clone()
    }

    /// Runs `change` on the script of the service, which is made where there is none.
    fn script(&self, service: &ServiceId, change: impl FnOnce(&mut Script)) {
        let mut state = lock(&self.0);
        change(state.services.entry(service.clone()).or_insert_with(|| Script {
            loaded: Err("it was never loaded".into()),
            reads: vec!["sub".into()],
            issues: VecDeque::new(),
            revokes: VecDeque::new(),
        }));
    }

    /// Notes the call and says what it is to do.
    fn begin_issue(&self, call: &IssueCall) -> Result<IssueStep, CallFailure> {
        let mut state = lock(&self.0);
        state.started(&call.service)?;
        let script = state.services.get_mut(&call.service);
        let step = script.and_then(|script| script.issues.pop_front());
        if !matches!(step, Some(IssueStep::Busy)) {
            state.calls.push(Call::Issue(call.clone()));
        }
        Ok(step.unwrap_or(IssueStep::Make { state: None, expires_at: None, revoke_with: None }))
    }

    fn begin_revoke(&self, call: &RevokeCall) -> Result<RevokeStep, CallFailure> {
        let mut state = lock(&self.0);
        state.started(&call.service)?;
        let script = state.services.get_mut(&call.service);
        let step = script.and_then(|script| script.revokes.pop_front());
        if !matches!(step, Some(RevokeStep::Busy)) {
            state.calls.push(Call::Revoke(call.clone()));
        }
        Ok(step.unwrap_or(RevokeStep::Remove))
    }

    fn claims_read(&self, call: &IssueCall) -> Claims {
        let state = lock(&self.0);
        let reads = state
            .services
            .get(&call.service)
            .map(|script| script.reads.clone())
            .unwrap_or_default();
        let claims = call.user.identity.claims();
        reads
            .into_iter()
            .filter_map(|name| claims.get(&name).cloned().map(|value| (name, value)))
            .collect()
    }

    /// How the issue ends, and whether a request was sent.
    async fn do_issue(&self, call: &IssueCall) -> (Result<IssueOutcome, CallFailure>, bool) {
        let mut step = match self.begin_issue(call) {
            Ok(step) => step,
            Err(failure) => return (Err(failure), false),
        };
        let mut held = Vec::new();
        let ended = loop {
            match step {
                IssueStep::Wait(gate, then) => {
                    gate.pass().await;
                    step = *then;
                }
                IssueStep::Answer(gate, then) => {
                    held.push(gate);
                    step = *then;
                }
                step => {
                    let sent = !matches!(step, IssueStep::Break(_, Effect::Unsent));
                    break (self.finish_issue(call, step), sent);
                }
            }
        };
        for gate in held {
            gate.pass().await;
        }
        ended
    }

    fn finish_issue(&self, call: &IssueCall, step: IssueStep) -> Result<IssueOutcome, CallFailure> {
        let thing = |name: String| Thing { service: call.service.clone(), name, lease: call.lease };
        let name = || call.lease.to_string();
        match step {
            IssueStep::Make { state, expires_at, revoke_with } => {
                let state = state.unwrap_or_else(name);
                lock(&self.0).apply(Change::Make(thing(state.clone())));
                let revoke_with = revoke_with.map(Secret::new);
                let entries = vec![entry("Secret", &format!("secret of {state}"))];
                Ok(IssueOutcome::Issued(Issued { entries, state, revoke_with, expires_at }))
            }
            IssueStep::Refuse(refusal) => Err(CallFailure::Refused(refusal)),
            IssueStep::Login { provider } => {
                Ok(IssueOutcome::LoginRequired { provider, message: "please sign in there".into() })
            }
            IssueStep::Break(how, effect) => {
                lock(&self.0).take_effect(effect, Change::Make(thing(name())));
                Err(broken(how))
            }
            IssueStep::Busy | IssueStep::Wait(..) | IssueStep::Answer(..) => {
                Err(CallFailure::NotStarted(NotStarted::Busy))
            }
        }
    }

    async fn do_revoke(&self, call: &RevokeCall) -> Result<(), CallFailure> {
        let mut step = self.begin_revoke(call)?;
        while let RevokeStep::Wait(gate, then) = step {
            gate.pass().await;
            step = *then;
        }
        let change = match call.state.as_str() {
            "" => Change::RemoveOf(call.service.clone(), call.lease),
            name => Change::RemoveNamed(call.service.clone(), name.to_owned()),
        };
        match step {
            RevokeStep::Remove => {
                lock(&self.0).apply(change);
                Ok(())
            }
            RevokeStep::Refuse(refusal) => Err(CallFailure::Refused(refusal)),
            RevokeStep::Break(how, effect) => {
                lock(&self.0).take_effect(effect, change);
                Err(broken(how))
            }
            RevokeStep::Busy | RevokeStep::Wait(..) => {
                Err(CallFailure::NotStarted(NotStarted::Busy))
            }
        }
    }
}

fn broken(how: BrokenHow) -> CallFailure {
    CallFailure::Broken(Broken {
        how,
        cause: format!("scripted 1.0.0 broke: {how:?}").into(),
        last_words: Some(format!("scripted: {how:?}")),
    })
}

fn entry(name: &str, value: &str) -> Entry {
    Entry {
        name: name.into(),
        kind: EntryKind::Text,
        value: Secret::new(value),
        rows: None,
        cols: None,
        save_as: None,
    }
}

#[async_trait]
impl ServicePlugins for ScriptedPlugins {
    fn loaded(&self, service: &ServiceId) -> Result<LoadedService, String> {
        let state = lock(&self.0);
        let script = state.services.get(service);
        script.map_or_else(|| Err("it was never added".into()), |script| script.loaded.clone())
    }

    async fn issue(&self, call: IssueCall) -> IssueReport {
        let (outcome, sent) = self.do_issue(&call).await;
        let claims_read = match outcome {
            Err(CallFailure::NotStarted(_)) => Claims::new(),
            _ => self.claims_read(&call),
        };
        IssueReport { outcome, claims_read, sent }
    }

    async fn revoke(&self, call: RevokeCall) -> Result<(), CallFailure> {
        self.do_revoke(&call).await
    }
}

#[cfg(test)]
mod tests;
