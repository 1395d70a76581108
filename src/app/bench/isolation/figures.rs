//! The scenarios beside each other: medians over the runs, and ratios to those without bad receivers beside them in the same run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::figures::{median, round2};
use super::scenario::{Measured, Plan, Scenario};
use crate::model::ParkReason;

/// Every scenario of every run.
pub(super) struct Figures {
    plan: Plan,
    over_rabbitmq: bool,
    runs: usize,
    rows: Vec<Row>,
}

/// One scenario over the runs.
struct Row {
    scenario: Scenario,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Medians of the ratios of each run; of a run's ratios between those without bad receivers, the largest.
    p50_ratio: f64,
    p99_ratio: f64,
    cores: f64,
    late_max_ms: f64,
    /// Of all runs together.
    attempts: u64,
    parks: BTreeMap<ParkReason, u64>,
    missing: u64,
    each: Vec<Measured>,
}

/// One measurement, and those without bad receivers that are nearest to it, before and after.
type Beside<'a> = (&'a Measured, [&'a Measured; 2]);

/// Each measurement of `name` in a run in which every second one is without bad receivers.
fn beside<'a>(round: &'a [Measured], name: &str) -> Vec<Beside<'a>> {
    let nearest = |place: usize| {
        let step = if place.is_multiple_of(2) { 2 } else { 1 };
        Some([round.get(place.checked_sub(step)?)?, round.get(place + step)?])
    };
    let of_name = |(place, measured): (usize, &'a Measured)| {
        let [before, after] = nearest(place).filter(|_| measured.scenario.name == name)?;
        Some((measured, [before, after]))
    };
    round.iter().enumerate().filter_map(of_name).collect()
}

fn ratio_of((measured, [before, after]): &Beside<'_>, figure: fn(&Measured) -> f64) -> f64 {
    figure(measured) / (figure(before) * figure(after)).sqrt()
}

impl Row {
    fn of(name: &str, rounds: &[Vec<Measured>]) -> Option<Self> {
        let each: Vec<Measured> =
            rounds.iter().flatten().filter(|measured| measured.scenario.name == name).cloned().collect();
        let of = |figure: fn(&Measured) -> f64| median(each.iter().map(figure).collect());
        let ratio = |figure: fn(&Measured) -> f64| {
            let of_run =
                |round: &Vec<Measured>| beside(round, name).iter().map(|one| ratio_of(one, figure)).reduce(f64::max);
            median(rounds.iter().filter_map(of_run).collect())
        };
        let mut parks: BTreeMap<ParkReason, u64> = BTreeMap::new();
        for (reason, count) in each.iter().flat_map(|measured| &measured.counts.parks) {
            *parks.entry(*reason).or_default() += count;
        }
        Some(Self {
            scenario: each.first()?.scenario,
            p50_ms: of(|one| one.percentiles.p50_ms),
            p99_ms: of(|one| one.percentiles.p99_ms),
            max_ms: of(|one| one.percentiles.max_ms),
            p50_ratio: ratio(|one| one.percentiles.p50_ms),
            p99_ratio: ratio(|one| one.percentiles.p99_ms),
            cores: of(|one| one.cores),
            late_max_ms: of(|one| one.late_max.as_secs_f64() * 1000.0),
            attempts: each.iter().map(|one| one.counts.attempts).sum(),
            parks,
            missing: each.iter().map(|one| one.missing).sum(),
            each,
        })
    }

    fn json(&self) -> Value {
        let parks: BTreeMap<&str, u64> = self.parks.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
        let balances: Vec<Value> = self.each.iter().map(|one| one.balance.json()).collect();
        json!({
            "scenario": self.scenario.name,
            "bad": self.scenario.bad,
            "p50_ms": round2(self.p50_ms),
            "p99_ms": round2(self.p99_ms),
            "max_ms": round2(self.max_ms),
            "p50_ratio": round2(self.p50_ratio),
            "p99_ratio": round2(self.p99_ratio),
            "cores": round2(self.cores),
            "publisher_late_max_ms": round2(self.late_max_ms),
            "attempts": self.attempts,
            "parks": parks,
            "healthy_missing": self.missing,
            "balances": balances,
        })
    }

    fn line(&self, plan: &Plan) -> String {
        let parks: Vec<String> = self.parks.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let parks = if parks.is_empty() { "0".to_owned() } else { parks.join(", ") };
        format!(
            "{:<28}{:>11.2}{:>11.2}{:>11.2}{:>10.2}{:>10.2}{:>7.2}{:>10}   {parks}",
            self.scenario.words(plan),
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.p50_ratio,
            self.p99_ratio,
            self.cores,
            self.attempts,
        )
    }
}

impl Figures {
    /// Of runs, each with the same scenarios in the same order, every second of them without bad receivers.
    pub(super) fn of(plan: Plan, rounds: &[Vec<Measured>], over_rabbitmq: bool) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for measured in rounds.first().into_iter().flatten() {
            if !names.contains(&measured.scenario.name) {
                names.push(measured.scenario.name);
            }
        }
        let rows = names.into_iter().filter_map(|name| Row::of(name, rounds)).collect();
        Self { plan, over_rabbitmq, runs: rounds.len(), rows }
    }

    /// Whether each event was where it must be, in every scenario.
    pub(super) fn all_found(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.each).all(Measured::is_whole)
    }

    fn queue(&self) -> &'static str {
        if self.over_rabbitmq { "rabbitmq" } else { "sqlite" }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "queue": self.queue(),
            "endpoints": self.plan.endpoints,
            "compared": self.plan.compared(),
            "rate_per_endpoint": self.plan.rate,
            "seconds": self.plan.seconds,
            "bytes": self.plan.bytes,
            "deadline_ms": self.plan.deadline.as_millis(),
            "runs": self.runs,
            "all_found": self.all_found(),
            "scenarios": self.rows.iter().map(Row::json).collect::<Vec<Value>>(),
        })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let Plan { endpoints, rate, seconds, bytes, .. } = self.plan;
        let compared = self.plan.compared();
        let mut lines = vec![
            format!(
                "{endpoints} webhooks at {rate} events a second each for {seconds} s, {bytes} bytes, queue {}, medians of {} runs",
                self.queue(),
                self.runs
            ),
            format!(
                "from an event's planned moment to its request read by its receiver, for the {compared} that are healthy in all scenarios"
            ),
            format!(
                "{:<28}{:>11}{:>11}{:>11}{:>10}{:>10}{:>7}{:>10}   {}",
                "of the others", "p50 ms", "p99 ms", "max ms", "p50 x", "p99 x", "cores", "attempts", "parked"
            ),
        ];
        lines.extend(self.rows.iter().map(|row| row.line(&self.plan)));
        for row in &self.rows {
            for measured in &row.each {
                lines.push(format!("{}: {}", row.scenario.words(&self.plan), measured.balance.words()));
                if measured.missing > 0 {
                    lines.push(format!("  {} events have not come to healthy receivers in time", measured.missing));
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::figures::Percentiles;
    use super::super::super::ledger::{Balance, Counts};
    use super::*;

    const PLAN: Plan = Plan { endpoints: 100, rate: 10, seconds: 60, bytes: 1024, deadline: Duration::from_secs(10) };

    fn measured(scenario: usize, p50_ms: f64, parks: u64) -> Measured {
        Measured {
            scenario: Scenario::all(&PLAN)[scenario],
            percentiles: Percentiles { p50_ms, p99_ms: 10.0 * p50_ms, max_ms: 100.0 * p50_ms },
            missing: 0,
            counts: Counts { attempts: 7, parks: BTreeMap::from([(ParkReason::NoSlot, parks)]) },
            balance: Balance::default(),
            cores: 0.5,
            late_max: Duration::ZERO,
        }
    }

    /// A run whose scenarios took so long at half.
    fn run(p50_ms: &[f64]) -> Vec<Measured> {
        p50_ms.iter().enumerate().map(|(place, p50_ms)| measured(place, *p50_ms, 3)).collect()
    }

    #[test]
    fn a_ratio_is_to_those_without_bad_receivers_on_both_sides_and_the_median_of_the_runs() {
        // The machine grows slower and slower, and is slowest in the second run.
        let rounds = [run(&[1.0, 2.2, 4.0]), run(&[10.0, 24.0, 40.0]), run(&[1.0, 3.2, 1.0])];
        let json = Figures::of(PLAN, &rounds, false).json();
        let row = &json["scenarios"][1];
        assert_eq!((&row["scenario"], &row["bad"]), (&json!("few_hang"), &json!(10)));
        assert_eq!((&row["p50_ratio"], &row["p99_ratio"], &row["p50_ms"]), (&json!(1.2), &json!(1.2), &json!(3.2)));
        assert_eq!((&row["attempts"], &row["parks"]), (&json!(21), &json!({"no_slot": 9})));
    }

    #[test]
    fn what_is_noise_is_told_by_those_without_bad_receivers_themselves() {
        let rounds = [run(&[1.0, 9.0, 3.0, 9.0, 1.0, 9.0, 1.0, 9.0, 1.0])];
        let json = Figures::of(PLAN, &rounds, false).json();
        assert_eq!(json["scenarios"].as_array().map(Vec::len), Some(5), "one row for each kind");
        let none = &json["scenarios"][0];
        assert_eq!(
            (&none["scenario"], &none["p50_ms"], &none["p50_ratio"]),
            (&json!("none"), &json!(1.0), &json!(3.0))
        );
    }

    #[test]
    fn one_event_that_is_missing_or_lost_is_not_all_found() {
        let whole = measured(0, 1.0, 0);
        assert!(Figures::of(PLAN, &[vec![whole.clone()]], false).all_found());
        let missing = Measured { missing: 1, ..whole.clone() };
        assert!(!Figures::of(PLAN, &[vec![missing]], false).all_found());
        let lost = Balance { problems: vec!["lost".to_owned()], ..Balance::default() };
        let lost = Figures::of(PLAN, &[vec![Measured { balance: lost, ..whole }]], false);
        assert!(!lost.all_found() && lost.lines().iter().any(|line| line.contains("WRONG: lost")));
    }
}
