//! The traits that connect the domain to the world. An implementation may use any library; the
//! calling code knows none.
//!
//! | port | implemented by |
//! |---|---|
//! | [`Clock`], [`Tasks`], [`Entropy`] | the daemon (`doubles` for tests) |
//! | [`Store`](store::Store) | `credsmith-store` |
//! | [`Providers`](providers::Providers) | `credsmith-oidc` |
//! | [`ServicePlugins`](plugins::ServicePlugins) | `credsmith-host` |
//! | [`SignIn`](sign_in::SignIn), [`Tokens`](tokens::Tokens) | `credsmith-oidc` |
//! | [`TypePlugins`](types::TypePlugins), [`Directory`](directory::Directory) | `credsmith-host` |
//! | [`AuditEcho`](audit::AuditEcho), [`AuditFile`](audit::AuditFile) | the daemon |

pub mod audit;
pub mod directory;
pub mod plugins;
pub mod providers;
pub mod sign_in;
pub mod store;
pub mod tokens;
pub mod types;

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::time::Timestamp;

/// Time. The domain reads clocks and sleeps through this port alone.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// A clock that never jumps; only differences mean something.
    fn monotonic(&self) -> Duration;
    /// Resolves after `duration` of the monotonic clock.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Work that goes on whether or not a caller waits for it. The drain waits for all of it before the
/// daemon ends.
pub trait Tasks: Send + Sync + 'static {
    /// Runs `work` to its end. `name` is for logs.
    fn spawn(&self, name: &'static str, work: BoxFuture<'static, ()>);
}

/// Randomness fit for keys.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Sixteen bytes for an id.
pub fn random_16(entropy: &dyn Entropy) -> [u8; 16] {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    bytes
}
