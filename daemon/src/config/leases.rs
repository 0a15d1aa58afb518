//! `[leases]`: how long results and records wait, and how hard the daemon tries to revoke.

use std::time::Duration;

use credsmith_core::leases::Options;

use super::keys::{self, Key};
use super::read::Table;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The keys of the section. Their defaults are those of [`Options`].
pub(super) const KEYS: &[Key<Options>] = &[
    Key::duration(
        "handoff_lifetime",
        |options| &mut options.handoff_lifetime,
        SECOND..=HOUR,
        "How long an issued credential waits to be fetched, once.",
    ),
    Key::duration(
        "settle",
        |options| &mut options.settle,
        SECOND..=HOUR,
        "How long a request to a target may still take effect after the plugin that sent it was cut short.",
    ),
    Key::duration(
        "skew",
        |options| &mut options.skew,
        Duration::ZERO..=HOUR,
        "By how much the clocks of targets may differ from ours.",
    ),
    Key::duration(
        "retry_after_min",
        |options| &mut options.retry_after_min,
        SECOND..=DAY,
        "The shortest wait between two attempts to revoke.",
    ),
    Key::duration(
        "retry_after_max",
        |options| &mut options.retry_after_max,
        SECOND..=WEEK,
        "The longest wait between two attempts to revoke.",
    ),
    Key::duration(
        "park_after",
        |options| &mut options.park_after,
        HOUR..=YEAR,
        "How long the daemon tries to revoke before it parks the lease for an operator.",
    ),
    Key::duration(
        "keep_ended",
        |options| &mut options.keep_ended,
        HOUR..=YEAR,
        "How long the record of an ended lease is kept.",
    ),
    Key::count(
        "background_revocations",
        |options| &mut options.background_revocations,
        1..=256,
        "Revocations of one service that the daemon runs on its own account at a time; one that ends starts the next.",
    ),
    Key::count(
        "max_effects",
        |options| &mut options.max_effects,
        2..=65_536,
        "Issues and revocations in work at a time, of all services; one service has at most half of them, one user a quarter.",
    ),
    Key::flag(
        "allow_dropping",
        |options| &mut options.allow_dropping,
        "Whether users may drop credentials of services that are no longer configured; what was issued then stays alive at its target.",
    ),
];

/// Reads the section.
pub(super) fn read(table: &Table<'_>) -> Options {
    let mut options = Options::default();
    keys::read(KEYS, table, &mut options);
    if options.retry_after_min > options.retry_after_max {
        table.value().fault(
            "retry_after_min is longer than retry_after_max, expected it to be at most as long",
        );
    }
    options
}
