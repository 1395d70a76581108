//! Sets up the log: lines on standard error, as text or JSON.
//!
//! Our own lines, from `telemetry`, come at the level that is set. Libraries speak only of warnings: below that they name
//! addresses and URLs. lapin calls the end of any connection an error, our own farewell too; what it means is in our lines,
//! so lapin is heard only when everything is wanted.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, reload};

use crate::config::{Log, LogFormat};
use crate::telemetry::{LogLevel, LogSwitch};

/// Starts to write lines as `log` says, and returns what changes their level. A second call changes nothing.
pub(super) fn start(log: &Log) -> LogSwitch {
    let (filter, handle) = reload::Layer::new(targets(log.level));
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr);
    let on_terminal = std::io::stderr().is_terminal();
    let is_json = match log.format {
        LogFormat::Auto => !on_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = if is_json {
        lines.json().with_span_list(false).with_filter(filter).boxed()
    } else {
        lines.with_ansi(on_terminal).with_filter(filter).boxed()
    };
    let _started_before = tracing_subscriber::registry().with(lines).try_init();
    LogSwitch::new(log.level, move |level| {
        // Gone is only what was never started.
        let _nobody_logs = handle.reload(targets(level));
    })
}

/// What is written at `level`.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let of_lapin = if level >= LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
    Targets::new()
        .with_target("hikyaku", level)
        .with_target("lapin", of_lapin)
        .with_default(level.min(LevelFilter::WARN))
}
