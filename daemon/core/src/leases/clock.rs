//! Judging the wall clock at a start: a clock that is wrong by years would otherwise end every
//! lease within seconds, and purge what could still be restored.
//!
//! The last wall time that was trusted is kept in the store, at a start and once a minute. The
//! clock of the next start is doubted when it is behind that time, when it is far ahead of it, or
//! when the time in between ends more than a tenth of the ledger at once. Then due work waits,
//! readiness says why, and an operator decides (decision 0025).
//!
//! Never here: what waits while the clock is in doubt (code that does due work asks
//! [`crate::ground::Ground::is_clock_off`]).

use std::time::Duration;

use crate::access::{Grant, Operate};
use crate::error::Error;
use crate::ground::{Doubt, retry};
use crate::leases::Leases;
use crate::model::lease::{Overdue, State};
use crate::ports::store::Key;
use crate::records::CommitError;
use crate::time::Timestamp;

/// The longest time between two runs that is believed. Longer than the usual stops of a service
/// that people rely on, and much shorter than the time for which deleted credentials can be
/// restored.
const LONGEST_STOP: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often the wall time is kept.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// So few leases may always end at once.
const FEW: u64 = 20;
/// A share of the ledger may end at once that is not larger than one by this.
const SHARE: u64 = 10;
/// Index entries in one page.
const PAGE: usize = 256;

impl Leases {
    /// Judges the clock at the start, and notes that this run has begun.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub(super) async fn begin_clock(&self) -> Result<(), Error> {
        let (mark, _) = self.ground.records.clock_mark().await?;
        let earlier = mark.boots.into_iter().filter(|boot| *boot != self.ground.boot);
        self.ground.boots_over(earlier.collect());
        if let Some(last) = mark.wall {
            self.ground.keep_time(last);
        }
        self.judge_clock(mark.wall).await
    }

    /// Keeps the wall time while it is trusted, and judges a clock in doubt again once it was set.
    pub(super) async fn tend_clock(&self) -> Result<(), Error> {
        if self.ground.is_clock_to_be_judged() {
            let (mark, _) = self.ground.records.clock_mark().await?;
            return self.judge_clock(mark.wall).await;
        }
        let now = self.ground.machine_clocks();
        let kept = self.sweeper.time_kept();
        let is_due = kept.is_none_or(|kept| now.monotonic.saturating_sub(kept) >= KEEP_EVERY);
        if self.ground.is_clock_off() || !is_due {
            return Ok(());
        }
        self.ground.keep_time(now.wall);
        self.keep_clock(Some(now.wall)).await
    }

    /// Accepts the wall clock as it is now: an operator has checked it.
    ///
    /// # Errors
    /// `Internal` when the store fails: the clock is accepted then until the next start only.
    pub async fn trust_clock(&self, _grant: Grant<Operate>) -> Result<(), Error> {
        let now = self.ground.machine_clocks();
        self.ground.trust_clock(now);
        self.keep_clock(Some(now.wall)).await
    }

    async fn judge_clock(&self, last: Option<Timestamp>) -> Result<(), Error> {
        let now = self.ground.machine_clocks();
        match self.doubt(last, now.wall).await? {
            None => {
                self.ground.trust_clock(now);
                self.keep_clock(Some(now.wall)).await
            }
            Some(doubt) => {
                tracing::error!(reason = doubt.why, "the wall clock is in doubt: due work waits");
                self.ground.doubt_clock(now, doubt);
                self.keep_clock(None).await
            }
        }
    }

    async fn keep_clock(&self, wall: Option<Timestamp>) -> Result<(), Error> {
        self.sweeper.keep_time(self.ground.clock.monotonic());
        retry(|| async {
            let (mark, expected) = self.ground.records.clock_mark().await?;
            let next = mark.next(self.ground.boot, wall);
            self.ground.records.put_clock_mark(expected, &next).await?;
            Ok::<(), CommitError>(())
        })
        .await
    }

    /// Why a wall clock that shows `now` is in doubt, if it is.
    async fn doubt(&self, last: Option<Timestamp>, now: Timestamp) -> Result<Option<Doubt>, Error> {
        if let Some(last) = last
            && let Some(doubt) = jump(last, now, self.ground.max_drift())
        {
            return Ok(Some(doubt));
        }
        let from = last.unwrap_or(Timestamp::from_secs(0));
        Ok(self.ends_too_much(from, now).await?.then(|| Doubt {
            why: match last {
                Some(last) => format!(
                    "more than a tenth of the ledger has ended since the daemon last ran, from {} to {}",
                    last.rfc3339(),
                    now.rfc3339()
                ),
                None => format!(
                    "more than a tenth of the ledger has ended by {}, and it is not known when the daemon last ran",
                    now.rfc3339()
                ),
            },
            until: None,
        }))
    }

    /// Whether more than a tenth of the leases that count ended after `from` and by `now`. It reads
    /// what is due, and ten times as many keys of an index at most.
    async fn ends_too_much(&self, from: Timestamp, now: Timestamp) -> Result<bool, Error> {
        let (mut ending, mut enough) = (0_u64, FEW);
        let mut ledger = Ledger::default();
        let mut after: Option<Key> = None;
        loop {
            let page = self.ground.records.due_between(from, now, after.as_ref(), PAGE).await?;
            for id in page.leases {
                // One that cannot be read must not keep the daemon from starting.
                let stored = self.ground.records.lease(id).await.ok().flatten();
                ending += u64::from(stored.is_some_and(|stored| {
                    let overdue = stored.value.overdue(now, &self.ledger.timing);
                    matches!(overdue, Some(Overdue::End | Overdue::Limit))
                        && !matches!(stored.value.state, State::Ended { .. })
                }));
            }
            after = page.next;
            if ending > enough || (after.is_none() && ending > FEW) {
                if !ledger.has(self, ending.saturating_mul(SHARE)).await? {
                    return Ok(true);
                }
                enough = ending.saturating_mul(2);
            }
            if after.is_none() {
                return Ok(false);
            }
        }
    }
}

/// A count of the leases that count, taken as far as it is needed.
#[derive(Default)]
struct Ledger {
    counted: u64,
    next: Option<Key>,
    is_whole: bool,
}

impl Ledger {
    /// Whether there are at least `wanted` of them.
    async fn has(&mut self, leases: &Leases, wanted: u64) -> Result<bool, Error> {
        while self.counted < wanted && !self.is_whole {
            let (found, next) =
                leases.ground.records.counted_leases(self.next.as_ref(), PAGE).await?;
            self.counted += u64::try_from(found).unwrap_or(u64::MAX);
            self.is_whole = next.is_none();
            self.next = next;
        }
        Ok(self.counted >= wanted)
    }
}

/// The doubt about a clock that shows `now` where `last` was trusted last.
fn jump(last: Timestamp, now: Timestamp, most_behind: Duration) -> Option<Doubt> {
    let why = |distance: Duration, way| {
        format!(
            "the wall clock says {}, which is {} {way} the time at which the daemon last ran, {}",
            now.rfc3339(),
            span(distance),
            last.rfc3339()
        )
    };
    if now + most_behind < last {
        return Some(Doubt { why: why(last.since(now), "before"), until: Some(last) });
    }
    let ahead = now.since(last);
    (ahead > LONGEST_STOP).then(|| Doubt { why: why(ahead, "after"), until: None })
}

/// A span for people.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use crate::access::operator;
    use crate::catalogue::Service;
    use crate::doubles::{self, IssueStep};
    use crate::testing::{DAY, HOUR, SECOND, World, id, options};

    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    async fn with_leases(leases: usize, ends: Option<Duration>) -> World {
        let service = Service { max_lifetime: Some(400 * DAY), ..doubles::service("ssh") };
        let world = World::with(vec![service], options()).await;
        world.leases.start().await.unwrap();
        for _ in 0..leases {
            if let Some(ends) = ends {
                world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + ends));
            }
            world.get("alice", "ssh").await.unwrap();
        }
        world
    }

    async fn restart(world: &mut World) {
        world.crash().await;
        world.leases.start().await.unwrap();
        world.run(60 * SECOND).await;
    }

    /// At ten years ahead all leases were revoked in six seconds.
    #[tokio::test]
    async fn a_start_ten_years_ahead_ends_nothing_until_an_operator_accepts_the_clock() {
        let mut world = with_leases(3, None).await;
        let right = world.now();
        world.clock.set_wall(right + 10 * YEAR);
        restart(&mut world).await;
        assert_eq!((world.things().len(), world.revocations()), (3, 0));
        let readiness = world.leases.readiness().join(" ");
        assert!(readiness.contains("3650 days after"), "{readiness}");
        assert!(readiness.contains("credsmith trust-clock --config"), "{readiness}");

        // A further start does not take the wrong time for the last one.
        restart(&mut world).await;
        assert_eq!(world.revocations(), 0);
        world.leases.trust_clock(operator()).await.unwrap();
        world.run(60 * SECOND).await;
        assert_eq!(world.leases.readiness(), Vec::<String>::new());
        assert_eq!((world.things().len(), world.revocations()), (0, 3));
        restart(&mut world).await;
        assert_eq!(world.leases.readiness(), Vec::<String>::new(), "what was accepted is kept");
    }

    #[tokio::test]
    async fn a_clock_that_is_set_right_needs_no_operator() {
        let mut world = with_leases(3, None).await;
        let right = world.now();
        world.clock.set_wall(right + 10 * YEAR);
        restart(&mut world).await;
        assert!(!world.leases.readiness().is_empty());
        world.clock.set_wall(right + HOUR);
        world.run(60 * SECOND).await;
        assert_eq!(world.leases.readiness(), Vec::<String>::new());
        assert_eq!((world.things().len(), world.revocations()), (3, 0));
    }

    #[tokio::test]
    async fn a_clock_behind_the_last_run_brings_nothing_back_and_stops_due_work() {
        let mut world = with_leases(1, Some(HOUR)).await;
        world.run(2 * HOUR).await;
        assert_eq!(world.listed("alice").await, []);
        let last = world.now();
        world.clock.set_wall(last - 2 * HOUR);
        restart(&mut world).await;
        let readiness = world.leases.readiness().join(" ");
        assert!(readiness.contains("before the time at which the daemon last ran"), "{readiness}");
        assert_eq!(world.listed("alice").await, [], "what has ended stays so");
        // Time goes on until the clock has caught up.
        world.run(2 * HOUR).await;
        assert_eq!(world.leases.readiness(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn more_than_a_tenth_of_the_ledger_does_not_end_at_a_start() {
        let mut world = with_leases(25, Some(HOUR)).await;
        for _ in 0..100 {
            world.get("bob", "ssh").await.unwrap();
        }
        world.run(120 * SECOND).await;
        world.clock.set_wall(world.now() + 3 * HOUR);
        restart(&mut world).await;
        let readiness = world.leases.readiness().join(" ");
        assert!(readiness.contains("more than a tenth of the ledger"), "{readiness}");
        assert_eq!(world.count("alice", "ssh").await, 25);
        world.leases.trust_clock(operator()).await.unwrap();
        world.run(60 * SECOND).await;
        assert_eq!(world.count("alice", "ssh").await, 0);
    }

    #[tokio::test]
    async fn a_tenth_of_the_ledger_may_end_while_the_daemon_is_stopped() {
        let mut world = with_leases(25, Some(HOUR)).await;
        for _ in 0..225 {
            world.get("bob", "ssh").await.unwrap();
        }
        world.run(120 * SECOND).await;
        world.clock.set_wall(world.now() + 6 * DAY);
        restart(&mut world).await;
        assert_eq!(world.leases.readiness(), Vec::<String>::new());
        assert_eq!((world.count("alice", "ssh").await, world.count("bob", "ssh").await), (0, 225));
    }

    /// A backlog is no sign of a wrong clock: it was due while the clock was trusted.
    #[tokio::test]
    async fn a_quick_restart_with_a_backlog_is_no_jump() {
        let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
        let mut world = World::with(vec![service], options()).await;
        world.leases.start().await.unwrap();
        for _ in 0..30 {
            world.get("alice", "ssh").await.unwrap();
        }
        for _ in 0..200 {
            let broken = crate::ports::plugins::BrokenHow::Timeout;
            let step = doubles::RevokeStep::Break(broken, doubles::Effect::None);
            world.plugins.on_revoke(&id("ssh"), step);
        }
        world.run(HOUR + 120 * SECOND).await;
        restart(&mut world).await;
        assert_eq!(world.leases.readiness(), Vec::<String>::new());
    }

    #[test]
    fn jumps_are_judged_by_the_last_run() {
        let last = Timestamp::from_secs(1_800_000_000);
        let judge = |now| jump(last, now, Duration::from_secs(60)).map(|doubt| doubt.until);
        assert_eq!(judge(last), None);
        assert_eq!(judge(last + LONGEST_STOP), None);
        assert_eq!(judge(last + LONGEST_STOP + SECOND), Some(None));
        assert_eq!(judge(last - 60 * SECOND), None);
        assert_eq!(judge(last - 61 * SECOND), Some(Some(last)));
        assert_eq!(judge(Timestamp::from_secs(0)), Some(Some(last)));
    }
}
