//! The log: lines on standard error, for eyes or for machines.
//!
//! A line is formatted where the event happens and written by a thread of its own, so that whoever does not read our standard error
//! holds up no request: what does not fit the queue is dropped and counted, and the count is logged. Text of others is data: the
//! writer escapes every control character, so that one event is one line and no terminal obeys it.
//!
//! Other crates are heard from `warn` upwards only, whatever the level: below that, libraries for HTTP and TLS show what they carry.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config::Log;
use crate::config::log::Format;

/// The target of audit events; they are logged at every level.
pub(crate) const AUDIT: &str = "audit";
/// Most lines that wait to be written.
const MAX_LINES: usize = 8192;
/// Most bytes that wait to be written.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How long the end of the daemon waits for the last lines.
const FLUSH: Duration = Duration::from_secs(1);

/// Writes what is still queued when dropped, as far as somebody reads it.
#[derive(Debug)]
pub(crate) struct Flush {
    queue: Queue,
    written: Receiver<()>,
}

impl Drop for Flush {
    fn drop(&mut self) {
        // A full queue means that nobody reads: there is no use in waiting.
        if self.queue.lines.try_send(None).is_ok() {
            let _ = self.written.recv_timeout(FLUSH);
        }
    }
}

/// Installs the log for the whole process. Called once.
pub(crate) fn install(log: Log) -> Flush {
    let (queue, flush) = start(io::stderr(), log.format);
    let filter = Targets::new()
        .with_default(log.level.min(LevelFilter::WARN))
        .with_target("credsmith", log.level)
        .with_target(AUDIT, Level::INFO);
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

/// Takes whole lines from any thread without waiting.
#[derive(Debug, Clone)]
struct Queue {
    lines: SyncSender<Option<Vec<u8>>>,
    state: Arc<State>,
    format: Format,
}

#[derive(Debug, Default)]
struct State {
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
}

fn start(target: impl Write + Send + 'static, format: Format) -> (Queue, Flush) {
    let (lines, waiting) = sync_channel(MAX_LINES);
    let (done, written) = sync_channel(1);
    let queue = Queue { lines, state: Arc::default(), format };
    let state = Arc::clone(&queue.state);
    let write = move || {
        write_all(&waiting, target, &state, format);
        let _ = done.send(());
    };
    // Without a thread there is no log, but a daemon that can still revoke.
    let _ = thread::Builder::new().name("log".into()).spawn(write);
    (queue.clone(), Flush { queue, written })
}

fn write_all(waiting: &Receiver<Option<Vec<u8>>>, mut target: impl Write, state: &State, format: Format) {
    while let Ok(Some(line)) = waiting.recv() {
        state.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        // There is nowhere to tell that the log cannot be written.
        let _ = target.write_all(&line);
        let dropped = state.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let _ = target.write_all(lost(dropped, format).as_bytes());
        }
    }
    let _ = target.flush();
}

fn lost(dropped: u64, format: Format) -> String {
    let message = format!("{dropped} log lines were dropped: nobody read the log fast enough");
    match format {
        Format::Human => format!("WARN credsmith: {message}\n"),
        Format::Json => {
            let line = serde_json::json!({ "level": "WARN", "message": message, "dropped": dropped, "target": "credsmith" });
            format!("{line}\n")
        }
    }
}

impl Queue {
    fn put(&self, line: Vec<u8>) {
        let length = line.len();
        let waiting = self.state.waiting_bytes.fetch_add(length, Ordering::Relaxed);
        if waiting + length > MAX_BYTES || self.lines.try_send(Some(line)).is_err() {
            self.state.waiting_bytes.fetch_sub(length, Ordering::Relaxed);
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl MakeWriter<'_> for Queue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The formatter hands over one whole event a call.
impl Write for Queue {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        self.put(one_line(&text, self.format).into_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The event as one line: what a terminal or a log reader could take for something else is escaped.
fn one_line(event: &str, format: Format) -> String {
    let body = event.strip_suffix('\n').unwrap_or(event);
    let mut line = String::with_capacity(event.len());
    for c in body.chars() {
        match (misleads(c), format) {
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

/// Control characters, line separators, and marks that turn the direction of text around.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Blocks until it is let go.
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
        let (queue, flush) = start(sink.clone(), format);
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
            let text = logged(format, || tracing::info!(hostile = HOSTILE, shown = %HOSTILE, "{HOSTILE}"));
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(text.ends_with('\n'));
            assert!(!text.trim_end_matches('\n').chars().any(misleads), "{text:?}");
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
    fn a_reader_that_stalls_costs_lines_and_nobody_time() {
        let (go, stalled) = mpsc::channel();
        let sink = Sink::default();
        let (mut queue, flush) = start(Stalled(stalled, sink.clone()), Format::Human);
        // Ends at all only because a full queue does not block.
        for _ in 0..MAX_LINES + 10 {
            queue.write_all(b"line\n").unwrap();
        }
        drop(go);
        // The writer drains the queue now; the mark that ends it has to find room.
        while flush.queue.lines.try_send(Some(Vec::new())).is_err() {
            thread::yield_now();
        }
        let _ = flush.queue.lines.send(None);
        flush.written.recv().unwrap();
        let text = sink.text();
        let dropped = text.lines().find(|line| line.contains("log lines were dropped")).unwrap();
        let count: usize = dropped.split(' ').nth(2).unwrap().parse().unwrap();
        assert!((8..=10).contains(&count), "{dropped}");
    }

    #[test]
    fn bytes_that_wait_are_bounded() {
        let (go, stalled) = mpsc::channel::<()>();
        let (mut queue, _flush) = start(Stalled(stalled, Sink::default()), Format::Human);
        let line = vec![b'x'; MAX_BYTES / 4];
        for _ in 0..20 {
            queue.write_all(&line).unwrap();
        }
        assert!(queue.state.waiting_bytes.load(Ordering::Relaxed) <= MAX_BYTES);
        assert!(queue.state.dropped.load(Ordering::Relaxed) >= 15);
        drop(go);
    }
}
