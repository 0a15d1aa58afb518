//! The daemon of these tests: short spans, so that what a kill leaves behind is cleaned up within
//! seconds.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use credsmith_core::access::operator;
use credsmith_core::catalogue::Catalogue;
use credsmith_core::doubles::{
    FakeProviders, ManualClock, ScriptedPlugins, SeededEntropy, TestTasks,
};
use credsmith_core::ground::{
    DEFAULT_MAX_DRIFT, DEFAULT_REQUESTS_PER_USER, Ground, GroundDependencies,
};
use credsmith_core::keyring::{Kek, Keyring};
use credsmith_core::leases::operate::{CountedView, Examination};
use credsmith_core::leases::{Leases, LeasesDependencies, Options};
use credsmith_core::ports::Clock;
use credsmith_core::ports::store::Store;
use credsmith_core::time::Timestamp;
use credsmith_store::{Sled, SledOptions};
use credsmith_tests::{Provider, Site, Target};

/// How long a request to the target may be under way after its call was cut short.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);
/// Longest wait for a turn.
pub(crate) const QUEUE_WAIT: Duration = Duration::from_secs(1);
/// Most credentials of one user.
pub(crate) const LIMIT: usize = 3;
/// The service that has effects at the target.
pub(crate) const REMOTE: &str = "remote";

/// The lines of a service of the plugin `remote` at `target`.
pub(crate) fn remote_lines(service: &str, target: &Target, more: &str) -> String {
    format!(
        "{more}\nparallel_runner = 16\nqueue_wait = \"{}s\"\n{}",
        QUEUE_WAIT.as_secs(),
        target.granted_to(service)
    )
}

/// A site with the service [`REMOTE`], of which each user may have [`LIMIT`] credentials.
pub(crate) fn site(provider: &Provider, target: &Target, plugin_timeout: Duration) -> Site {
    let limit =
        format!("credential_limit = {LIMIT}\nplugin_timeout = \"{}s\"", plugin_timeout.as_secs());
    bare(provider).service(REMOTE, "remote", &remote_lines(REMOTE, target, &limit))
}

/// The same without a service.
pub(crate) fn bare(provider: &Provider) -> Site {
    Site::new()
        .provider("op", provider)
        .section(
            "leases",
            "settle = \"1s\"\nskew = \"0s\"\nretry_after_min = \"1s\"\nretry_after_max = \"2s\"\nhandoff_lifetime = \"1m\"",
        )
        .section("log", "level = \"warn\"")
        .section("plugins", "instances = 64\nthreads = 2")
}

/// What a daemon left that has ended, and the daemon's own key to it.
pub(crate) struct Left {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    entropy: Arc<SeededEntropy>,
}

/// Looks into the store of a daemon that has ended, which is free again for the next one
/// afterwards.
pub(crate) fn look_into<T>(site: &Site, look: impl AsyncFnOnce(Left) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(Sled::open(SledOptions::new(site.data().join("store"))).unwrap());
        let kek = Kek::parse(&std::fs::read(site.path().join("kek")).unwrap()).unwrap();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let clock: Arc<dyn Clock> =
            Arc::new(ManualClock::at(Timestamp::from_secs(since.as_secs())));
        let entropy = Arc::new(SeededEntropy::new(since.as_secs()));
        let keyring = Keyring::load(
            Arc::clone(&store) as _,
            kek,
            Arc::clone(&entropy) as _,
            Arc::clone(&clock),
        );
        let keyring = Arc::new(keyring.await.unwrap());
        let seen = look(Left { store: Arc::clone(&store) as _, keyring, clock, entropy }).await;
        store.close().await.unwrap();
        seen
    })
}

/// Reads the ledger of a daemon that has ended, with the daemon's own key and records.
pub(crate) fn examine(site: &Site) -> (Examination, Vec<CountedView>) {
    look_into(site, async |left| {
        let ground = Ground::new(GroundDependencies {
            clock: left.clock,
            tasks: Arc::new(TestTasks::new()),
            entropy: left.entropy,
            store: left.store,
            keyring: left.keyring,
            max_drift: DEFAULT_MAX_DRIFT,
            requests_per_user: DEFAULT_REQUESTS_PER_USER,
        });
        let parts = LeasesDependencies {
            providers: Arc::new(FakeProviders::new()),
            plugins: Arc::new(ScriptedPlugins::new()),
            catalogue: Catalogue::new(Vec::new()).unwrap(),
            options: Options {
                settle: SETTLE,
                skew: Duration::ZERO,
                retry_after_min: Duration::from_secs(1),
                retry_after_max: Duration::from_secs(2),
                ..Options::default()
            },
        };
        let mut counted = Vec::new();
        let leases = Leases::new(ground, parts);
        let found = leases.examine(operator(), |lease| counted.push(lease)).await.unwrap();
        (found, counted)
    })
}
