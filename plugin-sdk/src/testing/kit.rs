//! The kit itself.

use std::marker::PhantomData;
use std::rc::Rc;

use serde_json::Value;

use super::call::{Call, imports};
use super::checks;
use super::http::{Reply, Sent};
use super::keys::TestKey;
use super::world::{HeldSecret, LogLine, Phase, World};
use crate::description::Description;
use crate::problem::FieldProblem;
use crate::refusal::Refusal;
use crate::service::not_issued::NotIssued;
use crate::service::request::Request;
use crate::service::{Issued, Made, Offer, Outcome, Service};
use crate::settings::{Noted, Settings};

/// Runs the plugin `S`, a [`Service`] or a [`Directory`](crate::directory::Directory), in the world
/// that the test prepares.
pub struct Kit<S> {
    pub(super) world: Rc<World>,
    plugin: PhantomData<S>,
}

impl<S> Default for Kit<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Preparation by the test, and its view of the plugin's actions.
impl<S> Kit<S> {
    /// A plugin without settings.
    pub fn new() -> Self {
        Self { world: Rc::new(World::new()), plugin: PhantomData }
    }

    /// A setting, given as the configuration would: a list as a JSON array, a duration as a text
    /// like `1h30m`. A duration that the daemon would refuse, such as a bare number, fails the
    /// test.
    #[must_use]
    pub fn setting(self, key: &str, value: impl Into<Value>) -> Self {
        let text = match value.into() {
            Value::String(text) => text,
            other => other.to_string(),
        };
        self.with(|world| {
            world.settings.insert(key.into(), text);
        })
    }

    /// A secret that is granted neither `reveal` nor `hmac`.
    #[must_use]
    pub fn secret(self, key: &str, value: &str) -> Self {
        self.held(key, value, false, false)
    }

    /// A secret that is granted `reveal`.
    #[must_use]
    pub fn revealable_secret(self, key: &str, value: &str) -> Self {
        self.held(key, value, true, false)
    }

    /// A secret that is granted `hmac`.
    #[must_use]
    pub fn hmac_secret(self, key: &str, value: &str) -> Self {
        self.held(key, value, false, true)
    }

    fn held(self, key: &str, value: &str, reveal: bool, hmac: bool) -> Self {
        let held = HeldSecret { name: key.into(), value: value.into(), reveal, hmac };
        self.with(|world| {
            world.secrets.insert(key.into(), Rc::new(held));
        })
    }

    /// A signing key.
    #[must_use]
    pub fn key(self, setting: &str, key: TestKey) -> Self {
        self.with(|world| {
            world.keys.insert(setting.into(), Rc::new(key));
        })
    }

    /// Fixes the clock, in Unix seconds.
    #[must_use]
    pub fn at(self, seconds: u64) -> Self {
        self.with(|world| world.now = Some(seconds))
    }

    /// Fixes the randomness: these bytes, over and over.
    #[must_use]
    pub fn random(self, bytes: &[u8]) -> Self {
        self.with(|world| world.random.get_mut().extend(bytes))
    }

    /// The next answer to a request of the plugin.
    #[must_use]
    pub fn reply(self, reply: Reply) -> Self {
        self.then(reply);
        self
    }

    /// As [`reply`](Self::reply), between two calls.
    pub fn then(&self, reply: Reply) {
        self.world.replies.borrow_mut().push_back(reply);
    }

    /// Nothing unknown is mixed in.
    #[must_use]
    pub fn without_grease(self) -> Self {
        self.with(|world| world.grease = false)
    }

    #[expect(clippy::panic, reason = "the kit runs in tests and fails them by panicking")]
    fn with(mut self, change: impl FnOnce(&mut World)) -> Self {
        match Rc::get_mut(&mut self.world) {
            Some(world) => change(world),
            None => panic!("prepare the kit before the first call"),
        }
        self
    }

    /// The requests that the plugin sent so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.world.sent.borrow().clone()
    }

    /// The lines that the plugin logged so far.
    pub fn log(&self) -> Vec<LogLine> {
        self.world.log.borrow().clone()
    }

    #[expect(clippy::panic, reason = "the kit runs in tests and fails them by panicking")]
    pub(super) fn complain(&self, operation: &str, complaints: Vec<String>) {
        let mut problems = self.world.problems.take();
        problems.extend(complaints);
        if !problems.is_empty() {
            panic!("the daemon would not accept this from {operation}: {}", problems.join("; "));
        }
    }
}

/// The plugin as a service.
impl<S: Service> Kit<S> {
    /// The plugin's description.
    ///
    /// # Panics
    /// When the daemon would not accept it, or it differs between two calls.
    pub fn describe(&self) -> Description {
        let description = self.world.around(Phase::Describe, S::describe);
        if self.world.around(Phase::Describe, S::describe) != description {
            self.world.problem("describe does not answer the same twice");
        }
        self.complain("describe", checks::description(&description));
        description
    }

    /// The offer of the service with these settings.
    ///
    /// # Errors
    /// The faults that the plugin found in its settings.
    ///
    /// # Panics
    /// When the daemon would not accept the answer.
    pub fn configure(&self) -> Result<Offer, Vec<FieldProblem>> {
        let service = self.service()?;
        let offer = self.world.around(Phase::Configure, || service.offer());
        self.complain("configure", checks::offer(&offer));
        Ok(offer)
    }

    fn service(&self) -> Result<S, Vec<FieldProblem>> {
        let description = self.describe();
        self.complain("the settings", self.world.read_durations(&description.settings));
        let settings = Settings::new(&description.settings);
        let service = self.world.around(Phase::Configure, || S::configure(&settings));
        let faults = settings.into_faults();
        match service {
            Ok(service) if faults.is_empty() => Ok(service),
            Ok(_) | Err(Noted { .. }) => {
                self.complain("configure", Vec::new());
                Err(faults)
            }
        }
    }

    /// Issues.
    ///
    /// # Errors
    /// The refusal, or that the plugin is unsure.
    ///
    /// # Panics
    /// When the settings are faulty, the daemon would refuse the parameters, or it would not accept
    /// the answer.
    pub fn issue(&self, call: &Call) -> Result<Outcome, NotIssued> {
        let service = self.ready(call);
        let request = imports::Request::new(call, self.world.grease);
        let answer = self.world.around(Phase::Call, || service.issue(&Request(&request)));
        let secrets = self.secrets(call);
        let complaints = match &answer {
            Ok(Outcome::Issued(issued)) => checks::issued(issued, &secrets),
            Ok(Outcome::LoginRequired { .. }) | Err(NotIssued::Unsure(_)) => Vec::new(),
            Err(NotIssued::Refused(refusal)) => checks::refusal(refusal, &secrets),
        };
        self.complain("issue", complaints);
        answer
    }

    /// Issues, and expects a credential.
    ///
    /// # Panics
    /// As [`issue`](Self::issue), and when there is none.
    #[expect(clippy::panic, reason = "the kit runs in tests and fails them by panicking")]
    pub fn issued(&self, call: &Call) -> Issued {
        match self.issue(call) {
            Ok(Outcome::Issued(issued)) => issued,
            other => panic!("no credential was issued: {other:?}"),
        }
    }

    /// Issues, and expects a refusal.
    ///
    /// # Panics
    /// As [`issue`](Self::issue), and when there is none.
    #[expect(clippy::panic, reason = "the kit runs in tests and fails them by panicking")]
    pub fn refused(&self, call: &Call) -> Refusal {
        match self.issue(call) {
            Err(NotIssued::Refused(refusal)) => refusal,
            other => panic!("the request was not refused: {other:?}"),
        }
    }

    /// Revokes what `issued` describes. The plugin sees `call` as the daemon kept it: without
    /// tokens and secure parameters.
    ///
    /// # Errors
    /// The plugin's refusal.
    ///
    /// # Panics
    /// When the settings are faulty or the daemon would not accept the answer.
    pub fn revoke(&self, call: &Call, issued: &Issued) -> Result<(), Refusal> {
        self.revoke_made(call, Made::new(issued.state.clone(), issued.revoke_with.clone()))
    }

    /// Revokes after an issue that was cut short: there is no state.
    ///
    /// # Errors
    /// The plugin's refusal.
    ///
    /// # Panics
    /// As [`revoke`](Self::revoke).
    pub fn revoke_cut_short(&self, call: &Call) -> Result<(), Refusal> {
        self.revoke_made(call, Made::new(String::new(), None))
    }

    fn revoke_made(&self, call: &Call, made: Made) -> Result<(), Refusal> {
        let service = self.ready(call);
        let secure = self.secure_parameters(&service);
        let request = imports::Request::new(&call.for_revoke(&secure), self.world.grease);
        let answer = self.world.around(Phase::Call, || service.revoke(&Request(&request), &made));
        let complaints =
            answer.as_ref().err().map(|refusal| checks::refusal(refusal, &self.secrets(call)));
        self.complain("revoke", complaints.unwrap_or_default());
        answer
    }

    fn secure_parameters(&self, service: &S) -> Vec<String> {
        let offer = self.world.around(Phase::Configure, || service.offer());
        offer
            .parameter_sets
            .into_iter()
            .flatten()
            .filter(|field| field.secure)
            .map(|field| field.key)
            .collect()
    }

    #[expect(clippy::panic, reason = "the kit runs in tests and fails them by panicking")]
    fn ready(&self, call: &Call) -> S {
        let service =
            self.service().unwrap_or_else(|faults| panic!("the settings are faulty: {faults:?}"));
        let offer = self.world.around(Phase::Configure, || service.offer());
        let keys: Vec<_> = call.parameters.iter().map(|(key, _)| key.as_str()).collect();
        assert!(
            checks::fit(&offer, &keys),
            "the daemon refuses these parameters, they fit no set: {keys:?}"
        );
        service
    }

    fn secrets(&self, call: &Call) -> Vec<(String, String)> {
        let held = self.world.secrets.values().map(Rc::as_ref).chain(call.tokens());
        held.map(|secret| (secret.name.clone(), secret.value.clone())).collect()
    }
}
