//! What was measured while a receiver was away.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::figures::round2;
use super::super::ledger::{Balance, Counts, Fate, Ledger};
use super::Plan;

/// What the worker does at first, when all that waits is taken up once, is told apart.
const FIRST: Duration = Duration::from_secs(60);

/// What was used and done so far.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) after: Duration,
    pub(super) worker: Duration,
    pub(super) broker: Option<Duration>,
    pub(super) counts: Counts,
}

impl Sample {
    fn parks(&self) -> u64 {
        self.counts.parks.values().sum()
    }

    /// How it goes since `first`.
    pub(super) fn words(&self, first: &Self) -> String {
        let used = Used::between(first, self);
        format!(
            "after {:.0} s: {} parks, {} attempts; {}",
            self.after.as_secs_f64(),
            self.parks(),
            self.counts.attempts,
            used.words()
        )
    }
}

/// Shares of one core, in percent.
#[derive(Clone, Copy, Debug)]
struct Used {
    worker: f64,
    broker: Option<f64>,
}

impl Used {
    fn between(first: &Sample, last: &Sample) -> Self {
        let time = last.after.saturating_sub(first.after).as_secs_f64();
        let percent = |before: Duration, after: Duration| {
            if time > 0.0 { 100.0 * after.saturating_sub(before).as_secs_f64() / time } else { 0.0 }
        };
        let broker = first.broker.zip(last.broker).map(|(before, after)| percent(before, after));
        Self { worker: percent(first.worker, last.worker), broker }
    }

    fn total(self) -> f64 {
        self.worker + self.broker.unwrap_or(0.0)
    }

    fn words(self) -> String {
        match self.broker {
            Some(broker) => {
                format!("{:.1} % of one core (worker {:.1} %, RabbitMQ {broker:.1} %)", self.total(), self.worker)
            }
            None => format!("{:.1} % of one core", self.worker),
        }
    }

    fn json(self) -> Value {
        json!({
            "worker_percent": round2(self.worker),
            "broker_percent": self.broker.map(round2),
            "percent": round2(self.total()),
        })
    }
}

/// All of it.
pub(super) struct Figures {
    plan: Plan,
    over_rabbitmq: bool,
    samples: Vec<Sample>,
    parks_mean: f64,
    parks_max: u32,
    pub(super) balance: Balance,
}

impl Figures {
    /// `samples` begins with one from before the worker did anything.
    pub(super) fn of(
        plan: Plan,
        over_rabbitmq: bool,
        samples: Vec<Sample>,
        fates: &[Fate],
        ledger: &Ledger,
        balance: Balance,
    ) -> Self {
        let parks: Vec<u32> = ledger
            .parks()
            .into_iter()
            .zip(fates)
            .filter(|(_, fate)| matches!(fate, Fate::Waiting | Fate::Untold))
            .map(|(parks, _)| parks)
            .collect();
        let count = f64::from(u32::try_from(parks.len()).unwrap_or(u32::MAX)).max(1.0);
        let parks_mean = parks.iter().map(|parks| f64::from(*parks)).sum::<f64>() / count;
        Self { plan, over_rabbitmq, samples, parks_mean, parks_max: parks.into_iter().max().unwrap_or(0), balance }
    }

    /// What was used from beginning to end, in the first minute, and after it if there was an after.
    fn used(&self) -> Option<(Used, Used, Option<Used>)> {
        let (first, last) = (self.samples.first()?, self.samples.last()?);
        let until = self.samples.iter().find(|sample| sample.after >= FIRST).unwrap_or(last);
        let after = (until.after < last.after).then(|| Used::between(until, last));
        Some((Used::between(first, last), Used::between(first, until), after))
    }

    pub(super) fn json(&self) -> Value {
        let counts = self.samples.last().map(|sample| sample.counts.clone()).unwrap_or_default();
        let parks: serde_json::Map<String, Value> =
            counts.parks.iter().map(|(reason, count)| (reason.to_string(), json!(count))).collect();
        let used = self.used();
        json!({
            "queue": if self.over_rabbitmq { "rabbitmq" } else { "sqlite" },
            "receiver": if self.plan.hangs { "hangs" } else { "refuses" },
            "waiting_at_first": self.plan.waiting,
            "rate": self.plan.rate,
            "seconds": self.samples.last().map(|sample| round2(sample.after.as_secs_f64())),
            "bytes": self.plan.bytes,
            "deadline_ms": self.plan.deadline.as_millis(),
            "parks_mean": round2(self.parks_mean),
            "parks_max": self.parks_max,
            "parks": parks,
            "attempts": counts.attempts,
            "used": used.map(|(all, _, _)| all.json()),
            "used_in_first_minute": used.map(|(_, first, _)| first.json()),
            "used_after_first_minute": used.and_then(|(_, _, after)| after).map(Used::json),
            "balance": self.balance.json(),
            "all_found": self.balance.holds(),
        })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let Plan { waiting, rate, bytes, hangs, .. } = self.plan;
        let counts = self.samples.last().map(|sample| sample.counts.clone()).unwrap_or_default();
        let parks: Vec<String> = counts.parks.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let seconds = self.samples.last().map_or(0.0, |sample| sample.after.as_secs_f64());
        let mut lines = vec![
            format!(
                "{waiting} deliveries of {bytes} bytes waiting for one webhook that {}, {rate} new events a second, {seconds:.0} s, queue {}",
                if hangs { "hangs" } else { "refuses connections" },
                if self.over_rabbitmq { "rabbitmq" } else { "sqlite" },
            ),
            format!("parks of each waiting delivery   {:.2}, at most {}", self.parks_mean, self.parks_max),
            format!(
                "parks                            {}",
                if parks.is_empty() { "0".to_owned() } else { parks.join(", ") }
            ),
            format!("attempts                         {}", counts.attempts),
        ];
        if let Some((all, first, after)) = self.used() {
            lines.push(format!("used in all                      {}", all.words()));
            lines.push(format!("used in the first minute         {}", first.words()));
            lines.extend(after.map(|after| format!("used after that                  {}", after.words())));
        }
        lines.push(self.balance.words());
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::ParkReason;

    fn sample(seconds: u64, worker_ms: u64, broker_ms: u64) -> Sample {
        let counts = Counts { attempts: seconds, parks: BTreeMap::from([(ParkReason::NoSlot, 2 * seconds)]) };
        Sample {
            after: Duration::from_secs(seconds),
            worker: Duration::from_millis(worker_ms),
            broker: Some(Duration::from_millis(broker_ms)),
            counts,
        }
    }

    #[test]
    fn what_was_used_is_told_of_the_first_minute_and_of_what_came_after() {
        let plan = Plan {
            waiting: 10,
            rate: 1,
            seconds: 160,
            bytes: 300,
            hangs: false,
            deadline: Duration::from_secs(10),
            broker: Some(1),
        };
        let samples = vec![sample(0, 1000, 5000), sample(60, 7000, 5600), sample(160, 8000, 6600)];
        let ledger = Ledger::of(0);
        let json = Figures::of(plan, true, samples, &[], &ledger, Balance::default()).json();
        let of = |name: &str| {
            let used = &json[name];
            ["worker_percent", "broker_percent", "percent"].map(|share| used[share].as_f64().expect("a number"))
        };
        assert_eq!(of("used").map(f64::round), [4.0, 1.0, 5.0]);
        assert_eq!(of("used_in_first_minute").map(f64::round), [10.0, 1.0, 11.0]);
        assert_eq!(of("used_after_first_minute").map(f64::round), [1.0, 1.0, 2.0]);
        assert_eq!((&json["attempts"], &json["parks"]), (&json!(160), &json!({"no_slot": 320})));
    }
}
