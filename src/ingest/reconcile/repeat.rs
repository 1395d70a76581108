//! Reconciles beside a running worker: at its start, and from time to time, since an event can also be given up while the
//! worker runs (the queue was away for long, or the way from Misskey to here was cut; docs/decisions/0020).
//!
//! It never holds anything up, and never gives up: while Misskey is away, or will not say, it is asked again after waits
//! that grow to [`WAIT_LONGEST`].

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{ReconcileError, Reconciled, Reconciler, RefusedJob};
use crate::clock::{Backoff, SharedClock};
use crate::telemetry::{Reconciliation, SharedTelemetry, chain};

/// The waits after a failure.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_LONGEST: Duration = Duration::from_secs(300);

/// Reconciles until it is dropped.
#[derive(Debug)]
pub struct Reconciling(JoinHandle<()>);

impl Reconciling {
    /// Starts at once, and does it again `every` so often; without that, once.
    pub fn start(
        reconciler: Reconciler,
        every: Option<Duration>,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Self {
        let mut repeated = Repeated { telemetry, refused: BTreeSet::new(), is_first: true, trouble: None };
        Self(tokio::spawn(async move {
            let mut backoff = Backoff::new(WAIT_FIRST, WAIT_LONGEST);
            loop {
                let wait = match reconciler.run(false).await {
                    Ok(done) => {
                        repeated.tell(done);
                        backoff.reset();
                        match every {
                            Some(every) => every,
                            None => return,
                        }
                    }
                    Err(error) => {
                        repeated.tell_trouble(&error);
                        backoff.next_wait()
                    }
                };
                clock.sleep_until(clock.now().plus(wait)).await;
            }
        }))
    }
}

impl Drop for Reconciling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What was told before, so that nothing is told each time anew.
struct Repeated {
    telemetry: SharedTelemetry,
    refused: BTreeSet<RefusedJob>,
    is_first: bool,
    trouble: Option<String>,
}

impl Repeated {
    fn tell(&mut self, done: Reconciled) {
        let Reconciled { found, ours, taken_in, known, refused, full, .. } = done;
        let refused: BTreeSet<RefusedJob> = refused.into_iter().collect();
        for RefusedJob { hook_id, event_id, why, .. } in refused.difference(&self.refused) {
            self.telemetry.reconciliation_refused(hook_id, event_id, why);
        }
        let is_full = !full.is_empty();
        let counts = Reconciliation { found, ours, taken_in, known, refused: refused.len(), is_full };
        let is_news = self.is_first || self.trouble.take().is_some() || taken_in > 0;
        self.telemetry.reconciled(counts, is_news);
        (self.refused, self.is_first) = (refused, false);
    }

    fn tell_trouble(&mut self, error: &ReconcileError) {
        let words = chain(error);
        if self.trouble.as_ref() != Some(&words) {
            self.telemetry.not_reconciled(&words, error.can_pass());
            self.trouble = Some(words);
        }
    }
}
