//! A part of ours that does not work for now: the words that readiness shows, and the log line when that begins and ends.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use super::{Telemetry, chain};

impl Telemetry {
    /// Something did not succeed this time, and is done soon, when its turn comes again; `what` is that. Should it fail then too,
    /// that is [`Self::trouble`].
    pub fn put_off(&self, what: &str, error: &dyn Error) {
        self.metrics.parts.troubles.inc();
        tracing::warn!("{what}; it is tried again soon: {}", chain(error));
    }
}

/// The trouble of one part, if it has any.
#[derive(Debug)]
pub struct Trouble {
    what: &'static str,
    words: Mutex<Option<String>>,
}

impl Trouble {
    /// No trouble yet; `what` says what does not work when there is some.
    pub const fn none(what: &'static str) -> Self {
        Self { what, words: Mutex::new(None) }
    }

    /// The trouble in words.
    pub fn words(&self) -> Option<String> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something of the part's failed. Tells whether its trouble has only now begun.
    pub fn failed(&self, error: &dyn Error, telemetry: &Telemetry) -> bool {
        telemetry.trouble(self.what, error);
        self.begins(error)
    }

    /// The part was tried by the clock, and failed. The log has a line when that begins, not one for each time.
    pub fn failed_by_the_clock(&self, error: &dyn Error, telemetry: &Telemetry) {
        let begins = self.begins(error);
        telemetry.trouble_by_the_clock(self.what, error, begins);
    }

    /// Takes the words; true when there were none.
    fn begins(&self, error: &dyn Error) -> bool {
        let words = format!("{}: {}", self.what, chain(error));
        self.words.lock().unwrap_or_else(PoisonError::into_inner).replace(words).is_none()
    }

    /// Something of the part's succeeded.
    pub fn succeeded(&self, telemetry: &Telemetry) {
        if self.words.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            telemetry.recovered(self.what);
        }
    }
}
