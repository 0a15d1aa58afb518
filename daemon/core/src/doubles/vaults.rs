//! A vault to begin with.

use std::sync::Arc;
use std::time::Duration;

use super::{ManualClock, MemoryStore, ScriptedTypePlugins, TestTasks, ground};
use crate::company::Companies;
use crate::ids::PluginName;
use crate::vault::{ComputedPlain, Options, Vault};

/// A vault over a store of its own, for credentials of `companies`. Its own work is not begun:
/// nothing happens but what is asked for.
///
/// # Panics
/// Never: the store fails only when a test makes it fail.
#[expect(clippy::expect_used, reason = "a store in memory that no test has made fail")]
pub async fn vault(companies: Arc<Companies>, plugins: Arc<ScriptedTypePlugins>) -> Arc<Vault> {
    let (clock, store) = (ManualClock::default(), MemoryStore::new());
    let ground = ground(&clock, &store, Arc::new(TestTasks::new()), 8).await;
    let options = Options {
        undelete_window: Duration::from_secs(30 * 24 * 3600),
        default_plugin: PluginName::parse("generic").expect("a constant that parses"),
        sweep_every: Duration::from_secs(30),
        computed_plain: computed_plain(),
        audit_reads: false,
    };
    Vault::new(ground, plugins, companies, options)
}

/// Every plugin of tests is trusted with plain fields, but `foreign`, which may fill `shown`.
///
/// # Panics
/// Never: the names are some.
#[expect(clippy::expect_used, reason = "constants that parse")]
pub fn computed_plain() -> ComputedPlain {
    let mut computed = ComputedPlain::default();
    let name = |name| PluginName::parse(name).expect("a constant that parses");
    for trusted in ["generic", "aws", "totp"] {
        computed.trust(name(trusted));
    }
    computed.list(name("foreign"), ["shown".to_owned()]);
    computed
}
