//! A host with plugins on it, and what became of a call.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credsmith_bundle::Bundled;
use credsmith_core::doubles;
use credsmith_core::ids::{LeaseId, ServiceId};
use credsmith_core::ports::plugins::{
    BrokenHow, CallFailure, CallUser, IssueCall, IssueOutcome, NotStarted, RevokeCall,
    ServicePlugins, Urgency,
};
use credsmith_core::secret::Secret;
use credsmith_host::{
    Binding, ComponentSource, Host, HostOptions, LoadError, ServiceSetup, Setting,
};
use credsmith_http::client::{AddressPolicy, Destination};
use tokio::sync::{Mutex, MutexGuard};

use crate::log;

/// Longer than anything takes that ends by itself, on whatever machine.
pub(crate) const EVER: Duration = Duration::from_secs(60);
/// The deadline of calls that only their deadline ends.
pub(crate) const SHORT: Duration = Duration::from_millis(400);
/// From a call's deadline until its end is told.
pub(crate) const GRACE: Duration = Duration::from_millis(100);
/// The secret that must never be seen. It is made of characters that no encoding changes.
pub(crate) const CANARY: &str = "canary-5up3r-s3cr3t-b1rd";

static ALONE: Mutex<()> = Mutex::const_new(());

/// A host, and the guarantee that no other test of this process runs.
pub(crate) struct Stage {
    pub(crate) host: Host,
    _alone: MutexGuard<'static, ()>,
}

/// The options of hosts here. Compiled components are kept from run to run: that is what the cache
/// is for, and its own tests use another.
pub(crate) fn options() -> HostOptions {
    HostOptions {
        artefacts: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("artefacts")),
        pool_size: 8,
        guest_threads: 2,
        ..HostOptions::new(Secret::new("the key of the test's artefacts"))
    }
}

impl Stage {
    /// An empty host.
    pub(crate) async fn new() -> Self {
        Self::with(options()).await
    }

    /// An empty host with these options.
    pub(crate) async fn with(options: HostOptions) -> Self {
        log::collect();
        let alone = ALONE.lock().await;
        Self { host: Host::new(options).expect("a host"), _alone: alone }
    }

    /// A host with the service `good`, which behaves.
    pub(crate) async fn with_good() -> Self {
        let stage = Self::new().await;
        let setup = ServiceSetup { parallel_runner: None, ..setup("good", fixture("unique")) };
        stage.load(setup).await.expect("a good plugin");
        stage
    }

    pub(crate) async fn load(&self, setup: ServiceSetup) -> Result<(), LoadError> {
        self.host.load(setup).await.map(drop)
    }

    /// Has the hostile plugin do `how`.
    pub(crate) async fn misbehave(&self, service: &str, how: &str) -> Ended {
        self.issue(call(service, &[("how", how)])).await
    }

    /// The next call to another service works.
    pub(crate) async fn good_call(&self) -> Duration {
        let ended = self.issue(call("good", &[])).await;
        assert!(
            matches!(ended.end, End::Issued(_)),
            "a good plugin after a hostile one: {ended:?}"
        );
        ended.took
    }

    pub(crate) async fn issue(&self, call: IssueCall) -> Ended {
        let begun = Instant::now();
        let report = self.host.issue(call).await;
        let took = begun.elapsed();
        let end = match report.outcome {
            Ok(IssueOutcome::Issued(issued)) => {
                let entry = |entry: &credsmith_core::ports::plugins::Entry| {
                    (entry.name.clone(), entry.value.expose_str().expect("text").to_owned())
                };
                End::Issued(Made {
                    state: issued.state,
                    entries: issued.entries.iter().map(entry).collect(),
                })
            }
            Ok(IssueOutcome::LoginRequired { message, .. }) => {
                panic!("nobody asked for a login: {message}")
            }
            Err(failure) => End::of(failure),
        };
        Ended { end, took }
    }

    /// Has the hostile plugin do `how`. Whether a request was sent, or may have been.
    pub(crate) async fn has_sent(&self, service: &str, how: &str) -> bool {
        self.host.issue(call(service, &[("how", how)])).await.sent
    }

    /// Has what `state` names revoked, or, without a state, what a cut-short issue may have left.
    pub(crate) async fn revoke(&self, service: &str, state: &str) -> Ended {
        let begun = Instant::now();
        let outcome = self.host.revoke(revocation(service, state)).await;
        let took = begun.elapsed();
        let end = match outcome {
            Ok(()) => End::Revoked,
            Err(failure) => End::of(failure),
        };
        Ended { end, took }
    }
}

/// What became of a call, and how long it took.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) took: Duration,
}

/// What a plugin made, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) state: String,
    pub(crate) entries: Vec<(String, String)>,
}

impl Made {
    /// The value of the entry of that name.
    pub(crate) fn entry(&self, name: &str) -> &str {
        let found = self.entries.iter().find(|(have, _)| have == name);
        found
            .map(|(_, value)| value.as_str())
            .unwrap_or_else(|| panic!("no entry {name} in {:?}", self.entries))
    }
}

/// The ways in which a call can end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Issued(Made),
    Revoked,
    /// The plugin's words.
    Refused(String),
    Busy,
    NotLoaded,
    /// The plugin broke: how, and what is logged of it.
    Broken(BrokenHow, String),
}

impl End {
    fn of(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Refused(refusal) => Self::Refused(refusal.user),
            CallFailure::NotStarted(NotStarted::Busy) => Self::Busy,
            CallFailure::NotStarted(NotStarted::NotLoaded(_)) => Self::NotLoaded,
            CallFailure::Broken(broken) => Self::Broken(broken.how, broken.cause.to_string()),
        }
    }

    /// What was made.
    pub(crate) fn made(&self) -> &Made {
        match self {
            Self::Issued(made) => made,
            other => panic!("nothing was made: {other:?}"),
        }
    }
}

/// A test plugin.
pub(crate) fn fixture(name: &str) -> &'static Bundled {
    credsmith_bundle::fixture(name).unwrap_or_else(|| panic!("no test plugin {name}"))
}

pub(crate) fn source(plugin: &'static Bundled) -> ComponentSource {
    ComponentSource {
        bytes: Cow::Borrowed(plugin.bytes),
        origin: plugin.name.to_owned(),
        sha256: None,
    }
}

pub(crate) fn setup(service: &str, plugin: &'static Bundled) -> ServiceSetup {
    ServiceSetup {
        plugin_timeout: EVER,
        queue_wait: EVER,
        ..ServiceSetup::new(service_id(service), source(plugin))
    }
}

/// The service that misbehaves on request, with the canary as its secret, which it may see. It may
/// send requests nowhere.
pub(crate) fn hostile(service: &str, plugin_timeout: Duration) -> ServiceSetup {
    let mut setup = ServiceSetup { plugin_timeout, ..setup(service, fixture("hostile")) };
    setup.settings.insert("secret".to_owned(), canary(Vec::new()));
    setup
}

/// The canary as a setting that may be revealed and be sent to `destinations`.
pub(crate) fn canary(destinations: Vec<Binding>) -> Setting {
    Setting::Secret { value: Secret::new(CANARY), destinations, reveal: true, hmac: false }
}

pub(crate) fn text(value: impl Into<String>) -> Setting {
    Setting::Text(value.into())
}

/// A place that is granted, by a URL; on loopback too, where `private`.
pub(crate) fn destination(url: &str, private: bool) -> Destination {
    let mut destination = Destination::of_url(url).expect("a URL");
    if private {
        destination.addresses =
            AddressPolicy::allowing(vec!["127.0.0.0/8".parse().expect("a network")]);
    }
    destination
}

pub(crate) fn service_id(id: &str) -> ServiceId {
    ServiceId::parse(id).expect("the id of a service")
}

/// Alice asks for something.
pub(crate) fn call(service: &str, parameters: &[(&str, &str)]) -> IssueCall {
    let parameter = |(key, value): &(&str, &str)| ((*key).to_owned(), Secret::new(*value));
    IssueCall {
        service: service_id(service),
        lease: LeaseId::from_random([7; 16]),
        user: CallUser { identity: Arc::new(doubles::identity("alice")), access_token: None },
        additional_logins: Vec::new(),
        parameters: parameters.iter().map(parameter).collect(),
        not_after: None,
    }
}

fn revocation(service: &str, state: &str) -> RevokeCall {
    RevokeCall {
        service: service_id(service),
        lease: LeaseId::from_random([7; 16]),
        user: Arc::new(doubles::identity("alice")),
        parameters: Vec::new(),
        not_after: None,
        state: state.to_owned(),
        revoke_with: None,
        urgency: Urgency::User,
    }
}

/// Tries `attempt` until it is in time, five times at most: a machine with more to do than it can
/// delays anything now and then, but not always. Every attempt has to end as it should; only its
/// duration is measured again.
pub(crate) async fn in_time(limit: Duration, mut attempt: impl AsyncFnMut() -> Duration) {
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push(attempt().await);
        if times.last().is_some_and(|took| *took <= limit) {
            return;
        }
    }
    panic!("never within {limit:?}: {times:?}");
}
