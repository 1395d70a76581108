//! Takes in what Misskey gave up sending here: after hikyaku was away for longer than Misskey's own retries last (about 11
//! minutes), the events are still in Misskey's list of failed jobs.
//!
//! ```text
//! Misskey's failed jobs --> addressed to us? --> secret right for its scope? --> seen before? --> stored
//!     (misskey::jobs)         (address.rs)          (decide::Gate)                (the receipts)
//! ```
//!
//! A job becomes the very bytes that Misskey would have sent, and passes the same gate as those: whoever can put a job into
//! Misskey's list (everyone with a webhook there) can do no more than by sending it. An event that was accepted before, by
//! HTTP or here, is known by its receipt and not taken in again, so this can be done any number of times.
//!
//! Misskey keeps the latest 100 failed jobs of each queue, for all its people together: a full list may have lost some.

mod address;
mod job;
mod repeat;

use std::collections::BTreeMap;

use super::Ingest;
use super::misskey::{MisskeyPolicy, gates_of};
use crate::decide::Gate;
use crate::misskey::{FailedJob, JobQueue, Misskey, MisskeyError};
use crate::model::{Secret, Source};
use crate::queue::{Once, QueueError};
use crate::traces::Kind;

pub use address::Reach;
pub use job::RefusedJob;
pub use repeat::Reconciling;

/// Takes in what one Misskey gave up.
#[derive(Debug)]
pub struct Reconciler {
    misskey: Misskey,
    token: Secret,
    reach: Reach,
    gates: BTreeMap<Source, Gate>,
    ingest: Ingest,
}

/// What reconciling came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Deliveries in Misskey's lists.
    pub found: usize,
    /// Those of them that could not be read, whoever they were for.
    pub unreadable: usize,
    /// Those addressed to us.
    pub ours: usize,
    /// Those of ours that were taken in, or would be in a dry run.
    pub taken_in: usize,
    /// Those of ours that had been accepted before.
    pub known: usize,
    /// Those of ours that may not come in.
    pub refused: Vec<RefusedJob>,
    /// The queues whose list was full, so that older deliveries may be lost.
    pub full: Vec<JobQueue>,
}

/// Why reconciling stopped. What was taken in before is stored, and known when it is done again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Misskey's lists cannot be read.
    #[error("Misskey's list of failed deliveries ({}) cannot be read{}", .queue.as_str(), cure(.error))]
    Misskey {
        /// Which list.
        queue: JobQueue,
        /// Why.
        #[source]
        error: MisskeyError,
    },
    /// An event is not stored, or it is not known.
    #[error("what Misskey gave up cannot be stored")]
    NotStored(#[from] QueueError),
}

impl Reconciler {
    /// Takes in, through `ingest`, what `misskey` gave up sending to an address within `reach`, read with a moderator's
    /// `token` and admitted as `policy` says.
    pub fn new(misskey: Misskey, token: Secret, reach: Reach, policy: MisskeyPolicy, ingest: Ingest) -> Self {
        Self { misskey, token, reach, gates: gates_of(policy), ingest }
    }

    /// Does it once; in a `dry_run` only tells what it would do. `Ok` promises that everything of ours in Misskey's lists
    /// is stored, was so before, or is among the refused.
    ///
    /// # Errors
    /// [`ReconcileError`]; doing it again goes on where it stopped.
    pub async fn run(&self, dry_run: bool) -> Result<Reconciled, ReconcileError> {
        let mut done = Reconciled::default();
        for queue in JobQueue::ALL {
            let read = self.misskey.failed_jobs(&self.token, queue).await;
            let failed = read.map_err(|error| ReconcileError::Misskey { queue, error })?;
            if failed.is_full() {
                done.full.push(queue);
            }
            done.found += failed.jobs.len() + failed.unreadable;
            done.unreadable += failed.unreadable;
            // Misskey lists the latest first.
            for job in failed.jobs.iter().rev() {
                if let Some(source) = self.reach.source_of(&job.to) {
                    done.ours += 1;
                    self.take(job, source, dry_run, &mut done).await?;
                }
            }
        }
        Ok(done)
    }

    async fn take(
        &self,
        job: &FailedJob,
        source: Source,
        dry_run: bool,
        done: &mut Reconciled,
    ) -> Result<(), ReconcileError> {
        match self.admitted(job, source) {
            Err(why) => done.refused.push(RefusedJob::new(job, &why)),
            // Asked first, so that what is in the list for a week is not offered, and counted as sent again, all week.
            Ok((_, Some(key))) if self.ingest.knows(key).await => done.known += 1,
            Ok(_) if dry_run => done.taken_in += 1,
            Ok((event, key)) => {
                let mut span = self.ingest.tracer.begin(Kind::Internal, "reconcile", None);
                match self.ingest.accept(event, key, (), &span).await? {
                    Once::Known => {
                        span.discard();
                        done.known += 1;
                    }
                    Once::Stored => {
                        self.ingest.telemetry.event_reconciled();
                        done.taken_in += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

impl ReconcileError {
    /// Whether it can pass by itself; else a person has to mend something.
    pub fn can_pass(&self) -> bool {
        match self {
            Self::Misskey { error, .. } => matches!(error, MisskeyError::Away { .. }),
            Self::NotStored(_) => true,
        }
    }
}

/// What to mend, where a person can.
fn cure(error: &MisskeyError) -> &'static str {
    match error.code() {
        Some("AUTHENTICATION_FAILED" | "CREDENTIAL_REQUIRED") => {
            " (the token is wrong or was taken back; set misskey.token anew)"
        }
        Some("PERMISSION_DENIED") => " (the token needs the permission read:admin:queue)",
        Some("ROLE_PERMISSION_DENIED" | "ACCESS_DENIED") => " (the token must be a moderator's)",
        Some("UNKNOWN_API_ENDPOINT" | "INVALID_PARAM") => {
            " (this Misskey has no such list that we know how to read; it may be too old)"
        }
        _ => "",
    }
}
