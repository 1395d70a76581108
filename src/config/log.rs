//! `[log]`: what is logged, and how.

use super::reader::Section;
use crate::telemetry::LogLevel;

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// `level`: the least important lines that are still written. Default `info`: what happens to the process, not to
    /// each delivery.
    pub level: LogLevel,
    /// `format`: how a line is written. Default `auto`: as whoever reads it wants it.
    pub format: LogFormat,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, else for collectors.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl Log {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
        Self {
            level: section.word("level", &LogLevel::ALL).unwrap_or_default(),
            format: section.word("format", &formats).unwrap_or_default(),
        }
    }
}
