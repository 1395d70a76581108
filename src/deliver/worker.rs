//! Starts and stops the engine on its own thread.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot, watch};

use super::announcer::{Announcer, AnnouncerParts};
use super::endpoints::{EndpointPolicy, Endpoints};
use super::engine::{End, Engine};
use super::failing::Failing;
use super::foresight::WorkersForesight;
use super::live::Live;
use super::outlook::Outlook;
use super::pulse::{Pulse, pulse};
use super::pursuit::Pursuer;
use super::rates::{RatePolicy, Rates};
use super::reports::Reports;
use crate::clock::SharedClock;
use crate::decide::{Policy as RetryPolicy, Step};
use crate::model::{Delivery, Event, WebhookId};
use crate::outbound::Client;
use crate::queue::{Foreseeing, Lane, Prefetch, Queue, QueueError};
use crate::record::{Forgotten, History, Latest, LatestAttempt};
use crate::registry::{Known, Registry};
use crate::telemetry::SharedTelemetry;
use crate::traces::Tracer;

/// Deliveries in hand for each message of the prefetch, at which no further message is taken.
const PURSUITS_PER_MESSAGE: usize = 4;

/// What the worker works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where messages come from and go to.
    pub queue: Queue,
    /// The webhooks.
    pub registry: Arc<Registry>,
    /// Where each webhook's latest status is noted.
    pub latest: Arc<Latest>,
    /// Where it is noted what becomes of each delivery, if it is.
    pub history: Option<Arc<History>>,
    /// Whose events are dropped.
    pub forgotten: Arc<Forgotten>,
    /// Makes the requests.
    pub client: Client,
    /// Time and chance.
    pub clock: SharedClock,
    /// Where happenings are told.
    pub telemetry: SharedTelemetry,
    /// Begins spans.
    pub tracer: Tracer,
    /// Who else is told what becomes of each delivery.
    pub observer: Option<Arc<dyn Observer>>,
    /// Those who watch.
    pub live: Option<Arc<Live>>,
}

/// Someone who wants to know what becomes of each delivery. Called in the worker's thread: it must not block.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// `delivery` of `event` has come to `step`, and that is durable.
    fn settled(&self, event: &Event, delivery: &Delivery, step: &Step);
}

/// How the worker works.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Requests in flight.
    pub concurrency: usize,
    /// Requests in flight to one webhook at most; it begins with a few and gets more while it answers well.
    pub slots_per_webhook: usize,
    /// Requests in flight to one host at most.
    pub connections_per_host: usize,
    /// Failures in a row after which a webhook is left alone for a while; 0: it never is.
    pub breaker_failures: u32,
    /// How long a delivery may wait in the worker for a slot, or for a token of its webhook's rate limit.
    pub patience: Duration,
    /// What the worker may hold of each lane.
    pub prefetch: Prefetch,
    /// Whether what is published in this process and would only be put off waits from the start.
    pub foresight: bool,
    /// When to try again.
    pub retry: RetryPolicy,
    /// How long a webhook may fail without one success before it is switched off; none: for ever.
    pub deactivate_after: Option<Duration>,
    /// The `server` of events of our own.
    pub server: Option<String>,
    /// How long what is in flight may take at shutdown.
    pub grace: Duration,
}

/// Why the worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The queue cannot be consumed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The system has no thread, or no runtime, left.
    #[error("the worker's thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running worker. Dropping it tells it to stop, without waiting.
#[derive(Debug)]
pub struct Worker {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<End>,
    /// What others who publish in this process are told by.
    foreseeing: Option<Foreseeing>,
    latest: Arc<Latest>,
    history: Option<Arc<History>>,
    telemetry: SharedTelemetry,
    announcer: Announcer,
    endpoints: Arc<Endpoints>,
    pulse: Pulse,
}

impl Worker {
    /// Starts to deliver.
    ///
    /// # Errors
    /// When the queue cannot be consumed or no thread is left; nothing was taken.
    pub async fn start(parts: Parts, policy: Policy) -> Result<Self, WorkerError> {
        let work = parts.queue.consume(Lane::Work, policy.prefetch).await?;
        let retry = parts.queue.consume(Lane::Retry, policy.prefetch).await?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let endpoints = Arc::new(endpoints(&parts, &policy));
        let (latest, telemetry) = (Arc::clone(&parts.latest), parts.telemetry.clone());
        let history = parts.history.clone();
        let known = latest.all().await.unwrap_or_else(|error| {
            // What is noted from now on is put together with what the store has.
            telemetry.trouble("it cannot be read since when webhooks are failing, so that counts from now", &error);
            HashMap::new()
        });
        forget_deleted(&parts, &known).await;
        let deactivated = Arc::new(Notify::new());
        let announcer = Announcer::start(AnnouncerParts {
            queue: parts.queue.clone(),
            registry: Arc::clone(&parts.registry),
            clock: Arc::clone(&parts.clock),
            telemetry: telemetry.clone(),
            server: policy.server.clone(),
            deactivated: Arc::clone(&deactivated),
        });
        let engine = engine(parts, Arc::clone(&endpoints), &policy, known, deactivated);
        let (outlook, reports) = (Arc::clone(&engine.pursuer.outlook), Arc::clone(&engine.reports));
        let foresight = WorkersForesight { outlook, reports, tracer: engine.pursuer.tracer.clone() };
        let foreseeing = policy.foresight.then(|| engine.pursuer.queue.foresee_by(Arc::new(foresight)));
        let (pulse, beating) = pulse();
        let run = move || {
            let why = runtime.block_on(engine.run(work, retry, stopped, beating));
            // Name look-ups under way must not hold up the end.
            runtime.shutdown_background();
            let _nobody_may_wait = end.send(why);
        };
        std::thread::Builder::new().name("hikyaku-deliver".to_owned()).spawn(run)?;
        Ok(Self { stop, ended, foreseeing, latest, history, telemetry, announcer, endpoints, pulse })
    }

    /// Ends when the worker does without having been told to: its thread has panicked, or the queue has closed under it.
    pub async fn failed(&mut self) {
        if matches!((&mut self.ended).await, Ok(End::Stopped)) {
            std::future::pending::<()>().await;
        }
    }

    /// How each webhook stands with this worker.
    pub fn endpoints(&self) -> &Arc<Endpoints> {
        &self.endpoints
    }

    /// Asks the delivery loop whether it lives.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Stops taking, finishes what is in flight within the grace, and ends. What is not finished stays in the queue.
    pub async fn stop(self) {
        // What comes from now on is for the next worker.
        drop(self.foreseeing);
        self.stop.send_replace(true);
        let _ended_or_panicked = self.ended.await;
        self.announcer.stop().await;
        if let Err(error) = self.latest.flush().await {
            self.telemetry.trouble("the latest status of webhooks cannot be written", &error);
        }
        if let Some(history) = self.history {
            history.close().await;
        }
    }
}

/// Removes what is left of webhooks that were deleted while a request to them was under way, here or elsewhere.
async fn forget_deleted(parts: &Parts, known: &HashMap<WebhookId, LatestAttempt>) {
    let snapshot = parts.registry.snapshot();
    for id in known.keys().filter(|id| matches!(snapshot.find(id), Known::Deleted)) {
        // Else the next start does.
        let _done_or_not = parts.latest.forget(id).await;
    }
}

fn endpoints(parts: &Parts, policy: &Policy) -> Endpoints {
    let policy = EndpointPolicy {
        concurrency: policy.concurrency,
        slots_max: policy.slots_per_webhook,
        per_host: policy.connections_per_host,
        patience: policy.patience,
        waiters_max: policy.prefetch.messages,
        breaker_failures: policy.breaker_failures,
        retry_after_max: policy.retry.retry_after_max,
    };
    Endpoints::new(policy, Arc::clone(&parts.clock), parts.telemetry.clone())
}

fn engine(
    parts: Parts,
    endpoints: Arc<Endpoints>,
    policy: &Policy,
    known: HashMap<WebhookId, LatestAttempt>,
    deactivated: Arc<Notify>,
) -> Engine {
    let rates = RatePolicy { patience: policy.patience, waiters_max: policy.prefetch.messages };
    let failing = Failing::new(
        known,
        Arc::clone(&parts.registry),
        parts.latest,
        parts.clock.clone(),
        parts.telemetry.clone(),
        policy.deactivate_after,
        deactivated,
    );
    let outlook = Outlook {
        registry: parts.registry,
        forgotten: Arc::clone(&parts.forgotten),
        endpoints,
        clock: Arc::clone(&parts.clock),
        retry: policy.retry.clone(),
    };
    let reports = Reports {
        observer: parts.observer,
        live: parts.live,
        history: parts.history,
        forgotten: parts.forgotten,
        telemetry: parts.telemetry.clone(),
        clock: Arc::clone(&parts.clock),
    };
    Engine {
        pursuer: Pursuer {
            outlook: Arc::new(outlook),
            failing,
            client: parts.client,
            rates: Rates::new(rates, parts.clock),
            telemetry: parts.telemetry,
            tracer: parts.tracer,
            queue: parts.queue,
            end: Semaphore::new(0),
        },
        reports: Arc::new(reports),
        pursuits_max: policy.prefetch.messages.saturating_mul(PURSUITS_PER_MESSAGE),
        pursuits: Cell::new(0),
        queue_closed: Notify::new(),
        grace: policy.grace,
    }
}
