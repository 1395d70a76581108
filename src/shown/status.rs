//! How hikyaku is as a whole: queue, store, workers, webhooks and dead letters.

use std::net::SocketAddr;

use serde::Serialize;
use utoipa::ToSchema;

use super::{QueuesShape, WorkerShape};
use crate::model::{Status, Timestamp};
use crate::queue::Queue;
use crate::record::{DeadLetters, Filter, HistoryReader, Workers};
use crate::registry::Registry;

const HISTORY_UNREADABLE: &str = "the history cannot be read";
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
    /// What is in the store; none when that cannot be opened, which is a problem that whoever tried knows of.
    pub kept: Option<LookedStore<'a>>,
    /// Where they are.
    pub places: &'a Places,
}

/// What is looked at in the store.
#[derive(Clone, Copy, Debug)]
pub struct LookedStore<'a> {
    /// The webhooks.
    pub registry: &'a Registry,
    /// The dead letters.
    pub letters: &'a DeadLetters,
    /// The workers.
    pub workers: &'a Workers,
    /// The history, if there is to be one.
    pub history: Option<&'a HistoryReader>,
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
    /// What is worth a look and keeps nothing from being delivered, in words: workers that are away, a history that is not written.
    notices: Vec<String>,
    /// The queue.
    queues: QueuesShape,
    /// The store.
    store: StoreShape,
    /// Every worker on this store; null while that cannot be read.
    #[schema(required)]
    workers: Option<Vec<WorkerShape>>,
    /// How many webhooks there are; null when they could not be read even once.
    webhooks: Option<WebhooksCountShape>,
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

impl LookedStore<'_> {
    /// The workers, and how many dead letters there are; or what is wrong with them.
    async fn workers_and_letters(&self, problems: &mut Vec<String>, now: Timestamp) -> Option<(Vec<WorkerShape>, u64)> {
        let of_store = match self.workers.list().await {
            Ok(workers) => self.letters.count(&Filter::default()).await.map(|letters| (workers, letters)),
            Err(error) => Err(error),
        };
        match of_store {
            Ok((workers, letters)) => {
                let workers: Vec<_> = workers.into_iter().map(|worker| WorkerShape::of(worker, now)).collect();
                if !workers.iter().any(WorkerShape::works) {
                    problems.push(NO_WORKER.to_owned());
                }
                Some((workers, letters))
            }
            Err(error) => {
                problems.push(format!("workers and dead letters cannot be read: {error}"));
                None
            }
        }
    }
}

impl WebhooksCountShape {
    fn of(registry: &Registry) -> Self {
        let mut webhooks = Self::default();
        for webhook in registry.snapshot().all() {
            webhooks.total += 1;
            match webhook.status {
                Status::Active => webhooks.active += 1,
                Status::Paused => webhooks.paused += 1,
                Status::Deactivated(_) => webhooks.deactivated += 1,
            }
        }
        webhooks
    }
}

impl StatusShape {
    /// How it is at `now`, beside the `problems` and the trouble with the history that are known. What cannot be looked at is told too.
    pub async fn of(
        looked: Looked<'_>,
        mut problems: Vec<String>,
        history_trouble: Option<String>,
        now: Timestamp,
    ) -> Self {
        let Looked { queue, kept, places } = looked;
        let queues = QueuesShape::of(queue, places.queue_backend, &places.queue).await;
        let read = match kept {
            Some(kept) => kept.workers_and_letters(&mut problems, now).await,
            None => None,
        };
        let (workers, dead_letters) = read.unzip();
        let mut notices: Vec<_> = workers.iter().flatten().filter_map(WorkerShape::absence).collect();
        // While the store cannot be read at all, that is told.
        let unreadable = match kept.filter(|_| dead_letters.is_some()).and_then(|kept| kept.history) {
            Some(history) => unreadable(history).await,
            None => None,
        };
        notices.extend(history_trouble.or(unreadable));
        let unsaid = |problem: &&String| !problems.contains(*problem);
        let of_queue: Vec<String> = queues.problems().iter().filter(unsaid).cloned().collect();
        problems.extend(of_queue);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            ready: problems.is_empty(),
            problems,
            notices,
            queues,
            store: StoreShape { backend: places.store_backend, place: places.store.clone() },
            workers,
            webhooks: kept.map(|kept| WebhooksCountShape::of(kept.registry)),
            dead_letters,
        }
    }

    /// Adds, of what the hikyaku that listens at `address` has trouble with, what is not told already.
    pub fn add_trouble(&mut self, address: SocketAddr, failing: &[String]) {
        let untold = |part: &&String| match part.as_str() {
            "queue" => self.queues.problems().is_empty(),
            "history" => !self.notices.iter().any(|notice| notice.starts_with(HISTORY_UNREADABLE)),
            // What the others are kept in.
            _ => self.dead_letters.is_some(),
        };
        let untold: Vec<_> = failing.iter().filter(untold).map(String::as_str).collect();
        if !untold.is_empty() {
            let parts = untold.join(", ");
            let words = format!(
                "the hikyaku that listens at {address} has trouble with {parts}: `hikyaku status --url` says why"
            );
            self.notices.push(words);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}

/// Why the history cannot be read.
async fn unreadable(history: &HistoryReader) -> Option<String> {
    let error = history.check().await.err()?;
    Some(format!("{HISTORY_UNREADABLE}: {}", error.of_store()))
}
