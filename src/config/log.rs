//! `[log]`: what is logged, and how.

use super::reader::Section;

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// `level`: the least important lines that are still written. Default `info`: what happens to the process, not to
    /// each delivery.
    pub level: LogLevel,
    /// `format`: how a line is written. Default `text`: for people at a terminal.
    pub format: LogFormat,
}

/// How important a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Data lost, or a person needed.
    Error,
    /// Dead-lettered or degraded.
    Warn,
    /// What happens to the process.
    #[default]
    Info,
    /// Each success.
    Debug,
    /// Everything.
    Trace,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl Log {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let levels = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        Self {
            level: section.word("level", &levels).unwrap_or_default(),
            format: section.word("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]).unwrap_or_default(),
        }
    }
}
