//! A vault to begin with.

use std::sync::Arc;
use std::time::Duration;

use super::{
    FakeProviders, ManualClock, MemoryStore, RecordingAudit, ScriptedPlugins, ScriptedTypePlugins,
    SeededEntropy, TestTasks,
};
use crate::catalogue::Catalogue;
use crate::company::Companies;
use crate::ids::PluginName;
use crate::keyring::{Kek, Keyring};
use crate::leases::{self, Leases, Parts};
use crate::vault::{Options, Vault};

/// A vault over a store of its own, for credentials of `companies`. Its own work is not begun:
/// nothing happens but what is asked for.
///
/// # Panics
/// Never: the store fails nobody who has not told it to.
#[expect(clippy::expect_used, reason = "a store in memory that nobody has told to fail")]
pub async fn vault(companies: Arc<Companies>, plugins: Arc<ScriptedTypePlugins>) -> Arc<Vault> {
    let (clock, store) = (Arc::new(ManualClock::default()), Arc::new(MemoryStore::new()));
    let entropy = Arc::new(SeededEntropy::new(8));
    let kek = Kek::generate(&SeededEntropy::new(42));
    let keyring = Keyring::load(store.clone(), kek, entropy.clone(), clock.clone());
    let core = Leases::new(Parts {
        clock,
        tasks: Arc::new(TestTasks::new()),
        entropy,
        store,
        keyring: Arc::new(keyring.await.expect("a keyring in an empty store")),
        providers: Arc::new(FakeProviders::new()),
        plugins: Arc::new(ScriptedPlugins::new()),
        audit: Arc::new(RecordingAudit::new()),
        catalogue: Catalogue::new(Vec::new()).expect("no services"),
        options: leases::Options::default(),
    });
    let options = Options {
        undelete_window: Duration::from_secs(30 * 24 * 3600),
        default_plugin: PluginName::parse("generic").expect("a constant that parses"),
        sweep_every: Duration::from_secs(30),
    };
    Vault::new(core, plugins, companies, options)
}
