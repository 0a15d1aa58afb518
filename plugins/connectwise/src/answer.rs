//! Reads the answers of ConnectWise, and makes refusals of those that cannot be used.
//!
//! Texts of ConnectWise go to the log alone, cut short. An answer that is no page in order is never
//! taken for the end of a walk.

use std::time::{Duration, UNIX_EPOCH};

use credsmith_plugin_sdk::http::{Failure, Response};
use credsmith_plugin_sdk::{Refusal, clock};
use serde::Deserialize;

/// The texts for users.
const UNAVAILABLE: &str = "ConnectWise could not be asked. Please try again later.";
const BUSY: &str = "ConnectWise has too much to do. Please try again later.";
/// When to try again where ConnectWise does not say, in seconds.
const SOON: u32 = 30;
/// Longest wait that is passed on, in seconds: a server that says more has a wrong clock.
const LONGEST_WAIT: u32 = 24 * 3600;
/// Longest text of ConnectWise in the log, in characters.
const MAX_QUOTE: usize = 200;

/// The body of an answer with status 200.
///
/// # Errors
/// A refusal that says what to do, for any other.
pub(crate) fn body(response: &Response) -> Result<Vec<u8>, Refusal> {
    match response.status() {
        200 => Ok(response.body()),
        status => Err(no(status, response)),
    }
}

/// Reads JSON.
///
/// # Errors
/// A refusal, when it is not what was expected.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    // The position is enough: the error's own text may quote the body.
    serde_json::from_slice(body).map_err(|error| {
        garbage(&format!(
            "not the JSON expected at line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

/// Checks that `ids` continue after `after`, each larger than the one before, and returns the last;
/// `None` when there are none.
///
/// # Errors
/// A refusal: in any other order some would be missed, and a walk might never end.
pub(crate) fn in_order(
    after: u64,
    ids: impl IntoIterator<Item = u64>,
    most: u32,
) -> Result<Option<u64>, Refusal> {
    let mut last = after;
    let mut count = 0_u32;
    for id in ids {
        if id <= last {
            return Err(garbage(
                "the records are not in the order of their ids, beginning after the one asked for",
            ));
        }
        last = id;
        count = count.saturating_add(1);
    }
    if count > most {
        return Err(garbage(&format!(
            "a page has {count} records, of which {most} were asked for"
        )));
    }
    Ok((count > 0).then_some(last))
}

/// No answer at all.
pub(crate) fn unreachable(failure: &Failure) -> Refusal {
    let refusal = Refusal::new(UNAVAILABLE).log(failure.to_string());
    if failure.retry { refusal.retry_after(SOON) } else { refusal }
}

/// An answer that cannot be used. Asking again at once would not help.
fn garbage(what: &str) -> Refusal {
    Refusal::new(UNAVAILABLE).log(format!("ConnectWise answered what is no answer: {what}"))
}

fn no(status: u16, response: &Response) -> Refusal {
    let log =
        |hint: &str| format!("ConnectWise answered with status {status}{}{hint}", quoted(response));
    match status {
        429 => Refusal::new(BUSY).log(log("")).retry_after(wait(response)),
        503 => Refusal::new(UNAVAILABLE).log(log("")).retry_after(wait(response)),
        408 | 425 | 500..=599 => Refusal::new(UNAVAILABLE).log(log("")).retry_after(SOON),
        300..=399 => Refusal::new(UNAVAILABLE).log(log("; `site` has to be the API server itself")),
        400 => Refusal::new(UNAVAILABLE)
            .log(log("; see `conditions`, `child_conditions` and `api_version`")),
        401 | 403 => Refusal::new(UNAVAILABLE).log(log(
            "; see `company`, `public_key`, `private_key`, `client_id` and the API member's role",
        )),
        404 => Refusal::new(UNAVAILABLE).log(log("; see `site` and `codebase`")),
        _ => Refusal::new(UNAVAILABLE).log(log("")),
    }
}

/// How ConnectWise explains itself.
#[derive(Deserialize)]
struct Explanation {
    message: String,
}

fn quoted(response: &Response) -> String {
    match serde_json::from_slice::<Explanation>(&response.body()) {
        Ok(Explanation { message }) => {
            format!(", saying {:?}", message.chars().take(MAX_QUOTE).collect::<String>())
        }
        Err(_) => String::new(),
    }
}

/// The wait of a `Retry-After` header (RFC 9110, section 10.2.3): seconds, or a date.
fn wait(response: &Response) -> u32 {
    let said = response.header("retry-after").and_then(|text| seconds(text.trim()));
    said.unwrap_or(SOON).clamp(1, LONGEST_WAIT)
}

fn seconds(text: &str) -> Option<u32> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(LONGEST_WAIT));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let now = UNIX_EPOCH.checked_add(Duration::from_secs(clock::now()))?;
    let left = date.duration_since(now).unwrap_or_default();
    Some(u32::try_from(left.as_secs()).unwrap_or(LONGEST_WAIT))
}
