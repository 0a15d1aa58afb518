//! One walk over all companies of a directory: from page to page, one request at a time, and never
//! without end.

use std::collections::HashSet;
use std::time::Duration;

use super::listed::{Found, TooMany};
use crate::ports::Clock;
use crate::ports::directory::{Directory, DirectoryPage};
use crate::ports::plugins::{CallFailure, NotStarted};

/// Most pages of a walk.
const MAX_PAGES: usize = 10_000;
/// Longest cursor, in bytes.
const MAX_CURSOR_BYTES: usize = 1024;
/// A directory that wants to be left alone is asked again after five minutes at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// And not before this has passed.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// How long to wait for a free place to ask from.
const BUSY_PAUSE: Duration = Duration::from_secs(5);
/// All pauses and calls of a walk together.
pub(super) const LONGEST_WALK: Duration = Duration::from_secs(2 * 60 * 60);

/// How a walk ended.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) found: Found,
    pub(super) end: End,
}

/// Where a walk ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the end of the directory: what was not found is not there.
    Complete,
    /// Before it. What was found is true.
    Interrupted(String),
    /// Nowhere: the directory does not make sense, and nothing that it said is believed.
    Senseless(&'static str),
}

/// Walks over `directory`.
pub(super) async fn walk(directory: &dyn Directory, clock: &dyn Clock) -> Walked {
    let mut found = Found::default();
    let end = step_through(directory, clock, &mut found).await;
    Walked { found, end }
}

async fn step_through(directory: &dyn Directory, clock: &dyn Clock, found: &mut Found) -> End {
    let until = clock.monotonic().saturating_add(LONGEST_WALK);
    let (mut cursor, mut seen) = (None, HashSet::new());
    for _ in 0..MAX_PAGES {
        let page = match page_at(directory, cursor.as_deref(), clock, until).await {
            Ok(page) => page,
            Err(why) => return End::Interrupted(why),
        };
        for company in &page.companies {
            if let Err(TooMany) = found.add(company) {
                return End::Senseless("it has more companies than anybody can have");
            }
        }
        let Some(next) = page.next else { return End::Complete };
        if next.len() > MAX_CURSOR_BYTES {
            return End::Senseless("its cursor is too long");
        }
        if !seen.insert(next.clone()) {
            return End::Senseless("it goes round in circles: a cursor came twice");
        }
        cursor = Some(next);
    }
    End::Senseless("it has more pages than anybody needs")
}

/// The page at `cursor`, asked for again as often as the directory wants us to wait.
async fn page_at(
    directory: &dyn Directory,
    cursor: Option<&str>,
    clock: &dyn Clock,
    until: Duration,
) -> Result<DirectoryPage, String> {
    loop {
        let failure = match directory.companies(cursor).await {
            Ok(page) => return Ok(page),
            Err(failure) => failure,
        };
        let Some(pause) = pause_after(&failure) else { return Err(failure.to_string()) };
        if clock.monotonic().saturating_add(pause) > until {
            return Err("it kept asking for pauses".to_owned());
        }
        tracing::debug!(seconds = pause.as_secs(), "the directory of companies wants a pause");
        clock.sleep(pause).await;
    }
}

/// How long to wait before the same is asked again; `None`: not at all.
fn pause_after(failure: &CallFailure) -> Option<Duration> {
    match failure {
        CallFailure::Refused(refusal) => {
            Some(refusal.retry_after?.clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
        }
        CallFailure::NotStarted(NotStarted::Busy) => Some(BUSY_PAUSE),
        CallFailure::NotStarted(NotStarted::NotLoaded(_)) | CallFailure::Broken(_) => None,
    }
}
