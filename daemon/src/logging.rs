//! The log: lines on standard error, as text for people or as JSON for programs.
//!
//! A line is formatted in the thread of its event and written by a separate thread, so that a
//! process that does not read our standard error holds up no request: lines that do not fit into
//! the queue are dropped and counted, and the count is logged. The writing thread takes all queued
//! lines at once and then rests for a moment: waking it for each line cost more than the rest of a
//! cheap request. Errors are the exception: they are written at once, and the thread that logs one
//! waits for that for a short time, since the process may be about to end. Foreign text is data:
//! the writer escapes every control character, so that one event is one line and cannot control a
//! terminal.
//!
//! Events of other crates are logged from `warn` upwards only, whatever the level: below that,
//! libraries for HTTP and TLS log the data that they transport.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use credsmith_core::text::is_unfit_for_names;
use parking_lot::{Condvar, Mutex};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config::Log;
use crate::config::log::Format;

/// The target of audit events; they are logged at every level.
pub(crate) const AUDIT: &str = "audit";
/// Most bytes in the queue. The writing thread may hold as many again.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Room that the queue keeps for the next lines.
const KEPT_ROOM: usize = 64 * 1024;
/// How long lines gather after some were written.
const REST: Duration = Duration::from_millis(2);
/// How long the thread that logs an error waits until it is written, unless the log is known to be
/// stalled.
const ERROR_WAIT: Duration = Duration::from_millis(100);
/// How long the end of the daemon waits for the last lines.
const FLUSH: Duration = Duration::from_secs(1);

/// Writes the queued lines when it is dropped, and waits for that for at most [`FLUSH`].
#[derive(Debug)]
pub(crate) struct Flush {
    lines: Arc<Lines>,
    written: Receiver<()>,
}

impl Flush {
    /// Makes the writer end once the queue is empty.
    fn begin(&self) {
        self.lines.waiting.lock().ending = true;
        self.lines.look.notify_one();
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.begin();
        let _ = self.written.recv_timeout(FLUSH);
    }
}

/// Installs the log for the whole process. Called once.
pub(crate) fn install(log: Log) -> Flush {
    let (queue, flush) = start(io::stderr(), log.format, ERROR_WAIT);
    let filter = Targets::new()
        .with_default(log.level.min(LevelFilter::WARN))
        .with_target("credsmith", log.level)
        .with_target("credsmith_http", log.level.min(log.requests))
        .with_target(AUDIT, log.events);
    let lines = tracing_subscriber::fmt::layer().with_writer(queue).with_ansi(false);
    let layer = match log.format {
        Format::Human => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
    // Fails only where a subscriber is installed already, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a thread panicked; what it was doing failed");
    }));
    flush
}

/// Takes whole lines from any thread.
#[derive(Debug, Clone)]
struct Queue {
    lines: Arc<Lines>,
    format: Format,
    urgent: bool,
}

/// The queue between the threads that log and the thread that writes.
#[derive(Debug)]
struct Lines {
    /// How long the thread that logs an error waits until it is written.
    patience: Duration,
    waiting: Mutex<Waiting>,
    /// Wakes the writer.
    look: Condvar,
    /// Wakes threads that wait for an error to be written.
    wrote: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    dropped: u64,
    /// Bytes that were ever queued, and how many of them have been written.
    queued: u64,
    written: u64,
    /// The writer sleeps until it is woken.
    idle: bool,
    /// A line has to be written without waiting for the rest of the writer.
    urgent: bool,
    /// The wait for an error timed out: standard error is not being read.
    stalled: bool,
    ending: bool,
}

fn start(
    target: impl Write + Send + 'static,
    format: Format,
    patience: Duration,
) -> (Queue, Flush) {
    let (done, written) = sync_channel(1);
    let lines = Arc::new(Lines {
        patience,
        waiting: Mutex::default(),
        look: Condvar::new(),
        wrote: Condvar::new(),
    });
    let queue = Queue { lines: Arc::clone(&lines), format, urgent: false };
    let flush = Flush { lines: Arc::clone(&lines), written };
    let write = move || {
        write_all(&lines, target, format);
        let _ = done.send(());
    };
    // Without a thread there is no log, but a daemon that can still revoke.
    let _ = thread::Builder::new().name("log".into()).spawn(write);
    (queue, flush)
}

fn write_all(lines: &Lines, mut target: impl Write, format: Format) {
    let mut batch = Vec::new();
    while let Some((dropped, until)) = lines.take(&mut batch) {
        // There is no place to report that the log cannot be written.
        let _ = target.write_all(&batch);
        if dropped > 0 {
            let _ = target.write_all(lost(dropped, format).as_bytes());
        }
        batch.clear();
        batch.shrink_to(KEPT_ROOM);
        lines.rest(until);
    }
    let _ = target.flush();
}

impl Lines {
    /// For the writer: waits for lines and moves them into `batch`, which is empty. Returns how
    /// many other lines were dropped and the number of bytes queued so far; `None` at the end.
    fn take(&self, batch: &mut Vec<u8>) -> Option<(u64, u64)> {
        let mut waiting = self.waiting.lock();
        while waiting.text.is_empty() && waiting.dropped == 0 {
            if waiting.ending {
                return None;
            }
            waiting.idle = true;
            self.look.wait(&mut waiting);
            waiting.idle = false;
        }
        waiting.urgent = false;
        mem::swap(batch, &mut waiting.text);
        Some((mem::take(&mut waiting.dropped), waiting.queued))
    }

    /// For the writer: marks the bytes up to `until` as written and rests, while lines gather.
    fn rest(&self, until: u64) {
        let mut waiting = self.waiting.lock();
        waiting.written = until;
        waiting.stalled = false;
        self.wrote.notify_all();
        let goes_on = |waiting: &mut Waiting| !waiting.urgent && !waiting.ending;
        self.look.wait_while_for(&mut waiting, goes_on, REST);
    }

    fn put(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.waiting.lock();
        if waiting.text.len() + line.len() > MAX_BYTES {
            waiting.dropped += 1;
            return;
        }
        waiting.text.extend_from_slice(line);
        waiting.queued += u64::try_from(line.len()).unwrap_or_default();
        waiting.urgent |= urgent;
        if waiting.idle || urgent {
            self.look.notify_one();
        }
        if urgent && !waiting.stalled {
            let until = waiting.queued;
            let unwritten = |waiting: &mut Waiting| waiting.written < until;
            self.wrote.wait_while_for(&mut waiting, unwritten, self.patience);
            waiting.stalled = unwritten(&mut waiting);
        }
    }
}

fn lost(dropped: u64, format: Format) -> String {
    let message = format!("{dropped} log lines were dropped: the log was not read fast enough");
    match format {
        Format::Human => format!("WARN credsmith: {message}\n"),
        Format::Json => {
            let line = serde_json::json!({ "level": "WARN", "message": message, "dropped": dropped, "target": "credsmith" });
            format!("{line}\n")
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Self {
        Self { urgent: *event.level() == Level::ERROR, ..self.clone() }
    }
}

/// The formatter passes one whole event per call.
impl Write for Queue {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let body = event.strip_suffix(b"\n");
        if body.is_some_and(|body| body.iter().all(|byte| (b' '..=b'~').contains(byte))) {
            self.lines.put(event, self.urgent);
        } else {
            let text = String::from_utf8_lossy(event);
            self.lines.put(one_line(&text, self.format).as_bytes(), self.urgent);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Formats the event as one line: characters that a terminal or a log reader could misinterpret are
/// escaped.
fn one_line(event: &str, format: Format) -> String {
    let body = event.strip_suffix('\n').unwrap_or(event);
    let mut line = String::with_capacity(event.len());
    for c in body.chars() {
        match (is_unfit_for_names(c), format) {
            (false, _) => line.push(c),
            (true, Format::Human) => line.extend(c.escape_default()),
            // All of these are in the basic plane, so that four digits do.
            (true, Format::Json) => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Blocks until it is released.
    struct Stalled(mpsc::Receiver<()>, Sink);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let (queue, flush) = start(sink.clone(), format, ERROR_WAIT);
        let layer = tracing_subscriber::fmt::layer().with_writer(queue).with_ansi(false);
        let layer = match format {
            Format::Human => layer.boxed(),
            Format::Json => layer.json().flatten_event(true).boxed(),
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        drop(flush);
        sink.text()
    }

    const HOSTILE: &str = "a\nINFO forged\r\x1b[31m\u{9b}31m\u{202e}\u{2028}\0 ä";

    #[test]
    fn an_event_is_one_line_without_control_characters() {
        for format in [Format::Human, Format::Json] {
            let text =
                logged(format, || tracing::info!(hostile = HOSTILE, shown = %HOSTILE, "{HOSTILE}"));
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(text.ends_with('\n'));
            assert!(!text.trim_end_matches('\n').chars().any(is_unfit_for_names), "{text:?}");
            assert!(text.contains('ä'));
        }
    }

    #[test]
    fn escaped_json_still_says_what_was_said() {
        let text = logged(Format::Json, || tracing::info!(hostile = HOSTILE, "m"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["hostile"], HOSTILE);
    }

    #[test]
    fn a_stalled_reader_costs_lines_and_delays_no_thread() {
        let (go, stalled) = mpsc::channel::<()>();
        let sink = Sink::default();
        let (mut queue, flush) = start(Stalled(stalled, sink.clone()), Format::Human, ERROR_WAIT);
        let line = [&vec![b'x'; MAX_BYTES / 4 - 1][..], b"\n"].concat();
        // Ends at all only because a full queue does not block. Four may be with the writer, four
        // wait.
        for _ in 0..20 {
            queue.write_all(&line).unwrap();
        }
        assert!(queue.lines.waiting.lock().text.len() <= MAX_BYTES);
        drop(go);
        flush.begin();
        flush.written.recv().unwrap();
        let text = sink.text();
        let dropped = text.lines().filter(|line| line.contains("log lines were dropped"));
        let dropped: usize =
            dropped.map(|line| line.split(' ').nth(2).unwrap().parse::<usize>().unwrap()).sum();
        let written = text.lines().filter(|line| line.starts_with('x')).count();
        assert_eq!(written + dropped, 20);
        assert!((12..=16).contains(&dropped), "{dropped}");
    }

    #[test]
    fn an_error_is_written_when_it_has_been_logged() {
        let sink = Sink::default();
        let (queue, _flush) = start(sink.clone(), Format::Human, Duration::from_secs(60));
        let layer = tracing_subscriber::fmt::layer().with_writer(queue).with_ansi(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for number in 0..20 {
                tracing::info!("before {number}");
                tracing::error!("error {number}");
                assert!(
                    sink.text().trim_end().ends_with(&format!("error {number}")),
                    "{}",
                    sink.text()
                );
            }
        });
    }

    #[test]
    fn errors_wait_once_for_a_reader_that_stalls() {
        let (_go, stalled) = mpsc::channel::<()>();
        let (queue, flush) = start(Stalled(stalled, Sink::default()), Format::Human, ERROR_WAIT);
        let mut errors = Queue { urgent: true, ..queue };
        errors.write_all(b"the first\n").unwrap();
        assert!(flush.lines.waiting.lock().stalled);
        let begun = std::time::Instant::now();
        for _ in 0..1000 {
            errors.write_all(b"another\n").unwrap();
        }
        assert!(begun.elapsed() < ERROR_WAIT * 500, "each of them waited");
        // The sink is never read: the end of the writer must not wait for it either.
        mem::forget(flush);
    }
}
