//! A line of the audit log: `{"number":N,"previous":"MAC","id":"ID",` and the event,
//! `,"hash":"SHA-256","mac":"MAC"}`.
//!
//! The hash is over every byte before `,"hash":`: it shows accidental changes to every reader. The
//! code (`mac`) is over every byte before `,"mac":`, so that there is no other way to write a valid
//! line: it shows every change to a reader with the key. `previous` is the code of the line before:
//! lines are chained.

use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use crate::keyring::{Authenticator, MAC_BYTES, MacBytes, decode_mac, encode_mac};
use crate::model::mark::Mark;

/// The bytes before the hash of a line, and behind it.
const BEFORE_HASH: &[u8] = b",\"hash\":\"";
const AFTER_HASH: &[u8] = b"\"";
/// The bytes before the code of a line.
const BEFORE_MAC: &[u8] = b",\"mac\":\"";
/// Characters of a code, and of a hash, which is as long.
const MAC_CHARS: usize = (MAC_BYTES * 8).div_ceil(6);
/// Bytes from [`BEFORE_MAC`] to the end of the line.
const TAIL: usize = BEFORE_MAC.len() + MAC_CHARS + 2;

impl Mark {
    /// The tail of the last line, the end of the line included.
    pub(super) fn tail(&self) -> Vec<u8> {
        [BEFORE_MAC, encode_mac(&self.mac).as_bytes(), b"\"}\n"].concat()
    }
}

/// A line, taken apart. What it says is as good as its code.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// Its number, and its own code.
    pub(super) mark: Mark,
    pub(super) previous: MacBytes,
    /// The id that the event had in the store.
    pub(super) id: String,
    signed: &'a [u8],
    is_whole: bool,
}

#[derive(Deserialize)]
struct Frame {
    number: u64,
    previous: String,
    id: String,
}

impl<'a> Line<'a> {
    /// `line` without its end; `None` when it is no line of an audit log.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let (signed, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
        let mac = decode_mac(tail.strip_prefix(BEFORE_MAC)?.strip_suffix(b"\"}")?)?;
        let frame: Frame = serde_json::from_slice(&[signed, b"}"].concat()).ok()?;
        let previous = decode_mac(frame.previous.as_bytes())?;
        let hashed = signed.strip_suffix(AFTER_HASH)?;
        let (hashed, hash) = hashed.split_at_checked(hashed.len().checked_sub(MAC_CHARS)?)?;
        let is_whole = decode_mac(hash)? == hash_of(hashed.strip_suffix(BEFORE_HASH)?);
        Some(Self {
            mark: Mark { number: frame.number, mac },
            previous,
            id: frame.id,
            signed,
            is_whole,
        })
    }

    /// Whether its hash is right.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether a daemon with `key` wrote it, and it is unchanged since.
    pub(super) fn is_authentic(&self, key: &Authenticator) -> bool {
        key.has_signed(self.signed, &self.mark.mac)
    }

    /// Whether it is the line after the one at `mark`.
    pub(super) fn continues(&self, mark: &Mark) -> bool {
        Some(self.mark.number) == mark.number.checked_add(1) && self.previous == mark.mac
    }
}

/// Adds the line after `mark` to `log`: the event of that `id`, `event` being an object in JSON.
/// Returns where the log then ends.
pub(super) fn write(
    log: &mut Vec<u8>,
    mark: &Mark,
    id: &str,
    event: &[u8],
    key: &Authenticator,
) -> Mark {
    let begin = log.len();
    let number = mark.number.saturating_add(1);
    log.extend_from_slice(beginning(mark).as_bytes());
    log.extend_from_slice(id.as_bytes());
    log.extend_from_slice(b"\",");
    log.extend_from_slice(
        event.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or_default(),
    );
    let hash = hash_of(log.get(begin..).unwrap_or_default());
    log.extend_from_slice(&[BEFORE_HASH, encode_mac(&hash).as_bytes(), AFTER_HASH].concat());
    let mark = Mark { number, mac: key.sign(log.get(begin..).unwrap_or_default()) };
    log.extend_from_slice(&mark.tail());
    mark
}

/// The beginning of the line after `mark`, which does not depend on the event.
fn beginning(mark: &Mark) -> String {
    let number = mark.number.saturating_add(1);
    format!("{{\"number\":{number},\"previous\":\"{}\",\"id\":\"", encode_mac(&mark.mac))
}

/// Whether `rest`, which has no end of line, can be the line after `mark`, or its beginning, as a
/// daemon leaves it that is killed while it writes.
pub(super) fn is_torn(rest: &[u8], mark: &Mark) -> bool {
    let begins = beginning(mark);
    rest.starts_with(begins.as_bytes()) || begins.as_bytes().starts_with(rest)
}

/// Whether `rest` breaks off amid an object. A whole object is an event, and so a line without its
/// end and not the beginning of one.
pub(super) fn breaks_off(rest: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
    matches!(values.next(), Some(Err(error)) if error.is_eof())
}

fn hash_of(text: &[u8]) -> [u8; MAC_BYTES] {
    Sha256::digest(text).into()
}
