//! The same events over a queue, in a SQLite file or in RabbitMQ, and the worker.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use tokio::sync::Notify;
use url::Url;

use super::Load;
use super::stage::{allow, settings};
use crate::app::own_queues::OwnQueues;
use crate::app::service::{Service, ingest_of, open_queue};
use crate::app::store::store_of;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::decide::Step;
use crate::deliver::Observer;
use crate::ingest::Ingest;
use crate::model::{Delivery, Event, EventType, Options, Owner, Secret, Source, UserId};
use crate::queue::{Access, Depths};
use crate::registry::{NewWebhook, Registry, Seals};
use crate::telemetry::Telemetry;

/// Events offered in one batch, and batches offered at a time.
const BATCH: usize = 256;
const PRODUCERS: usize = 8;
/// How long the worker's connections may take.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it is asked whether they are there.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a queue that nobody works on may take to hold what it should.
const COUNT_MAX: Duration = Duration::from_secs(15);
/// A run that takes longer has hung.
const RUN_MAX: Duration = Duration::from_secs(600);

/// What a filled queue came to.
pub(super) struct Drained {
    /// Events stored a second.
    pub(super) accept: f64,
    /// Deliveries a second, from the first one settled to the last.
    pub(super) drain: f64,
    /// Entries that are missing in the record.
    pub(super) missing: u64,
}

/// Stores all, then delivers all.
pub(super) async fn drain(own: Option<&OwnQueues>, load: &Load, url: &Url) -> anyhow::Result<Drained> {
    let folder = tempfile::tempdir()?;
    drain_by(settings(own, folder.path(), load)?, load, url).await
}

/// Stores all, then delivers all, by these settings.
pub(super) async fn drain_by(mut settings: Settings, load: &Load, url: &Url) -> anyhow::Result<Drained> {
    register(&mut settings, url).await?;
    let began = Instant::now();
    fill(&settings, load).await?;
    let accept = f64::from(load.events) / began.elapsed().as_secs_f64();
    let settled = Arc::new(Settled::default());
    let service = Service::start(settings, Some(Arc::clone(&settled) as Arc<dyn Observer>)).await?;
    let took = settled.reach(u64::from(load.events)).await?;
    let telemetry = service.telemetry.clone();
    service.stop().await;
    Ok(Drained { accept, drain: f64::from(load.events) / took.as_secs_f64(), missing: telemetry.record_missing() })
}

/// Stores and delivers at the same time; deliveries a second, from the first event offered to the last one settled.
pub(super) async fn end_to_end(own: Option<&OwnQueues>, load: &Load, url: &Url) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut settings = settings(own, folder.path(), load)?;
    register(&mut settings, url).await?;
    let settled = Arc::new(Settled::default());
    let service = Service::start(settings, Some(Arc::clone(&settled) as Arc<dyn Observer>)).await?;
    until_connected(&service).await?;
    let began = Instant::now();
    offer_all(&service.ingest, load).await?;
    settled.reach(u64::from(load.events)).await?;
    let rate = f64::from(load.events) / began.elapsed().as_secs_f64();
    service.stop().await;
    Ok(rate)
}

pub(super) async fn until_connected(service: &Service) -> anyhow::Result<()> {
    let connected = async {
        while !service.queue.health().is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(CONNECT_WAIT_MAX, connected).await.context("the queue cannot be used")
}

/// Registers a webhook at `url`, and lets its requests through.
pub(super) async fn register(settings: &mut Settings, url: &Url) -> anyhow::Result<()> {
    allow(settings, url);
    register_each(settings, &[("bench".to_owned(), url.clone())]).await
}

/// Registers, for each user, a webhook at a URL.
pub(super) async fn register_each(settings: &Settings, webhooks: &[(String, Url)]) -> anyhow::Result<()> {
    let registry =
        Registry::open(&store_of(settings, &Telemetry::shared()?), Seals::default(), Vec::new(), SystemClock::shared())
            .await?;
    for (user, url) in webhooks {
        let webhook = NewWebhook {
            id: None,
            owner: Owner::User(UserId::new(user)?),
            source: Source::default(),
            name: "bench".to_owned(),
            url: url.clone(),
            secret: Secret::new("bench"),
            on: vec![EventType::new("note")?],
            active: true,
            options: Options::default(),
        };
        registry.create(webhook).await?;
    }
    Ok(())
}

/// What the queue of `settings` holds after its worker has ended: asked again until that `agrees`, since
/// RabbitMQ takes a moment to get back what a closed connection held, and to hand on what is due.
pub(super) async fn depths_after(settings: &Settings, agrees: impl Fn(&Depths) -> bool) -> anyhow::Result<Depths> {
    let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
    let queue = open_queue(settings, &settings.queue.url, Access::Producer, &clock, &telemetry).await?;
    let began = Instant::now();
    let depths = loop {
        let depths = queue.depths().await?;
        if agrees(&depths) || began.elapsed() > COUNT_MAX {
            break depths;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    queue.close().await;
    Ok(depths)
}

/// Stores all events in RabbitMQ, for the bare loop to take.
pub(super) async fn fill_for_bare_loop(own: &OwnQueues, load: &Load) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fill(&settings(Some(own), folder.path(), load)?, load).await
}

/// Stores all events, those of the user `bench`, without a worker.
pub(super) async fn fill(settings: &Settings, load: &Load) -> anyhow::Result<()> {
    let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
    let queue = open_queue(settings, &settings.queue.url, Access::Producer, &clock, &telemetry).await?;
    offer_all(&ingest_of(settings, &queue, &clock, &telemetry), load).await
}

async fn offer_all(ingest: &Ingest, load: &Load) -> anyhow::Result<()> {
    let numbers: Vec<u32> = (0..load.events).collect();
    let batches = std::sync::Mutex::new(numbers.chunks(BATCH));
    let next = || batches.lock().ok().and_then(|mut batches| batches.next());
    let producer = || async {
        while let Some(batch) = next() {
            let items: Vec<Bytes> = batch.iter().map(|number| super::event("bench", *number, load.bytes)).collect();
            for result in ingest.offer(&items).await? {
                result?;
            }
        }
        anyhow::Ok(())
    };
    futures_util::future::try_join_all((0..PRODUCERS).map(|_| producer())).await?;
    Ok(())
}

/// Counts deliveries.
#[derive(Debug, Default)]
pub(super) struct Settled {
    count: AtomicU64,
    target: AtomicU64,
    first: OnceLock<Instant>,
    reached: Notify,
}

impl Settled {
    /// Waits until `target` deliveries are done; how long that took from the first one on.
    pub(super) async fn reach(&self, target: u64) -> anyhow::Result<Duration> {
        self.target.store(target, Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) < target {
            tokio::time::timeout(RUN_MAX, self.reached.notified()).await.context("the run has hung")?;
        }
        Ok(self.first.get().map(Instant::elapsed).unwrap_or_default())
    }
}

impl Observer for Settled {
    fn settled(&self, _event: &Event, _delivery: &Delivery, step: &Step) {
        if *step != Step::Done {
            return;
        }
        self.first.get_or_init(Instant::now);
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let target = self.target.load(Ordering::SeqCst);
        if target > 0 && count == target {
            self.reached.notify_one();
        }
    }
}
