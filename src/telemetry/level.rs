//! How important a line of the log is, and the switch by which a running process writes more or fewer of them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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

impl LogLevel {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, level)| *level == self).map_or("", |(name, _)| name)
    }

    /// The level of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(of, _)| *of == name).map(|(_, level)| *level)
    }
}

/// Changes what is written from now on. Clones change the same log.
#[derive(Clone)]
pub struct LogSwitch(Arc<Inner>);

struct Inner {
    level: Mutex<LogLevel>,
    set: Box<dyn Fn(LogLevel) + Send + Sync>,
}

impl LogSwitch {
    /// A switch that stands at `level`; `set` does what it says.
    pub fn new(level: LogLevel, set: impl Fn(LogLevel) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { level: Mutex::new(level), set: Box::new(set) }))
    }

    /// Where it stands: the least important lines that are written.
    pub fn level(&self) -> LogLevel {
        *self.0.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets it, and tells where it stood.
    pub fn set(&self, level: LogLevel) -> LogLevel {
        let mut current = self.0.level.lock().unwrap_or_else(PoisonError::into_inner);
        (self.0.set)(level);
        std::mem::replace(&mut current, level)
    }
}

impl Default for LogSwitch {
    /// One that no log hears of.
    fn default() -> Self {
        Self::new(LogLevel::default(), |_| {})
    }
}

impl fmt::Debug for LogSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogSwitch({})", self.level().as_str())
    }
}
