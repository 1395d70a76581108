//! What Misskey has given up: `admin/queue/jobs`, the failed ones of its two webhook queues.
//!
//! ```json
//! [{"id":"1234","name":"..","data":{"type":"note","content":{..},"webhookId":"..","userId":"..","to":"http://..","secret":"..",
//!   "createdAt":1774960496789,"eventId":".."},"failedReason":"503 ..","finishedOn":1774961200000,..}]
//! ```
//!
//! `content` is what Misskey sends as `body`; system webhooks have no `userId`. Misskey keeps the latest [`JOBS_KEPT`] of each
//! queue, of the whole server and all its people, for at most 7 days.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::client::{Misskey, read};
use super::error::MisskeyError;
use crate::model::Secret;

/// Failed jobs that Misskey keeps of each queue (`removeOnFail` in its `QueueService`).
pub const JOBS_KEPT: usize = 100;
/// Bytes of them together: a hundred of Misskey's largest notes.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// One of Misskey's queues of webhook deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobQueue {
    /// To users' webhooks.
    User,
    /// To system webhooks.
    System,
}

impl JobQueue {
    /// Both.
    pub const ALL: [Self; 2] = [Self::User, Self::System];

    /// Misskey's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "userWebhookDeliver",
            Self::System => "systemWebhookDeliver",
        }
    }
}

/// A delivery that Misskey has given up.
#[derive(Clone, Debug)]
pub struct FailedJob {
    /// Its id in the queue.
    pub id: String,
    /// The event's type.
    pub kind: String,
    /// The webhook on Misskey that it is for.
    pub hook_id: String,
    /// Whose event it is; none: a system event.
    pub user_id: Option<String>,
    /// The address that it was sent to.
    pub to: String,
    /// The secret that it was sent with.
    pub secret: Secret,
    /// The event's id, the same at each of Misskey's tries.
    pub event_id: String,
    /// When it happened, milliseconds since 1970.
    pub created_at_ms: i64,
    /// The event's body, byte for byte as Misskey wrote it.
    pub body: Bytes,
}

/// The failed jobs of a queue.
#[derive(Clone, Debug, Default)]
pub struct FailedJobs {
    /// Those that can be read.
    pub jobs: Vec<FailedJob>,
    /// How many cannot.
    pub unreadable: usize,
}

impl FailedJobs {
    /// Whether Misskey's list was full: older ones may have been dropped from it.
    pub fn is_full(&self) -> bool {
        self.jobs.len() + self.unreadable >= JOBS_KEPT
    }
}

#[derive(Deserialize)]
struct Job {
    #[serde(default)]
    id: Option<String>,
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    #[serde(rename = "type")]
    kind: String,
    content: Box<RawValue>,
    webhook_id: String,
    #[serde(default)]
    user_id: Option<String>,
    to: String,
    #[serde(default)]
    secret: Option<String>,
    created_at: i64,
    event_id: String,
}

impl Misskey {
    /// What Misskey has given up in `queue`. Needs a moderator's token, an app's with `read:admin:queue`.
    ///
    /// # Errors
    /// As every call. A job that cannot be read is counted, and fails nothing.
    pub async fn failed_jobs(&self, token: &Secret, queue: JobQueue) -> Result<FailedJobs, MisskeyError> {
        let params = json!({ "queue": queue.as_str(), "state": ["failed"] });
        let answer = self.call_for("admin/queue/jobs", Some(token), params, ANSWER_BYTES_MAX).await?;
        let mut failed = FailedJobs::default();
        for job in read::<Vec<&RawValue>>("admin/queue/jobs", &answer)? {
            match serde_json::from_str::<Job>(job.get()) {
                Ok(job) => failed.jobs.push(job.failed()),
                Err(_) => failed.unreadable += 1,
            }
        }
        Ok(failed)
    }
}

impl Job {
    fn failed(self) -> FailedJob {
        let Data { kind, content, webhook_id, user_id, to, secret, created_at, event_id } = self.data;
        FailedJob {
            id: self.id.unwrap_or_default(),
            kind,
            hook_id: webhook_id,
            user_id,
            to,
            secret: Secret::new(&secret.unwrap_or_default()),
            event_id,
            created_at_ms: created_at,
            body: Bytes::from(String::from(Box::<str>::from(content))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_that_cannot_be_read_fill_the_list_too() {
        let failed = |unreadable| FailedJobs { jobs: Vec::new(), unreadable };
        assert!(failed(JOBS_KEPT).is_full());
        assert!(!failed(JOBS_KEPT - 1).is_full());
    }
}
