//! Whether the wall clock can be trusted: it and the monotonic clock have to advance at the same
//! pace.

use std::time::Duration;

use crate::time::Timestamp;

/// Both clocks at one moment when the wall clock was right.
pub(crate) struct ClockWatch {
    wall: Timestamp,
    monotonic: Duration,
    most: Duration,
}

impl ClockWatch {
    /// Drift of more than `most` is too much.
    pub(crate) fn new(wall: Timestamp, monotonic: Duration, most: Duration) -> Self {
        Self { wall, monotonic, most }
    }

    /// What is wrong with the clocks, if something is.
    pub(crate) fn complaint(&self, wall: Timestamp, monotonic: Duration) -> Option<String> {
        let expected = self.wall + monotonic.saturating_sub(self.monotonic);
        let (drift, way) = if wall < expected {
            (expected.since(wall), "behind")
        } else {
            (wall.since(expected), "ahead")
        };
        (drift > self.most).then(|| {
            let seconds = drift.as_secs();
            format!("the wall clock is {seconds} s {way} of where it should be since the start; nothing is expired or revoked by itself until it is right again, or the daemon is started anew")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_either_way_are_noticed_and_mended_clocks_too() {
        let minute = Duration::from_secs(60);
        let watch = ClockWatch::new(Timestamp::from_secs(10_000), minute, minute);
        let cases = [
            (10_100, 160, None),
            (10_160, 160, None),
            (10_161, 160, Some("ahead")),
            (10_040, 160, None),
            (10_039, 160, Some("behind")),
        ];
        for (wall, monotonic, expected) in cases {
            let complaint =
                watch.complaint(Timestamp::from_secs(wall), Duration::from_secs(monotonic));
            match expected {
                None => assert_eq!(complaint, None, "{wall}"),
                Some(way) => assert!(complaint.unwrap().contains(way), "{wall}"),
            }
        }
    }
}
