//! Everything that this process logs, in one place, as JSON lines.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Begins to collect. Every stage does it; the first one counts.
pub(crate) fn collect() {
    INSTALLED.get_or_init(|| {
        tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(Collector)
            .init();
    });
}

/// Where the log stands, to read from there on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(usize);

impl Mark {
    /// Now.
    pub(crate) fn now() -> Self {
        Self(written().len())
    }

    /// All that was written since, as it was written.
    pub(crate) fn text(self) -> String {
        String::from_utf8(written().get(self.0..).unwrap_or_default().to_vec())
            .expect("a log is text")
    }

    /// The lines since that are the daemon's own, as they were written: at this level its libraries
    /// tell every step.
    pub(crate) fn own(self) -> String {
        let text = self.text();
        text.lines().filter(|line| line.contains(r#""target":"credsmith_"#)).collect()
    }

    /// The events since that concern `service`, as their fields. A line that is no JSON would mean
    /// that a plugin wrote one of its own.
    pub(crate) fn events(self, service: &str) -> Vec<Value> {
        let text = self.text();
        let events = text.lines().map(|line| {
            let event: Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("a forged line: {line}"));
            event["fields"].clone()
        });
        events.filter(|fields| fields["service"] == service).collect()
    }

    /// What plugins of `service` logged since.
    pub(crate) fn said(self, service: &str) -> Vec<String> {
        let events = self
            .events(service)
            .into_iter()
            .filter(|fields| fields["message"] == "a plugin logged");
        events.map(|fields| fields["text"].as_str().expect("a text").to_owned()).collect()
    }
}

fn written() -> MutexGuard<'static, Vec<u8>> {
    WRITTEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Clone, Copy)]
struct Collector;

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        written().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Collector {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}
