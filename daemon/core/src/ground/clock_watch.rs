//! Whether the wall clock can be trusted: once it was accepted, it and the monotonic clock have to
//! advance at the same pace; and a clock that was doubted at the start stays in doubt until it is
//! set right or an operator accepts it.
//!
//! Never here: the judgement of a start. It needs the ledger, and is made in `leases`.

use std::time::Duration;

use crate::time::Timestamp;

/// What an operator does about a clock in doubt.
pub(crate) const CLOCK_REMEDY: &str = "nothing is expired, revoked or purged by itself until the clock is right, or until an operator confirms it: credsmith trust-clock --config FILE";

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    pub(crate) wall: Timestamp,
    pub(crate) monotonic: Duration,
}

/// The state of the wall clock.
#[derive(Debug, Default)]
pub(crate) enum ClockWatch {
    /// The daemon has not started.
    #[default]
    Unwatched,
    /// The wall clock was right at that moment.
    Trusted(Clocks),
    /// The wall clock was found in doubt at that moment.
    Doubted(Clocks, Doubt),
}

/// Why the wall clock is in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// A sentence for operators.
    pub(crate) why: String,
    /// From which wall time on there is no reason any more.
    pub(crate) until: Option<Timestamp>,
}

impl ClockWatch {
    /// What is wrong with the clocks, if something is. Drift of more than `most` is too much.
    pub(crate) fn complaint(&self, now: Clocks, most: Duration) -> Option<String> {
        let anchor = match self {
            Self::Unwatched => return None,
            Self::Doubted(_, doubt) => return Some(format!("{}; {CLOCK_REMEDY}", doubt.why)),
            Self::Trusted(anchor) => anchor,
        };
        let (drift, way) = anchor.drift(now);
        (drift > most).then(|| {
            let seconds = drift.as_secs();
            format!("the wall clock is {seconds} s {way} of where it should be since the start; {CLOCK_REMEDY}")
        })
    }

    /// Whether a clock in doubt has to be judged again: it was set since, or it was behind and time
    /// has passed.
    pub(crate) fn is_to_be_judged(&self, now: Clocks, most: Duration) -> bool {
        match self {
            Self::Doubted(anchor, doubt) => {
                anchor.drift(now).0 > most || doubt.until.is_some_and(|until| until <= now.wall)
            }
            Self::Unwatched | Self::Trusted(_) => false,
        }
    }
}

impl Clocks {
    /// How far the wall clock is from where the monotonic clock would have it, and on which side.
    fn drift(&self, now: Self) -> (Duration, &'static str) {
        let expected = self.wall + now.monotonic.saturating_sub(self.monotonic);
        if now.wall < expected {
            (expected.since(now.wall), "behind")
        } else {
            (now.wall.since(expected), "ahead")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(wall: u64, monotonic: u64) -> Clocks {
        let (wall, monotonic) = (Timestamp::from_secs(wall), Duration::from_secs(monotonic));
        Clocks { wall, monotonic }
    }

    #[test]
    fn jumps_either_way_are_noticed_and_mended_clocks_too() {
        let watch = ClockWatch::Trusted(at(10_000, 60));
        let cases = [
            (10_100, 160, None),
            (10_160, 160, None),
            (10_161, 160, Some("ahead")),
            (10_040, 160, None),
            (10_039, 160, Some("behind")),
        ];
        for (wall, monotonic, expected) in cases {
            let complaint = watch.complaint(at(wall, monotonic), MINUTE);
            match expected {
                None => assert_eq!(complaint, None, "{wall}"),
                Some(way) => assert!(complaint.unwrap().contains(way), "{wall}"),
            }
        }
    }

    #[test]
    fn a_clock_in_doubt_is_judged_again_only_when_it_was_set() {
        let doubt = Doubt { why: "it is ten years ahead".to_owned(), until: None };
        let watch = ClockWatch::Doubted(at(10_000, 0), doubt.clone());
        assert!(!watch.is_to_be_judged(at(20_000, 10_000), MINUTE));
        assert!(watch.is_to_be_judged(at(5_000, 100), MINUTE));
        let complaint = watch.complaint(at(5_000, 100), MINUTE).unwrap();
        assert!(complaint.starts_with("it is ten years ahead; "), "{complaint}");
        assert!(complaint.contains("credsmith trust-clock --config"), "{complaint}");

        let until = Some(Timestamp::from_secs(10_500));
        let behind = ClockWatch::Doubted(at(10_000, 0), Doubt { until, ..doubt });
        assert!(!behind.is_to_be_judged(at(10_499, 499), MINUTE));
        assert!(behind.is_to_be_judged(at(10_500, 500), MINUTE), "it has caught up");
    }
}
