//! What delivers, in a process that does: the worker, what drains dead letters, and what samples both for the metrics.

use std::sync::Arc;

use crate::clock::SharedClock;
use crate::deliver::{Drainer, Endpoints, Heartbeat, HeartbeatParts, Parts, Policy, Pulse, Sampler, Worker};
use crate::record::{DeadLetters, Latest, Workers};
use crate::telemetry::{SharedTelemetry, Trouble};

/// What tells that this worker is there.
pub(super) struct Heart {
    pub(super) workers: Arc<Workers>,
    pub(super) name: String,
}

/// All of it.
pub(super) struct Delivering {
    worker: Worker,
    heartbeat: Heartbeat,
    drainer: Drainer,
    _sampler: Sampler,
}

impl Delivering {
    /// Starts to deliver.
    ///
    /// # Errors
    /// When the queue cannot be consumed, or the system has no thread left.
    pub(super) async fn start(
        parts: Parts,
        policy: Policy,
        letters: &Arc<DeadLetters>,
        heart: Heart,
    ) -> anyhow::Result<Self> {
        let concurrency = policy.concurrency;
        let (queue, telemetry) = (parts.queue.clone(), parts.telemetry.clone());
        let (latest, clock): (Arc<Latest>, SharedClock) = (Arc::clone(&parts.latest), Arc::clone(&parts.clock));
        let tracer = parts.tracer.clone();
        let worker = Worker::start(parts, policy).await?;
        let drainer = Drainer::start(&queue, Arc::clone(letters), telemetry.clone(), tracer).await?;
        let heartbeat = Heartbeat::start(HeartbeatParts {
            workers: heart.workers,
            endpoints: Arc::clone(worker.endpoints()),
            concurrency,
            name: heart.name,
            started_at: clock.now(),
            clock: Arc::clone(&clock),
            telemetry: telemetry.clone(),
        });
        let sampler = Sampler::start(queue, latest, Arc::clone(worker.endpoints()), clock, telemetry);
        Ok(Self { worker, heartbeat, drainer, _sampler: sampler })
    }

    /// How each webhook stands with the worker, and how the drainer is; without them nothing is known, and nothing wrong.
    pub(super) fn seen(
        this: Option<&Self>,
        clock: &SharedClock,
        telemetry: &SharedTelemetry,
    ) -> (Arc<Endpoints>, Arc<Trouble>) {
        match this {
            Some(delivering) => (Arc::clone(delivering.worker.endpoints()), delivering.drainer.trouble()),
            None => (
                Arc::new(Endpoints::none(Arc::clone(clock), telemetry.clone())),
                Arc::new(Trouble::none("dead letters are not stored")),
            ),
        }
    }

    /// Asks the delivery loop whether it lives.
    pub(super) fn pulse(&self) -> Pulse {
        self.worker.pulse().clone()
    }

    /// Ends when the worker does without having been told to.
    pub(super) async fn failed(&mut self) {
        self.worker.failed().await;
    }

    /// Takes no more, finishes what is in flight, and hands over what is dead.
    pub(super) async fn stop(self) {
        self.heartbeat.stopping().await;
        self.worker.stop().await;
        self.drainer.stop().await;
        self.heartbeat.leave().await;
    }
}
