//! What one busy webhook whose receiver is away costs the machine, with many deliveries waiting for it.
//!
//! The queue is filled first. Then the worker starts, and while it sorts out what waits, new events for the same webhook
//! come all the time. Counted are how often each delivery is parked, attempts, and the processor time of this process
//! (publisher and receiver are in it, and cost next to nothing) and of RabbitMQ. What the first minute costs, when all that
//! waits is taken up once, is told by itself: a short run is mostly that, a long one shows what an outage costs.
//!
//! A signal ends the run early, with what was measured until then.

mod figures;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use self::figures::{Figures, Sample};
use super::Load;
use super::cpu::processor_time;
use super::endpoints::{Arrivals, Endpoints, Manner, NETWORK};
use super::ledger::{Balance, Held, Ledger};
use super::pace::Pace;
use super::queue_run::{depths_after, fill, register_each, until_connected};
use super::stage::default_settings;
use crate::app::FAILED;
use crate::app::own_queues::OwnQueues;
use crate::app::serve::raise_file_limit;
use crate::app::service::Service;
use crate::app::signals::Signals;
use crate::cli::{BenchArgs, Output};
use crate::config::Settings;
use crate::decide::AllowedNetwork;
use crate::deliver::Observer;
use crate::queue::Depths;
use crate::record::Filter;

const RATE: u32 = 10;
const SECONDS: u32 = 3600;
/// Seconds between samples.
const SAMPLE_S: u32 = 10;
/// Samples between lines that tell how it goes.
const SAMPLES_PER_LINE: usize = 6;
/// What requests under way may take at the end beyond the deadline.
const GRACE: Duration = Duration::from_secs(5);

/// What is measured.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Deliveries that wait at first.
    waiting: u32,
    /// New events a second.
    rate: u32,
    seconds: u32,
    bytes: usize,
    hangs: bool,
    deadline: Duration,
    broker: Option<u32>,
}

impl Plan {
    fn of(args: &BenchArgs, waiting: u32) -> Self {
        let deadline = Settings::default().delivery.timeout;
        Self {
            waiting,
            rate: args.rate.unwrap_or(RATE),
            seconds: args.seconds.unwrap_or(SECONDS),
            bytes: args.bytes as usize,
            hangs: args.hang,
            deadline: args.deadline_ms.map_or(deadline, |ms| Duration::from_millis(u64::from(ms))),
            broker: args.broker_pid,
        }
    }

    fn events(&self) -> usize {
        self.waiting as usize + self.rate as usize * self.seconds as usize
    }

    /// The defaults, but for the deadline and what allows it.
    fn settings(&self, own: Option<&OwnQueues>, folder: &Path) -> anyhow::Result<Settings> {
        let mut settings = default_settings(own, folder)?;
        settings.delivery.timeout = self.deadline;
        settings.server.shutdown_grace = self.deadline + GRACE;
        settings.delivery.allowed_private_networks = vec![AllowedNetwork::parse(NETWORK).map_err(anyhow::Error::msg)?];
        Ok(settings)
    }

    /// What this process and RabbitMQ have used so far.
    fn used(&self) -> anyhow::Result<(Duration, Option<Duration>)> {
        let broker = self.broker.map(|pid| processor_time(Some(pid))).transpose();
        Ok((processor_time(None)?, broker.context("--broker-pid must be that of a process on this machine")?))
    }
}

/// Measures with `waiting` deliveries, and prints. The exit code tells whether every event was found at the end.
pub(super) async fn run(args: &BenchArgs, waiting: u32, output: &mut Output) -> anyhow::Result<ExitCode> {
    let plan = Plan::of(args, waiting);
    // A pid that is none is said before an hour has gone by.
    plan.used()?;
    if let Some((given, needed)) = raise_file_limit(Settings::default().delivery.concurrency * 2) {
        output.note(&format!("this process may open {given} files and may need {needed}: raise the limit (ulimit -n)"));
    }
    let own = OwnQueues::of("bench", args.queue.as_deref())?;
    if let Some(own) = &own {
        output.note(&own.words());
        if plan.broker.is_none() {
            output.note("RabbitMQ's processor time is told with --broker-pid, the pid of beam.smp");
        }
    }
    let mut signals = Signals::catch()?;
    let measured = measure(&plan, own.as_ref(), &mut signals, output).await;
    let removed = match &own {
        Some(own) => own.remove().await,
        None => Ok(()),
    };
    let figures = measured?;
    if args.json {
        output.line(&figures.json().to_string())?;
    } else {
        figures.lines().iter().try_for_each(|line| output.line(line))?;
    }
    removed?;
    Ok(if figures.balance.holds() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

async fn measure(
    plan: &Plan,
    own: Option<&OwnQueues>,
    signals: &mut Signals,
    output: &mut Output,
) -> anyhow::Result<Figures> {
    let (arrivals, ledger) = (Arrivals::of(0), Arc::new(Ledger::of(plan.events())));
    let manner = if plan.hangs { Manner::Hangs } else { Manner::Refuses };
    let endpoints = Endpoints::start(&[manner], &arrivals)?;
    let folder = tempfile::tempdir()?;
    let settings = plan.settings(own, folder.path())?;
    let webhooks: Vec<_> = endpoints.urls().iter().map(|url| ("bench".to_owned(), url.clone())).collect();
    register_each(&settings, &webhooks).await?;
    let load = Load { events: plan.waiting, concurrency: settings.delivery.concurrency, bytes: plan.bytes };
    tokio::select! {
        filled = fill(&settings, &load) => filled?,
        signal = signals.next() => anyhow::bail!("interrupted by {signal}"),
    }
    output.note(&format!("{} deliveries wait; the worker starts", plan.waiting));
    let service = Service::start(settings.clone(), Some(Arc::clone(&ledger) as Arc<dyn Observer>)).await?;
    until_connected(&service).await?;
    let (samples, published) = watch(plan, &service, &ledger, signals, output).await?;
    let letters = Arc::clone(&service.letters);
    service.stop().await;

    let mut fates = ledger.fates();
    fates.truncate(published as usize);
    let letters = letters.count(&Filter::default()).await.context("dead letters cannot be counted")?;
    let held = |depths: &Depths| Held { arrivals: &arrivals, is_prompt: &|_| true, depths: *depths, letters };
    let depths = depths_after(&settings, |depths| Balance::of(&fates, &held(depths)).holds()).await?;
    let balance = Balance::of(&fates, &held(&depths));
    Ok(Figures::of(*plan, own.is_some(), samples, &fates, &ledger, balance))
}

/// Publishes new events and samples what is used, until the time is up or a signal comes; tells how many events there are.
async fn watch(
    plan: &Plan,
    service: &Service,
    ledger: &Ledger,
    signals: &mut Signals,
    output: &mut Output,
) -> anyhow::Result<(Vec<Sample>, u32)> {
    let (began, bytes) = (Instant::now(), plan.bytes);
    let sample = || {
        let (worker, broker) = plan.used()?;
        anyhow::Ok(Sample { after: began.elapsed(), worker, broker, counts: ledger.counts() })
    };
    let mut samples = vec![sample()?];
    let (mut published, mut left, mut told) = (plan.waiting, plan.seconds, false);
    while left > 0 && !told {
        let seconds = left.min(SAMPLE_S);
        left -= seconds;
        let pace = Pace { first: published, events: plan.rate * seconds, rate: plan.rate };
        let publish = pace.publish(&service.ingest, move |number| super::event("bench", number, bytes));
        tokio::pin!(publish);
        loop {
            tokio::select! {
                done = &mut publish => {
                    done?;
                    break;
                }
                // What was begun is finished, so that it is known what was published.
                _ = signals.next(), if !told => told = true,
            };
        }
        published += pace.events;
        samples.push(sample()?);
        let is_told = samples.len() % SAMPLES_PER_LINE == 1 || left == 0 || told;
        if is_told && let [first, .., last] = samples.as_slice() {
            output.note(&last.words(first));
        }
    }
    Ok((samples, published))
}
