//! The side notes of a call: its log lines, the claims that it read, and whether it sent anything.
//!
//! Shared by the call and by the task that waits for it, so that a call that is cut short still
//! leaves its notes. Lines are held until the call has ended: only then is it known what in them
//! has to be masked. Never here: plugin text as the message of a log line; it is always a field.

use std::collections::BTreeSet;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use credsmith_core::caller::Claims;
use credsmith_core::secret::Secret;
use parking_lot::{Mutex, MutexGuard};

use crate::text;

/// Most bytes of log that are kept of one call. Further lines are counted and dropped.
pub(crate) const MAX_HELD: usize = 64 * 1024;
/// Most bytes that one call may try to log. A call that tries more is broken or hostile, and is
/// ended.
const MAX_OFFERED: usize = 1024 * 1024;
/// Bytes that a line is charged besides its text, so that empty lines are bounded too.
const LINE_COST: usize = 64;

/// The level of a line, as the plugin gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// From the contract's word; any other word is taken for `info`.
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "debug" => Self::Debug,
            "warn" => Self::Warn,
            "error" => Self::Error,
            _ => Self::Info,
        }
    }
}

/// The two streams that a guest inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// Whether lines are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLines {
    /// Held until the call ends.
    Held,
    /// Counted only: the call sees secrets that no line may carry.
    Counted,
}

#[derive(Debug, PartialEq, Eq)]
struct Line {
    level: Level,
    text: String,
}

#[derive(Debug, Default)]
struct Entries {
    lines: Vec<Line>,
    held: usize,
    offered: usize,
    dropped: u64,
    partial: [Vec<u8>; 2],
    claims: BTreeSet<String>,
    all_claims: bool,
    /// Requests to the outside that are under way: each may have been written.
    under_way: usize,
    /// Whether a request to the outside was written.
    sent: bool,
    /// Whether the call has ended: it sends nothing any more.
    ended: bool,
}

/// The notes of one call.
#[derive(Debug)]
pub(crate) struct Journal {
    keep: LogLines,
    notes: Mutex<Entries>,
}

/// A call logs without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it logged more than {} KiB in one call", MAX_OFFERED / 1024)]
pub(crate) struct LogFlood;

/// Which call a line belongs to.
#[derive(Debug, Clone)]
pub(crate) struct CallLabels {
    pub(crate) service: Arc<str>,
    pub(crate) plugin: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) operation: &'static str,
    /// None while a plugin is loaded.
    pub(crate) lease: Option<String>,
}

impl Journal {
    pub(crate) fn new(keep: LogLines) -> Arc<Self> {
        Arc::new(Self { keep, notes: Mutex::default() })
    }

    fn notes(&self) -> MutexGuard<'_, Entries> {
        self.notes.lock()
    }

    /// Takes one line.
    ///
    /// # Errors
    /// [`LogFlood`]: the call has to end.
    pub(crate) fn line(&self, level: Level, text: String) -> Result<(), LogFlood> {
        let mut notes = self.notes();
        notes.offer(text.len().saturating_add(LINE_COST))?;
        notes.add(self.keep, level, text);
        Ok(())
    }

    /// Takes bytes of a stream, line by line.
    ///
    /// # Errors
    /// [`LogFlood`]: the call has to end.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) -> Result<(), LogFlood> {
        let mut notes = self.notes();
        notes.offer(bytes.len())?;
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            notes.take_piece(self.keep, stream, piece);
        }
        Ok(())
    }

    /// Notes that the call read one claim of its user.
    pub(crate) fn claim_read(&self, name: &str) {
        self.notes().claims.insert(name.to_owned());
    }

    /// Notes that the call read all of them.
    pub(crate) fn all_claims_read(&self) {
        self.notes().all_claims = true;
    }

    /// Those of `claims` that the call read.
    pub(crate) fn claims_read(&self, claims: &Claims) -> Claims {
        let notes = self.notes();
        claims
            .iter()
            .filter(|(name, _)| notes.all_claims || notes.claims.contains(name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Notes that a request to the outside begins. False: the call has ended, and nothing may be
    /// sent any more, since its end was reported as it was then.
    #[must_use]
    pub(crate) fn begin_request(&self) -> bool {
        let mut notes = self.notes();
        if !notes.ended {
            notes.under_way += 1;
        }
        !notes.ended
    }

    /// Notes the end of a request: whether it was written, or may have been.
    pub(crate) fn end_request(&self, sent: bool) {
        let mut notes = self.notes();
        notes.under_way = notes.under_way.saturating_sub(1);
        notes.sent |= sent;
    }

    /// Ends the call: nothing is sent from now on. Returns whether something was sent, or may have
    /// been.
    pub(crate) fn close(&self) -> bool {
        let mut notes = self.notes();
        notes.ended = true;
        notes.sent || notes.under_way > 0
    }

    /// Logs the lines of a call that ended in order, masked and escaped.
    pub(crate) fn publish<'a>(
        &self,
        labels: &CallLabels,
        secrets: impl IntoIterator<Item = &'a Secret>,
    ) {
        let mut notes = self.notes();
        notes.end_streams(self.keep);
        if !notes.lines.is_empty() {
            let mask = Mask::new(secrets);
            for line in std::mem::take(&mut notes.lines) {
                log_line(labels, line.level, &mask.apply(&line.text));
            }
        }
        log_dropped(labels, notes.dropped, self.keep);
    }

    /// Logs only how many lines there were: the call broke, so the secrets that it made are
    /// unknown.
    pub(crate) fn withhold(&self, labels: &CallLabels) {
        let mut notes = self.notes();
        notes.end_streams(self.keep);
        let number =
            notes.dropped.saturating_add(u64::try_from(notes.lines.len()).unwrap_or(u64::MAX));
        notes.lines.clear();
        log_dropped(labels, number, LogLines::Counted);
    }
}

impl Entries {
    fn offer(&mut self, bytes: usize) -> Result<(), LogFlood> {
        self.offered = self.offered.saturating_add(bytes);
        if self.offered > MAX_OFFERED { Err(LogFlood) } else { Ok(()) }
    }

    fn add(&mut self, keep: LogLines, level: Level, text: String) {
        let cost = text.len().saturating_add(LINE_COST);
        if keep == LogLines::Counted || self.held.saturating_add(cost) > MAX_HELD {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.held = self.held.saturating_add(cost);
        self.lines.push(Line { level, text });
    }

    fn take_piece(&mut self, keep: LogLines, stream: Stream, piece: &[u8]) {
        let [out, err] = &mut self.partial;
        let partial = if stream == Stream::Out { out } else { err };
        let room =
            if keep == LogLines::Counted { 0 } else { MAX_HELD.saturating_sub(partial.len()) };
        partial.extend(piece.iter().take(room));
        if piece.ends_with(b"\n") {
            self.end_line(keep, stream);
        }
    }

    fn end_line(&mut self, keep: LogLines, stream: Stream) {
        let [out, err] = &mut self.partial;
        let bytes = std::mem::take(if stream == Stream::Out { out } else { err });
        let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        self.add(keep, if stream == Stream::Out { Level::Info } else { Level::Warn }, text);
    }

    fn end_streams(&mut self, keep: LogLines) {
        for stream in [Stream::Out, Stream::Err] {
            let [out, err] = &self.partial;
            if !(if stream == Stream::Out { out } else { err }).is_empty() {
                self.end_line(keep, stream);
            }
        }
    }
}

/// Finds many secrets in one pass, however many lines a hostile plugin calls secret.
pub(crate) struct Mask(Option<Finder>);

struct Finder {
    secrets: AhoCorasick,
    /// The mask in place of each. Made once: a plugin may call thousands of lines secret, and
    /// log a thousand.
    masks: Vec<&'static str>,
}

impl Mask {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let needles: BTreeSet<String> = secrets.into_iter().flat_map(text::spellings).collect();
        if needles.is_empty() {
            return Self(None);
        }
        let secrets =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(needles).ok();
        Self(
            secrets
                .map(|secrets| Finder { masks: vec![text::MASK; secrets.patterns_len()], secrets }),
        )
    }

    /// `line` masked and escaped.
    pub(crate) fn apply(&self, line: &str) -> String {
        let Some(finder) = &self.0 else { return text::escaped(line) };
        text::escaped(&finder.secrets.replace_all(line, &finder.masks))
    }
}

fn log_line(labels: &CallLabels, level: Level, text: &str) {
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                service = &*labels.service,
                plugin = &*labels.plugin,
                version = &*labels.version,
                operation = labels.operation,
                lease = labels.lease.as_deref(),
                text,
                "a plugin logged"
            )
        };
    }
    match level {
        Level::Debug => say!(debug),
        Level::Info => say!(info),
        Level::Warn => say!(warn),
        Level::Error => say!(error),
    }
}

fn log_dropped(labels: &CallLabels, number: u64, keep: LogLines) {
    if number == 0 {
        return;
    }
    let why = if keep == LogLines::Counted { "withheld" } else { "more than a call may log" };
    tracing::warn!(
        service = &*labels.service,
        plugin = &*labels.plugin,
        version = &*labels.version,
        operation = labels.operation,
        lease = labels.lease.as_deref(),
        lines = number,
        why,
        "log lines of a plugin were dropped"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lines(journal: &Journal) -> Vec<String> {
        let mut notes = journal.notes();
        notes.end_streams(journal.keep);
        notes.lines.iter().map(|line| line.text.clone()).collect()
    }

    #[test]
    fn streams_are_cut_into_lines() {
        let journal = Journal::new(LogLines::Held);
        journal.write(Stream::Out, b"one\ntw").unwrap();
        journal.write(Stream::Err, b"other\n").unwrap();
        journal.write(Stream::Out, b"o\r\nthree").unwrap();
        assert_eq!(lines(&journal), ["one", "other", "two", "three"]);
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let journal = Journal::new(LogLines::Held);
        for _ in 0..10_000 {
            journal.line(Level::Info, String::new()).unwrap();
        }
        journal.write(Stream::Out, &[b'x'; 1 << 17]).unwrap();
        let notes = journal.notes();
        assert!(notes.held <= MAX_HELD);
        assert_eq!(notes.lines.len(), MAX_HELD / LINE_COST);
        assert_eq!(notes.dropped, 10_000 - (MAX_HELD / LINE_COST) as u64);
        assert!(notes.partial.iter().all(|partial| partial.len() <= MAX_HELD));
    }

    #[test]
    fn a_call_that_logs_without_end_is_ended() {
        for keep in [LogLines::Held, LogLines::Counted] {
            let journal = Journal::new(keep);
            let lines =
                (0..MAX_OFFERED).find(|_| journal.line(Level::Info, String::new()).is_err());
            assert_eq!(lines, Some(MAX_OFFERED / LINE_COST), "empty lines cost something, too");
            let journal = Journal::new(keep);
            assert_eq!(journal.write(Stream::Err, &vec![b'x'; MAX_OFFERED]), Ok(()));
            assert_eq!(journal.write(Stream::Out, b"x"), Err(LogFlood));
        }
    }

    #[test]
    fn counted_lines_are_not_kept() {
        let journal = Journal::new(LogLines::Counted);
        journal.line(Level::Error, "a secret".to_owned()).unwrap();
        journal.write(Stream::Err, b"a secret\nand its rest").unwrap();
        let notes = journal.notes();
        assert!(notes.lines.is_empty() && notes.partial.iter().all(Vec::is_empty));
        assert_eq!(notes.dropped, 2);
    }

    #[test]
    fn claims_that_were_read_are_known() {
        let claims = json!({"a": 1, "b": 2, "c": 3}).as_object().unwrap().clone();
        let journal = Journal::new(LogLines::Held);
        journal.claim_read("b");
        journal.claim_read("absent");
        assert_eq!(serde_json::Value::from(journal.claims_read(&claims)), json!({"b": 2}));
        journal.all_claims_read();
        assert_eq!(journal.claims_read(&claims), claims);
    }

    #[test]
    fn a_call_that_wrote_no_request_has_sent_nothing() {
        let refused = Journal::new(LogLines::Held);
        assert!(refused.begin_request());
        refused.end_request(false);
        assert!(!refused.close());
        assert!(!refused.begin_request(), "its end was reported");
        for end in [None, Some(true)] {
            let journal = Journal::new(LogLines::Held);
            assert!(journal.begin_request());
            if let Some(sent) = end {
                journal.end_request(sent);
            }
            assert!(journal.close(), "{end:?}");
        }
    }

    #[test]
    fn lines_are_masked_and_escaped() {
        let secrets =
            [Secret::new("hunter22"), Secret::new("first line\nsecond line"), Secret::new("abc")];
        let mask = Mask::new(&secrets);
        assert_eq!(mask.apply("it is hunter22\n!"), "it is [masked]\\n!");
        assert_eq!(mask.apply("second line"), "[masked]", "one line of a longer secret");
        assert_eq!(mask.apply("abc"), "abc", "too short to be a secret");
        assert_eq!(Mask::new(&[]).apply("\u{1b}"), "\\u{1b}");
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` logs, as JSON.
    fn logged(work: impl FnOnce(&CallLabels)) -> Vec<serde_json::Value> {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        let labels = CallLabels {
            service: "ssh".into(),
            plugin: "ssh-ca".into(),
            version: "1.0.0".into(),
            operation: "issue",
            lease: Some("an id".to_owned()),
        };
        tracing::subscriber::with_default(subscriber, || work(&labels));
        let bytes = written.0.lock().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn plugin_text_is_a_field_of_our_line() {
        let lines = logged(|labels| {
            let journal = Journal::new(LogLines::Held);
            journal
                .line(Level::Error, "forged\n{\"level\":\"ERROR\"} hunter22".to_owned())
                .unwrap();
            journal.write(Stream::Err, b"no line end").unwrap();
            journal.publish(labels, [&Secret::new("hunter22")]);
        });
        let [first, second] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(first["level"], "ERROR");
        assert_eq!(first["fields"]["message"], "a plugin logged");
        assert_eq!(first["fields"]["text"], "forged\\n{\"level\":\"ERROR\"} [masked]");
        for (key, value) in [
            ("service", "ssh"),
            ("plugin", "ssh-ca"),
            ("version", "1.0.0"),
            ("operation", "issue"),
            ("lease", "an id"),
        ] {
            assert_eq!(first["fields"][key], value);
        }
        assert_eq!(
            (&second["level"], &second["fields"]["text"]),
            (&json!("WARN"), &json!("no line end"))
        );
    }

    #[test]
    fn of_a_call_that_broke_only_the_number_of_lines_is_logged() {
        let lines = logged(|labels| {
            let journal = Journal::new(LogLines::Held);
            journal.line(Level::Error, "a secret that is not known yet".to_owned()).unwrap();
            journal.write(Stream::Out, b"more of it").unwrap();
            journal.withhold(labels);
        });
        let [only] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(only["fields"]["lines"], 2);
        assert!(
            !only.to_string().contains("secret") && !only.to_string().contains("more of it"),
            "{only}"
        );
    }
}
