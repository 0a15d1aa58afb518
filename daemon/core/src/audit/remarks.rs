//! The loop that moves queued remarks into the store's outbox.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::ground::Ground;

/// Most events of strangers in one batch, and how often a batch has any: strangers can cause a few
/// lines a second, however many requests they send.
pub(super) const STRANGERS_AT_ONCE: usize = 5;
const STRANGERS_EVERY: Duration = Duration::from_secs(1);
/// How long remarks gather before a batch of them is written.
const GATHER: Duration = Duration::from_millis(100);
/// How long to wait when the store fails.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes remarks until the daemon ends.
pub(crate) async fn write_remarks_until_stopped(ground: Arc<Ground>) {
    let mut stopping = ground.stopping();
    let mut strangers_from = Duration::ZERO;
    while !*stopping.borrow_and_update() {
        let arrived = pin!(ground.remarks_arrived());
        if let Either::Right((Err(_), _)) = select(arrived, pin!(stopping.changed())).await {
            return;
        }
        ground.clock.sleep(GATHER).await;
        let now = ground.clock.monotonic();
        let mut strangers = 0;
        if now >= strangers_from {
            (strangers, strangers_from) = (STRANGERS_AT_ONCE, now + STRANGERS_EVERY);
        }
        if let Err(error) = ground.write_remarks(strangers).await {
            tracing::error!(
                %error,
                cause = error.cause(),
                "events for the audit log wait: the store does not take them"
            );
            ground.clock.sleep(PAUSE).await;
        }
    }
}
