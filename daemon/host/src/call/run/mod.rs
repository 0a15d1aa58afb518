//! One call of one guest: a fresh store, its limits, its end.
//!
//! Three things end a guest: its answer, its deadline by the epoch (when it computes), its deadline
//! by the wall clock (when it waits in the host, and in every other case). The store is dropped
//! in every case, and only then its place in the pool is free again. Never here: the meaning of an
//! answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use credsmith_core::ports::plugins::BrokenHow;
use futures_util::future::BoxFuture;
use tokio::task::JoinError;
use tokio::time::timeout_at;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::{Store, UpdateDeadline};

use crate::call::grants::Grants;
use crate::call::journal::Journal;
use crate::call::state::State;
use crate::engine::guest_engine::GuestEngine;
use crate::text;

/// Bytes from guest to host at once that every call may pass beyond its plan: room for names, lists
/// and log lines.
const SMALL_TALK: usize = 256 * 1024;
/// No call takes longer, even if its plan allows it: sums of times then stay in bounds.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Longest cause, in characters.
const MAX_CAUSE: usize = 500;

/// The grants and limits of a call.
pub(crate) struct Plan {
    pub(crate) grants: Arc<Grants>,
    pub(crate) journal: Arc<Journal>,
    /// Linear memory, in bytes.
    pub(crate) memory: usize,
    /// Time from its start to its end.
    pub(crate) timeout: Duration,
    /// Bytes that it may hand to the host at once.
    pub(crate) largest: usize,
}

/// The failure of a guest.
#[derive(Debug)]
pub(crate) struct GuestFailure {
    pub(crate) how: BrokenHow,
    /// The cause, for the log.
    pub(crate) what: String,
}

impl GuestFailure {
    pub(crate) fn bad_output(what: impl Into<String>) -> Self {
        Self { how: BrokenHow::BadOutput, what: what.into() }
    }

    fn timeout(after: Duration) -> Self {
        Self { how: BrokenHow::Timeout, what: format!("it took longer than {after:?}") }
    }
}

/// Marks a guest that was interrupted at its deadline.
#[derive(Debug, thiserror::Error)]
#[error("the deadline has passed")]
struct DeadlinePassed;

/// Runs `work` on a fresh store. `held` is kept until the store is dropped: the call's turn and its
/// place in the pool.
///
/// Ends by the plan's timeout in every case. Dropping the future ends the guest at its
/// next step.
pub(crate) async fn run<T, H, F>(
    engine: &GuestEngine,
    held: H,
    plan: Plan,
    work: F,
) -> Result<T, GuestFailure>
where
    T: Send + 'static,
    H: Send + 'static,
    F: for<'a> FnOnce(&'a mut Store<State>) -> BoxFuture<'a, wasmtime::Result<T>> + Send + 'static,
{
    let limit = plan.timeout.min(LONGEST);
    let deadline = Instant::now() + limit;
    let ticking = engine.ticker.hold();
    let wasm = engine.wasm.clone();
    let running = engine.guests().spawn(async move {
        let _until_the_store_is_gone = (held, ticking);
        let mut store = store(&wasm, plan, deadline);
        work(&mut store).await
    });
    match timeout_at(deadline.into(), AbortOnDropHandle::new(running)).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(why))) if why.is::<DeadlinePassed>() => Err(GuestFailure::timeout(limit)),
        Ok(Ok(Err(why))) if is_flood(&why) => {
            Err(GuestFailure::bad_output("it handed over more at once than it may"))
        }
        Ok(Ok(Err(why))) => Err(GuestFailure { how: BrokenHow::Trap, what: cause(&why) }),
        Ok(Err(why)) => Err(GuestFailure { how: BrokenHow::Trap, what: host_broke(&why) }),
        Err(_) => Err(GuestFailure::timeout(limit)),
    }
}

fn store(engine: &wasmtime::Engine, plan: Plan, deadline: Instant) -> Store<State> {
    let mut store =
        Store::new(engine, State::new(plan.grants, plan.journal, plan.memory, deadline));
    store.limiter(|state| &mut state.limits);
    store.set_hostcall_fuel(plan.largest.saturating_add(SMALL_TALK));
    // At every tick a busy guest lets others run; past its deadline it is not resumed.
    store.epoch_deadline_callback(move |_| {
        if Instant::now() >= deadline {
            Err(DeadlinePassed.into())
        } else {
            Ok(UpdateDeadline::Yield(1))
        }
    });
    store.set_epoch_deadline(1);
    store
}

/// Whether the guest exceeded what it may hand over at once. The engine has no type for it, only
/// these words; a test holds them.
fn is_flood(why: &wasmtime::Error) -> bool {
    why.chain()
        .any(|cause| cause.to_string().contains("fuel allocated for hostcalls has been exhausted"))
}

fn cause(why: &wasmtime::Error) -> String {
    let root = why.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text::escaped(&root.chars().take(MAX_CAUSE).collect::<String>())
}

fn host_broke(why: &JoinError) -> String {
    if why.is_panic() {
        "the host broke while it served it".to_owned()
    } else {
        "the daemon is ending".to_owned()
    }
}

#[cfg(test)]
mod tests;
