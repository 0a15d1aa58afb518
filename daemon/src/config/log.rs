//! `[log]`: the log on standard error.

use tracing::level_filters::LevelFilter;

use super::read::Table;

/// The format of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The level and the format of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    pub(crate) format: Format,
    pub(crate) level: LevelFilter,
    /// From which level on lines about requests are written, and about the events of the audit log.
    pub(crate) requests: LevelFilter,
    pub(crate) events: LevelFilter,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: Format::Human,
            level: LevelFilter::INFO,
            requests: LevelFilter::TRACE,
            events: LevelFilter::INFO,
        }
    }
}

impl Log {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let default = Self::default();
        let formats = [("human", Format::Human), ("json", Format::Json)];
        let levels = [
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
        ];
        Self {
            format: table.or("format", default.format, |value| value.one_of(&formats)),
            level: table.or("level", default.level, |value| value.one_of(&levels)),
            ..default
        }
    }
}
