//! Stand-ins for every port, for tests of this crate and of those above it (feature `doubles`).
//!
//! | port | stand-in |
//! |---|---|
//! | `Clock` | [`ManualClock`]: stands still until a test moves it |
//! | `Tasks` | [`TestTasks`]: tokio's, counted |
//! | `Entropy` | [`SeededEntropy`]: random, and the same in each run |
//! | `Store` | [`MemoryStore`]: keeps the port's promises, fails on demand, survives a crash |
//! | `ServicePlugins` | [`ScriptedPlugins`]: does what a test says, at a pretended target |
//! | `TypePlugins` | [`ScriptedTypePlugins`]: take every text, unless a test says otherwise |
//! | `Providers` | [`FakeProviders`]: a table |
//! | `Directory` | [`FakeDirectory`]: companies in pages, and whatever else a test scripts |
//! | `SignIn`, `Tokens` | [`FakeSignIn`]: codes in a table; [`FakeTokens`]: readable ones |
//! | `AuditEcho` | [`RecordingAudit`]: a list |
//! | `AuditFile` | [`MemoryFile`]: bytes, and a disk that may be full |
//!
//! Never here: knowledge of how a use-case works. A stand-in keeps the contract of its port and
//! does nothing on its own.

mod audit;
mod clock;
mod companies;
mod directory;
mod entropy;
mod gate;
mod ground;
mod people;
mod plugins;
mod providers;
mod sign_in;
mod store;
mod tasks;
mod type_plugins;
mod vault_people;
mod vaults;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use audit::{MemoryFile, RecordingAudit};
pub use clock::ManualClock;
pub use companies::companies;
pub use directory::{DirectoryStep, FakeDirectory};
pub use entropy::SeededEntropy;
pub use gate::Gate;
pub use ground::ground;
pub use people::{
    ISSUER, PROVIDER, caller, caller_with_claim, identity, member, member_with_rights,
    member_with_scopes, open_rules, service,
};
pub use plugins::{Call, Effect, IssueStep, RevokeStep, ScriptedPlugins, Thing};
pub use providers::FakeProviders;
pub use sign_in::{FakeSignIn, FakeTokens, vouched};
pub use store::{Fault, MemoryStore};
pub use tasks::TestTasks;
pub use type_plugins::{NormaliseCall, NormaliseStep, ScriptedTypePlugins};
pub use vault_people::{People, role_of, session_options};
pub use vaults::{computed_plain, vault};

/// A test that failed elsewhere poisons nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
