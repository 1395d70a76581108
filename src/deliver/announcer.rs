//! Tells owners that hikyaku has switched off a webhook of theirs: an event of our own, [`WEBHOOK_DEACTIVATED`], for whoever
//! subscribes to it.
//!
//! The registry keeps what is to be told, from the step in which a webhook is deactivated until it was published here. So
//! nothing is lost when the queue takes nothing for a while, or the process dies; and what is published twice after such a
//! fault has the same event id, which is made of the webhook's and of the moment. What nobody subscribes to is not published.
//!
//! A task of its own, on the runtime that starts the worker: the worker's thread never waits for it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::clock::{Backoff, SharedClock};
use crate::model::{
    Body, Event, EventId, EventType, Message, Source, Status, Target, Timestamp, WEBHOOK_DEACTIVATED, Webhook,
};
use crate::queue::Queue;
use crate::registry::{Announcement, Known, Registry, Snapshot};
use crate::telemetry::{SharedTelemetry, Trouble};

/// Announcements read at a time.
const BATCH: usize = 100;
/// The first wait after a failure, and the longest.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long the last of it may take at the end; the rest is told at the next start.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);
/// The space of our own events' ids.
const EVENT_ID_SPACE: Uuid = Uuid::from_u128(0x3b1d_94e2_7a0c_4d5f_8e61_c2f7_05ab_9d34);

/// The running task; it ends with this.
#[derive(Debug)]
pub(super) struct Announcer {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

/// What the task works with.
#[derive(Debug)]
pub(super) struct AnnouncerParts {
    pub(super) queue: Queue,
    pub(super) registry: Arc<Registry>,
    pub(super) clock: SharedClock,
    pub(super) telemetry: SharedTelemetry,
    /// The `server` of events of the default source.
    pub(super) server: Option<String>,
    /// Tells that there is something to announce.
    pub(super) deactivated: Arc<Notify>,
}

impl Announcer {
    /// Announces what is still to be told, and then what comes.
    pub(super) fn start(parts: AnnouncerParts) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { task: tokio::spawn(parts.run(stopped)), stop }
    }

    /// Ends it, after what it is doing.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        let _told_at_the_next_start = tokio::time::timeout(STOP_WAIT_MAX, &mut self.task).await;
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl AnnouncerParts {
    async fn run(self, mut stopped: watch::Receiver<bool>) {
        let trouble = Trouble::none("owners cannot be told that a webhook of theirs was deactivated");
        let mut backoff = Backoff::new(RETRY_WAITS.0, RETRY_WAITS.1);
        let mut published = None;
        loop {
            let wait = match self.announce_all(&mut published).await {
                Ok(()) => {
                    trouble.succeeded(&self.telemetry);
                    backoff.reset();
                    None
                }
                Err(error) => {
                    trouble.failed_by_the_clock(&*error, &self.telemetry);
                    Some(backoff.next_wait())
                }
            };
            tokio::select! {
                _told_or_gone = stopped.wait_for(|stop| *stop) => return,
                () = next_turn(&self.deactivated, wait) => {}
            }
        }
    }

    /// Announces what is still to be told. `published` is what was published and not yet noted as told, so that it is not
    /// published again.
    async fn announce_all(&self, published: &mut Option<Announcement>) -> Result<(), Box<dyn Error + Send + Sync>> {
        loop {
            let batch = self.registry.announcements(BATCH).await?;
            if batch.is_empty() {
                return Ok(());
            }
            for announcement in batch {
                if published.as_ref() != Some(&announcement) {
                    self.announce(&announcement).await?;
                    *published = Some(announcement.clone());
                }
                self.registry.announced(&announcement).await?;
            }
        }
    }

    async fn announce(&self, announcement: &Announcement) -> Result<(), Box<dyn Error + Send + Sync>> {
        let snapshot = self.registry.snapshot();
        // Who has deleted it need not be told.
        let Known::Webhook(webhook) = snapshot.find(&announcement.webhook) else { return Ok(()) };
        let server = self.server.clone().filter(|_| webhook.source == Source::default());
        let event = event_of(announcement, webhook, server, self.clock.now())?;
        if is_wanted(&event, &snapshot) {
            let message = Message { event: Arc::new(event), target: Target::Subscribers };
            self.queue.publish(vec![message]).await?;
        }
        Ok(())
    }
}

/// Ends when there is something to announce, or after `wait`, if there is one.
async fn next_turn(deactivated: &Notify, wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => deactivated.notified().await,
    }
}

/// Whether anybody would get it.
fn is_wanted(event: &Event, snapshot: &Snapshot) -> bool {
    snapshot.subscribers(event).any(|webhook| webhook.status == Status::Active)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeactivatedBody<'a> {
    webhook: WebhookBody<'a>,
    reason: &'static str,
    failing_since: Option<String>,
    deactivated_at: String,
}

/// Of the URL only the host: the rest of it is often the receiver's secret, and this goes to another receiver.
#[derive(Serialize)]
struct WebhookBody<'a> {
    id: &'a str,
    name: &'a str,
    host: &'a str,
}

/// The event that tells it: of the webhook's owner and source, of the moment at which that was deactivated.
fn event_of(
    announcement: &Announcement,
    webhook: &Webhook,
    server: Option<String>,
    now: Timestamp,
) -> Result<Event, Box<dyn Error + Send + Sync>> {
    let deactivation = &announcement.deactivation;
    let body = DeactivatedBody {
        webhook: WebhookBody {
            id: webhook.id.as_str(),
            name: &webhook.name,
            host: webhook.url.host_str().unwrap_or_default(),
        },
        reason: deactivation.reason.as_str(),
        failing_since: deactivation.failing_since.map(Timestamp::to_rfc3339),
        deactivated_at: deactivation.at.to_rfc3339(),
    };
    // No id has a line break.
    let name = format!("{}\n{}", announcement.webhook, deactivation.at.as_millis());
    Ok(Event {
        id: EventId::new(&Uuid::new_v5(&EVENT_ID_SPACE, name.as_bytes()).to_string())?,
        kind: EventType::new(WEBHOOK_DEACTIVATED)?,
        user: webhook.owner.user().cloned(),
        source: webhook.source.clone(),
        server,
        created_at: deactivation.at,
        accepted_at: now,
        trace: None,
        body: Body::from_checked(Bytes::from(serde_json::to_vec(&body)?)),
    })
}
