//! One scenario: webhooks with good and bad receivers, a load, and what came of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use url::Url;

use super::super::cpu::processor_time;
use super::super::endpoints::{Arrivals, Endpoints, Manner, NETWORK};
use super::super::figures::Percentiles;
use super::super::ledger::{Balance, Counts, Held, Ledger};
use super::super::pace::{Pace, Published};
use super::super::queue_run::{depths_after, register_each, until_connected};
use super::super::stage::default_settings;
use crate::app::own_queues::OwnQueues;
use crate::app::service::Service;
use crate::config::Settings;
use crate::decide::AllowedNetwork;
use crate::deliver::Observer;
use crate::queue::Depths;
use crate::record::Filter;

/// How long healthy receivers may get their last events after the last one was published, beyond the deadline.
const LATE_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What requests under way may take at the end beyond the deadline.
const GRACE: Duration = Duration::from_secs(5);
/// The slow receivers answer after this part of the deadline: 2 s by default.
const SLOW_PART: u32 = 5;

/// The load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) endpoints: u32,
    /// Events a second for each.
    pub(super) rate: u32,
    pub(super) seconds: u32,
    pub(super) bytes: usize,
    /// Of one attempt.
    pub(super) deadline: Duration,
}

impl Plan {
    fn events(&self) -> u32 {
        self.endpoints * self.rate * self.seconds
    }

    /// Receivers that are bad in no scenario.
    pub(super) fn compared(&self) -> u32 {
        self.endpoints - self.endpoints / 2
    }

    /// Whether the event `number` is for one of these: every second one, so that good and bad are mixed in time.
    fn is_compared(&self, number: usize) -> bool {
        (number % self.endpoints as usize).is_multiple_of(2)
    }
}

/// Which receivers are bad, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    /// What users see.
    pub(super) name: &'static str,
    pub(super) bad: u32,
    manner: Manner,
}

impl Scenario {
    /// All that are measured, in their order: before and after each with bad receivers, one without.
    pub(super) fn all(plan: &Plan) -> Vec<Self> {
        let (few, many) = ((plan.endpoints / 10).max(1), plan.endpoints / 2);
        let of = |name, bad, manner| Self { name, bad, manner };
        let none = of("none", 0, Manner::Healthy);
        let bad = [
            of("few_hang", few, Manner::Hangs),
            of("many_hang", many, Manner::Hangs),
            of("many_slow", many, Manner::Slow(plan.deadline / SLOW_PART)),
            of("many_refuse", many, Manner::Refuses),
        ];
        std::iter::once(none).chain(bad.into_iter().flat_map(|bad| [bad, none])).collect()
    }

    /// What it is, for a person.
    pub(super) fn words(&self, plan: &Plan) -> String {
        let bad = self.bad;
        match self.manner {
            Manner::Healthy => format!("all {} answer at once", plan.endpoints),
            Manner::Hangs => format!("{bad} hang until the deadline"),
            Manner::Slow(wait) => format!("{bad} answer after {:.1} s", wait.as_secs_f64()),
            Manner::Refuses => format!("{bad} refuse connections"),
        }
    }

    /// Who is bad: of every second receiver, so many.
    fn manners(&self, plan: &Plan) -> Vec<Manner> {
        let is_bad = |number: u32| number % 2 == 1 && number / 2 < self.bad;
        (0..plan.endpoints).map(|number| if is_bad(number) { self.manner } else { Manner::Healthy }).collect()
    }

    /// Runs it.
    pub(super) async fn measure(&self, plan: &Plan, own: Option<&OwnQueues>) -> anyhow::Result<Measured> {
        let (events, count, bytes) = (plan.events(), plan.endpoints, plan.bytes);
        let (arrivals, ledger) = (Arrivals::of(events as usize), Arc::new(Ledger::of(events as usize)));
        let manners = self.manners(plan);
        let endpoints = Endpoints::start(&manners, &arrivals)?;
        let folder = tempfile::tempdir()?;
        let settings = settings(plan, own, folder.path())?;
        let user = move |number: u32| format!("bench{}", number % count);
        let webhooks: Vec<(String, Url)> = (0..).map(user).zip(endpoints.urls().iter().cloned()).collect();
        register_each(&settings, &webhooks).await?;
        let service = Service::start(settings.clone(), Some(Arc::clone(&ledger) as Arc<dyn Observer>)).await?;
        until_connected(&service).await?;

        let (began, before) = (Instant::now(), processor_time(None)?);
        let pace = Pace { first: 0, events, rate: plan.endpoints * plan.rate };
        let event = move |number: u32| super::super::event(&user(number), number, bytes);
        let published = pace.publish(&service.ingest, event).await?;
        let cores = (processor_time(None)?.saturating_sub(before)).as_secs_f64() / began.elapsed().as_secs_f64();
        let healthy = |number: usize| manners.get(number % manners.len()) == Some(&Manner::Healthy);
        let arrived = async {
            while !ledger.has_delivered(healthy) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let _or_counted = tokio::time::timeout(plan.deadline + LATE_MAX, arrived).await;
        let (latencies, missing) = latencies(plan, &arrivals, &published);
        let letters = Arc::clone(&service.letters);
        service.stop().await;

        let fates = ledger.fates();
        let letters = letters.count(&Filter::default()).await.context("dead letters cannot be counted")?;
        let account = |depths: &Depths| {
            Balance::of(&fates, &Held { arrivals: &arrivals, is_prompt: &healthy, depths: *depths, letters })
        };
        let balance = account(&depths_after(&settings, |depths| account(depths).holds()).await?);
        let percentiles = Percentiles::of(latencies);
        let late_max = published.late_max;
        Ok(Measured { scenario: *self, percentiles, missing, counts: ledger.counts(), balance, cores, late_max })
    }
}

/// The defaults, but for the deadline and what allows it.
fn settings(plan: &Plan, own: Option<&OwnQueues>, folder: &Path) -> anyhow::Result<Settings> {
    let mut settings = default_settings(own, folder)?;
    settings.delivery.timeout = plan.deadline;
    settings.server.shutdown_grace = plan.deadline + GRACE;
    settings.delivery.allowed_private_networks = vec![AllowedNetwork::parse(NETWORK).map_err(anyhow::Error::msg)?];
    Ok(settings)
}

/// How long each event for the compared receivers took, and how many of them have not come: these count as if they had now.
fn latencies(plan: &Plan, arrivals: &Arrivals, published: &Published) -> (Vec<Duration>, u64) {
    let (now, mut missing, mut latencies) = (Instant::now(), 0, Vec::new());
    for number in (0..plan.events()).filter(|number| plan.is_compared(*number as usize)) {
        let arrived = arrivals.first(number as usize);
        missing += u64::from(arrived.is_none());
        latencies.push(arrived.unwrap_or(now).saturating_duration_since(published.planned(number)));
    }
    (latencies, missing)
}

/// What came of a scenario.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) scenario: Scenario,
    /// Of the compared receivers.
    pub(super) percentiles: Percentiles,
    /// Events that they had not got when the time was up.
    pub(super) missing: u64,
    pub(super) counts: Counts,
    pub(super) balance: Balance,
    /// What the process took of the processors while events were published.
    pub(super) cores: f64,
    /// How late the publisher was at most.
    pub(super) late_max: Duration,
}

impl Measured {
    pub(super) fn words(&self) -> String {
        let Percentiles { p50_ms, p99_ms, max_ms } = self.percentiles;
        let parks: u64 = self.counts.parks.values().sum();
        format!(
            "p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, longest {max_ms:.2} ms; {} attempts, {parks} parks; {:.2} of one core",
            self.counts.attempts, self.cores
        )
    }

    /// Whether every event was found, and those for healthy receivers there.
    pub(super) fn is_whole(&self) -> bool {
        self.balance.holds() && self.missing == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { endpoints: 100, rate: 10, seconds: 60, bytes: 1024, deadline: Duration::from_secs(10) };

    #[test]
    fn those_that_are_compared_are_healthy_in_every_scenario_and_so_many_others_are_bad() {
        let bad: Vec<u32> = Scenario::all(&PLAN).iter().map(|scenario| scenario.bad).collect();
        assert_eq!(bad, [0, 10, 0, 50, 0, 50, 0, 50, 0]);
        for scenario in Scenario::all(&PLAN) {
            let manners = scenario.manners(&PLAN);
            let found = manners.iter().filter(|manner| **manner != Manner::Healthy).count();
            assert_eq!(found, scenario.bad as usize, "{}", scenario.name);
            let compared = (0..100).filter(|number| PLAN.is_compared(*number));
            assert_eq!(compared.filter(|number| manners[*number] == Manner::Healthy).count(), 50, "{}", scenario.name);
        }
        assert_eq!(PLAN.compared(), 50);
    }

    #[test]
    fn an_event_that_has_not_come_counts_with_the_time_it_has_had() {
        // What never comes must not make the others' figures look well.
        let plan = Plan { endpoints: 4, rate: 1, seconds: 1, ..PLAN };
        let arrivals = Arrivals::of(4);
        let published = Published::at(Instant::now() - Duration::from_secs(5), Pace { first: 0, events: 4, rate: 4 });
        let (latencies, missing) = latencies(&plan, &arrivals, &published);
        assert_eq!((latencies.len(), missing), (2, 2));
        assert!(latencies.iter().all(|latency| *latency > Duration::from_secs(4)), "{latencies:?}");
    }
}
