//! How hikyaku is as a whole: queue, store, workers, webhooks and dead letters.

use serde::Serialize;
use utoipa::ToSchema;

use super::{QueuesShape, WorkerShape};
use crate::model::{Status, Timestamp};
use crate::queue::Queue;
use crate::record::{DeadLetters, Filter, Workers};
use crate::registry::Registry;

const NO_WORKER: &str =
    "no worker on this store tells that it works: nothing is delivered; is `hikyaku serve` running?";

/// Where queue and store are, as operators may know it: without passwords.
#[derive(Clone, Debug)]
pub struct Places {
    /// `sqlite` or `rabbitmq`.
    pub queue_backend: &'static str,
    /// Which file, or which broker.
    pub queue: String,
    /// `sqlite` or `postgresql`.
    pub store_backend: &'static str,
    /// Which file, or which server.
    pub store: String,
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Looked<'a> {
    /// The queue.
    pub queue: &'a Queue,
    /// The webhooks.
    pub registry: &'a Registry,
    /// The dead letters.
    pub letters: &'a DeadLetters,
    /// The workers.
    pub workers: &'a Workers,
    /// Where they are.
    pub places: &'a Places,
}

/// How hikyaku is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Status)]
pub struct StatusShape {
    /// The version of whoever tells.
    version: &'static str,
    /// Whether nothing is wrong.
    ready: bool,
    /// What is wrong, in words.
    problems: Vec<String>,
    /// What is worth a look and keeps nothing from being delivered, in words: workers that are away.
    notices: Vec<String>,
    /// The queue.
    queues: QueuesShape,
    /// The store.
    store: StoreShape,
    /// Every worker on this store; none while the store cannot be read.
    workers: Vec<WorkerShape>,
    /// How many webhooks there are.
    webhooks: WebhooksCountShape,
    /// Dead letters in the store; null while it cannot be read.
    dead_letters: Option<u64>,
}

/// The store.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Store)]
struct StoreShape {
    /// `sqlite` or `postgresql`.
    backend: &'static str,
    /// Which file, or which server.
    place: String,
}

/// How many webhooks there are.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = WebhooksCount)]
struct WebhooksCountShape {
    /// All of them.
    total: usize,
    /// Those that get events.
    active: usize,
    /// Those that their owner has paused.
    paused: usize,
    /// Those that hikyaku has switched off.
    deactivated: usize,
}

impl StatusShape {
    /// How it is at `now`, beside the `problems` that are known. What cannot be looked at is one of them.
    pub async fn of(looked: Looked<'_>, mut problems: Vec<String>, now: Timestamp) -> Self {
        let Looked { queue, registry, letters, workers, places } = looked;
        let queues = QueuesShape::of(queue, places.queue_backend, &places.queue).await;
        let of_store = match workers.list().await {
            Ok(workers) => letters.count(&Filter::default()).await.map(|letters| (workers, letters)),
            Err(error) => Err(error),
        };
        let (workers, dead_letters) = match of_store {
            Ok((workers, letters)) => {
                let workers: Vec<_> = workers.into_iter().map(|worker| WorkerShape::of(worker, now)).collect();
                if !workers.iter().any(WorkerShape::works) {
                    problems.push(NO_WORKER.to_owned());
                }
                (workers, Some(letters))
            }
            Err(error) => {
                problems.push(format!("workers and dead letters cannot be read: {error}"));
                (Vec::new(), None)
            }
        };
        let notices = workers.iter().filter_map(WorkerShape::absence).collect();
        let unsaid = |problem: &&String| !problems.contains(*problem);
        let of_queue: Vec<String> = queues.problems().iter().filter(unsaid).cloned().collect();
        problems.extend(of_queue);
        let mut webhooks = WebhooksCountShape::default();
        for webhook in registry.snapshot().all() {
            webhooks.total += 1;
            match webhook.status {
                Status::Active => webhooks.active += 1,
                Status::Paused => webhooks.paused += 1,
                Status::Deactivated(_) => webhooks.deactivated += 1,
            }
        }
        Self {
            version: env!("CARGO_PKG_VERSION"),
            ready: problems.is_empty(),
            problems,
            notices,
            queues,
            store: StoreShape { backend: places.store_backend, place: places.store.clone() },
            workers,
            webhooks,
            dead_letters,
        }
    }

    /// Whether nothing is wrong.
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}
