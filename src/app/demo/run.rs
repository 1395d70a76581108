//! Runs the demo on its stage: a sidecar, receivers, webhooks, samples, and the account at the end.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;

use super::account::Account;
use super::progress::Progress;
use super::receivers::{Receivers, SECRET};
use super::report::{AcceptedEvent, Inputs, RegisteredWebhook, Report};
use super::samples::samples;
use super::stage::Stage;
use super::words::{DeliveryRef, ReceiverKind};
use crate::app::service::Service;
use crate::app::signals::Signals;
use crate::app::{FAILED, logging};
use crate::cli::{DemoArgs, Output};
use crate::config::{Log, LogFormat, Settings};
use crate::deliver::Observer;
use crate::model::{
    Arrival, DeliveryId, Event, EventId, EventType, Options, Owner, Source, Timestamp, WebhookId, check_secret,
};
use crate::queue::Depths;
use crate::record::Filter;
use crate::registry::NewWebhook;
use crate::telemetry::LogLevel;

/// What is not done by then is shown as waiting. With what comes before and after, the demo ends within 20 s.
const RUN_MAX: Duration = Duration::from_secs(14);
/// How long it is counted again while what is under way changes hands, once the time is up.
const COUNT_MAX: Duration = Duration::from_secs(2);
/// How often progress is shown, at least.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// Runs the demo and prints its account.
pub(in crate::app) async fn run(args: &DemoArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    logging::start(&Log { level: LogLevel::Error, format: LogFormat::Text });
    let mut signals = Signals::catch().context("signals cannot be caught")?;
    let stage = Stage::new(args)?;
    let ready = tokio::select! {
        ready = stage.set_up(output) => ready,
        signal = signals.next() => interrupted(signal).map(|_| ()),
    };
    let played = match ready {
        Ok(()) => play(&stage, args, &mut signals, output).await,
        Err(error) => Err(error),
    };
    // However it ended; its own end is told first.
    let cleared = stage.clear().await;
    let code = played?;
    cleared?;
    Ok(code)
}

fn interrupted(signal: &str) -> anyhow::Result<ExitCode> {
    anyhow::bail!("interrupted by {signal}")
}

async fn play(stage: &Stage, args: &DemoArgs, signals: &mut Signals, output: &mut Output) -> anyhow::Result<ExitCode> {
    let demo = tokio::select! {
        demo = Demo::start(stage.settings()?) => demo?,
        signal = signals.next() => return interrupted(signal),
    };
    let shown = demo.show(args, signals, output).await;
    demo.service.stop().await;
    demo.receivers.stop().await;
    shown
}

/// A demo that runs.
struct Demo {
    began: Instant,
    service: Service,
    receivers: Receivers,
    account: Arc<Account>,
}

/// What was put in, and how long it took.
struct Played {
    events: Vec<AcceptedEvent>,
    webhooks: Vec<RegisteredWebhook>,
    elapsed: Duration,
}

impl Demo {
    async fn start(mut settings: Settings) -> anyhow::Result<Self> {
        let began = Instant::now();
        let receivers = Receivers::start().await.context("the receivers cannot be started")?;
        settings.delivery.allowed_private_networks = receivers.networks();
        let account = Arc::new(Account::default());
        let observer = Arc::clone(&account) as Arc<dyn Observer>;
        let service = Service::start(settings, Some(observer)).await?;
        Ok(Self { began, service, receivers, account })
    }

    /// Plays, tells the account, and goes on if that was asked for.
    async fn show(&self, args: &DemoArgs, signals: &mut Signals, output: &mut Output) -> anyhow::Result<ExitCode> {
        let played = tokio::select! {
            played = self.play(RUN_MAX, args.json) => played?,
            signal = signals.next() => return interrupted(signal),
        };
        let report = self.report(&played).await?;
        if args.json {
            output.line(&serde_json::to_string(&report)?)?;
        } else {
            report.table().lines().try_for_each(|line| output.line(line))?;
        }
        for problem in report.problems() {
            output.note(&format!("problem: {problem}"));
        }
        if args.keep {
            let (api, metrics) = (self.service.address, self.service.metrics_address);
            output
                .note(&format!("still running: events to http://{api}/v1/events, metrics on http://{metrics}/metrics"));
            output.note("the bearer token is demo-admin-token; Ctrl-C ends it");
            signals.next().await;
        }
        Ok(if report.problems().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    /// Publishes the samples, and waits for `run_max` at most until they are all delivered or dead.
    async fn play(&self, run_max: Duration, quiet: bool) -> anyhow::Result<Played> {
        Stage::until_connected(&self.service).await?;
        let parsed = sample_events()?;
        let webhooks = register(&self.service, &self.receivers, &parsed).await?;
        let items: Vec<Bytes> = samples().iter().map(|sample| Bytes::from_static(sample.json.as_bytes())).collect();
        let results = self.service.ingest.offer(&items).await.context("the samples cannot be stored")?;
        let refused = results.iter().filter(|result| result.is_err()).count();
        anyhow::ensure!(refused == 0, "{refused} samples were refused");
        let events: Vec<AcceptedEvent> = parsed.iter().map(AcceptedEvent::from).collect();
        let expected = expected_deliveries(&events, &webhooks);
        let mut progress =
            if quiet { Progress::quiet() } else { Progress::start(expected, std::io::stderr().is_terminal()) };
        let done = wait_until_done(&self.service, &self.account, expected, &mut progress);
        let _or_shown_as_waiting = tokio::time::timeout(run_max, done).await;
        progress.finish();
        Ok(Played { events, webhooks, elapsed: self.began.elapsed() })
    }

    /// The account. When the time was up before all was done, the worker goes on while it is counted, and what is just then
    /// changing hands seems to be nowhere or twice: so it is counted again, and what stays wrong is wrong.
    async fn report(&self, played: &Played) -> anyhow::Result<Report> {
        let began = Instant::now();
        loop {
            let report = self.count(played).await?;
            if report.problems().is_empty() || began.elapsed() > COUNT_MAX {
                return Ok(report);
            }
            let _or_not = tokio::time::timeout(SHOW_EVERY, self.account.changed.notified()).await;
        }
    }

    async fn count(&self, played: &Played) -> anyhow::Result<Report> {
        let depths = self.service.queue.depths().await?;
        let mut inputs = Inputs {
            events: played.events.clone(),
            webhooks: played.webhooks.clone(),
            delivered: self.receivers.delivered(),
            dead: Vec::new(),
            waiting: self.account.waiting(),
            skipped: self.account.skipped(),
            attempts: self.account.attempts(),
            violations: self.receivers.violations(),
            elapsed: played.elapsed,
        };
        let mut after = None;
        loop {
            let page = self.service.letters.list(&Filter::default(), u32::MAX, after).await?;
            for letter in page.letters {
                let delivery = DeliveryRef {
                    webhook: letter.delivery.webhook,
                    delivery: letter.id.to_string(),
                    kind: letter.event.kind.clone(),
                };
                inputs.dead.push((delivery, letter.reason));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let fresh = self.account.untold(&played.events);
        if let Some(words) = queue_disagrees(&depths, fresh.len() as u64, inputs.waiting.len() as u64) {
            inputs.violations.note(words);
        }
        inputs.waiting.extend(deliveries_of(&fresh, &inputs.webhooks, &inputs.delivered));
        Ok(Report::new(&inputs))
    }
}

/// The deliveries of `fresh` events: they wait, but for those that a receiver has taken while their message is not settled.
fn deliveries_of(
    fresh: &[&AcceptedEvent],
    webhooks: &[RegisteredWebhook],
    delivered: &[DeliveryRef],
) -> Vec<DeliveryRef> {
    let delivered: HashSet<&str> = delivered.iter().map(|one| one.delivery.as_str()).collect();
    let pairs = fresh.iter().flat_map(|event| {
        let wanting = webhooks.iter().filter(|webhook| webhook.wants(event));
        wanting.map(move |webhook| (event, webhook))
    });
    let deliveries = pairs.map(|(event, webhook)| DeliveryRef {
        webhook: webhook.id.clone(),
        delivery: DeliveryId::of(&event.id, &webhook.id).to_string(),
        kind: event.kind.clone(),
    });
    deliveries.filter(|one| !delivered.contains(one.delivery.as_str())).collect()
}

/// What the queue holds must be what the worker left there: `fresh` events, of which it has settled nothing, and `waiting`
/// deliveries.
fn queue_disagrees(depths: &Depths, fresh: u64, waiting: u64) -> Option<String> {
    let Depths { work, delay, dead, rejected, .. } = *depths;
    (work != fresh || dead > 0 || rejected > 0 || delay != waiting).then(|| {
        format!(
            "the queue holds {work} fresh events, {delay} waiting deliveries, {dead} dead letters and {rejected} rejected \
             messages, and should hold {fresh} fresh events and {waiting} waiting deliveries"
        )
    })
}

fn sample_events() -> anyhow::Result<Vec<Event>> {
    let parse = |json: &'static str| -> anyhow::Result<Event> {
        let arrival = Arrival {
            now: Timestamp::default(),
            event_id: EventId::new("a-sample-without-an-id")?,
            event_bytes_max: usize::MAX,
            source: None,
        };
        Ok(Event::parse(&Bytes::from_static(json.as_bytes()), arrival)?)
    };
    samples().iter().map(|sample| parse(sample.json).with_context(|| format!("the sample {}", sample.name))).collect()
}

/// One webhook for each receiver and each owner of events.
async fn register(
    service: &Service,
    receivers: &Receivers,
    events: &[Event],
) -> anyhow::Result<Vec<RegisteredWebhook>> {
    let mut types: HashMap<Owner, BTreeSet<EventType>> = HashMap::new();
    for event in events {
        let owner = event.user.clone().map_or(Owner::System, Owner::User);
        types.entry(owner).or_default().insert(event.kind.clone());
    }
    // The system's first, then the users' by the number of types they have.
    let mut owners: Vec<(Owner, Vec<EventType>)> =
        types.into_iter().map(|(owner, types)| (owner, types.into_iter().collect())).collect();
    owners.sort_by_key(|(owner, types)| (owner.user().is_none(), std::cmp::Reverse(types.len())));
    let mut webhooks = Vec::new();
    for receiver in ReceiverKind::ALL {
        for (number, (owner, on)) in owners.iter().enumerate() {
            let name = match owner {
                Owner::System => "system".to_owned(),
                Owner::User(_) => format!("user{}", number + 1),
            };
            let id = WebhookId::new(&format!("{}-{name}", receiver.as_str()))?;
            let new = NewWebhook {
                id: Some(id.clone()),
                owner: owner.clone(),
                source: Source::default(),
                name: format!("a receiver that is {}", receiver.as_str()),
                url: receivers.url(receiver),
                secret: check_secret(SECRET)?,
                on: on.clone(),
                active: true,
                options: Options::default(),
            };
            service.registry.create(new).await?;
            webhooks.push(RegisteredWebhook { id, receiver, owner: owner.clone(), on: on.clone() });
        }
    }
    Ok(webhooks)
}

fn expected_deliveries(events: &[AcceptedEvent], webhooks: &[RegisteredWebhook]) -> u64 {
    let of = |event: &AcceptedEvent| webhooks.iter().filter(|webhook| webhook.wants(event)).count() as u64;
    events.iter().map(of).sum()
}

async fn wait_until_done(service: &Service, account: &Account, expected: u64, progress: &mut Progress) {
    loop {
        let counts = account.counts();
        progress.set_total(expected.saturating_sub(counts.skipped));
        progress.update(counts.delivered, counts.dead, counts.waiting);
        let all_ended = counts.delivered + counts.dead + counts.skipped >= expected;
        // The dead letters must have reached the store too.
        if all_ended && service.queue.depths().await.is_ok_and(|depths| depths == Depths::default()) {
            return;
        }
        let _or_not = tokio::time::timeout(SHOW_EVERY, account.changed.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn when_the_time_is_up_what_waits_is_accounted_for() {
        // One request at a time, of which many need 0.7 s, so that most events are still fresh when the time is up.
        let stage = Stage::new(&DemoArgs { json: true, keep: false, queue: None }).expect("a stage");
        let mut settings = stage.settings().expect("settings");
        settings.delivery.concurrency = 1;
        let demo = Demo::start(settings).await.expect("it runs");
        let played = demo.play(Duration::from_millis(1500), true).await.expect("it plays");

        let report = demo.report(&played).await.expect("counted");

        assert_eq!(report.problems(), Vec::<String>::new());
        let total = report.total();
        assert_eq!(total.deliveries, total.delivered + total.dead + total.waiting);
        assert!(total.waiting > 0, "{total:?}");
        demo.service.stop().await;
        demo.receivers.stop().await;
    }
}
