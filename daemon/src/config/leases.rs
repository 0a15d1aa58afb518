//! `[leases]`: how long things wait, and how hard the daemon tries to revoke.

use std::time::Duration;

use super::read::{Table, Value};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Spans of a lease's life. Their meaning is that of the fields of the same name in
/// `credsmith_core::leases::Options`.
#[derive(Debug, Clone)]
pub(crate) struct LeaseSettings {
    pub(crate) handoff_lifetime: Duration,
    pub(crate) settle: Duration,
    pub(crate) skew: Duration,
    pub(crate) retry_after_min: Duration,
    pub(crate) retry_after_max: Duration,
    pub(crate) park_after: Duration,
    pub(crate) keep_ended: Duration,
    pub(crate) background_revocations: u32,
    pub(crate) max_effects: u32,
    pub(crate) allow_dropping: bool,
}

impl LeaseSettings {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let span = |key, default, least, most| {
            table.or(key, default, |value| value.duration(least..=most))
        };
        let leases = Self {
            handoff_lifetime: span("handoff_lifetime", 10 * SECOND, SECOND, HOUR),
            settle: span("settle", 60 * SECOND, SECOND, HOUR),
            skew: span("skew", 60 * SECOND, Duration::ZERO, HOUR),
            retry_after_min: span("retry_after_min", 10 * SECOND, SECOND, DAY),
            retry_after_max: span("retry_after_max", HOUR, SECOND, 7 * DAY),
            park_after: span("park_after", 7 * DAY, HOUR, 365 * DAY),
            keep_ended: span("keep_ended", DAY, HOUR, 365 * DAY),
            background_revocations: table
                .or("background_revocations", 4, |value| value.count(1..=256)),
            max_effects: table.or("max_effects", 1024, |value| value.count(2..=65_536)),
            allow_dropping: table.or("allow_dropping", false, Value::flag),
        };
        if leases.retry_after_min > leases.retry_after_max {
            table.value().fault(
                "retry_after_min is longer than retry_after_max, expected it to be at most as long",
            );
        }
        leases
    }
}
