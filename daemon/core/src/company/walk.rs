//! One walk over all companies of a directory: page by page, one request at a time, and bounded.

use std::collections::HashSet;
use std::time::Duration;

use super::listing::{Listing, TooMany};
use crate::ports::Clock;
use crate::ports::directory::{Directory, DirectoryPage};
use crate::ports::plugins::{CallFailure, NotStarted};

/// Most pages of a walk.
const MAX_PAGES: usize = 10_000;
/// Longest cursor, in bytes.
const MAX_CURSOR_BYTES: usize = 1024;
/// Longest pause before a request is repeated, whatever the directory asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Shortest pause before a request is repeated.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The pause while no instance of the plugin is free.
const BUSY_PAUSE: Duration = Duration::from_secs(5);
/// Longest walk, with all its pauses and calls.
pub(super) const LONGEST_WALK: Duration = Duration::from_secs(2 * 60 * 60);

/// The result of a walk.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) listing: Listing,
    pub(super) end: WalkEnd,
}

/// How a walk ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WalkEnd {
    /// The directory was read to its end: a company that is not listed does not exist in it.
    Complete,
    /// The directory was not read to its end. The companies listed so far are valid.
    Interrupted(String),
    /// The directory's answers are inconsistent; none of them is used.
    Inconsistent(&'static str),
}

/// Why a directory with too many companies is not synchronised.
pub(super) const TOO_MANY_COMPANIES: &str = "it has more companies than are allowed";

/// Walks over `directory`.
pub(super) async fn walk(directory: &dyn Directory, clock: &dyn Clock) -> Walk {
    let mut listing = Listing::default();
    let end = read_pages(directory, clock, &mut listing).await;
    Walk { listing, end }
}

async fn read_pages(
    directory: &dyn Directory,
    clock: &dyn Clock,
    listing: &mut Listing,
) -> WalkEnd {
    let until = clock.monotonic().saturating_add(LONGEST_WALK);
    let mut cursors = Cursors::default();
    for _ in 0..MAX_PAGES {
        let page = match page_at(directory, cursors.current(), clock, until).await {
            Ok(page) => page,
            Err(reason) => return WalkEnd::Interrupted(reason),
        };
        if let Err(TooMany) = page.companies.iter().try_for_each(|company| listing.add(company)) {
            return WalkEnd::Inconsistent(TOO_MANY_COMPANIES);
        }
        let Some(next) = page.next else { return WalkEnd::Complete };
        if let Err(reason) = cursors.advance(next) {
            return WalkEnd::Inconsistent(reason);
        }
    }
    WalkEnd::Inconsistent("it has more pages than are allowed")
}

/// The cursor of the next page, and all cursors so far.
#[derive(Default)]
struct Cursors {
    current: Option<String>,
    seen: HashSet<String>,
}

impl Cursors {
    fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    fn advance(&mut self, next: String) -> Result<(), &'static str> {
        if next.len() > MAX_CURSOR_BYTES {
            return Err("its cursor is too long");
        }
        if !self.seen.insert(next.clone()) {
            return Err("its pages form a circle: a cursor came twice");
        }
        self.current = Some(next);
        Ok(())
    }
}

/// The page at `cursor`. The request is repeated as often as the directory asks for a pause.
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
        tracing::debug!(seconds = pause.as_secs(), "the directory of companies asks for a pause");
        clock.sleep(pause).await;
    }
}

/// How long to wait before the request is repeated; `None`: it is not repeated.
fn pause_after(failure: &CallFailure) -> Option<Duration> {
    match failure {
        CallFailure::Refused(refusal) => {
            Some(refusal.retry_after?.clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
        }
        CallFailure::NotStarted(NotStarted::Busy) => Some(BUSY_PAUSE),
        CallFailure::NotStarted(NotStarted::NotLoaded(_)) | CallFailure::Broken(_) => None,
    }
}
