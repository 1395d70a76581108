//! What was measured, as medians and ratios.

use std::time::Duration;

use serde_json::{Value, json};

use super::Load;
use super::queue_run::Drained;

/// What the queue is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueKind {
    Sqlite,
    RabbitMq,
}

impl QueueKind {
    /// What the worker is compared with, and how an event is stored, in words.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Sqlite => ("bare POSTs", "accept (fsynced)"),
            Self::RabbitMq => ("bare loop, lapin+reqwest", "accept (confirmed)"),
        }
    }
}

/// One run of each kind, in events a second.
pub(super) struct Run {
    pub(super) bare: f64,
    pub(super) queue: Drained,
    pub(super) end_to_end: f64,
}

/// Medians over the runs.
pub(super) struct Figures {
    load: Load,
    kind: QueueKind,
    runs: usize,
    bare: f64,
    accept: f64,
    drain: f64,
    end_to_end: f64,
    /// Medians of the ratios of each run.
    drain_to_bare: f64,
    end_to_end_to_bare: f64,
}

impl Figures {
    pub(super) fn of(load: &Load, runs: &[Run], kind: QueueKind) -> Self {
        let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
        Self {
            load: load.clone(),
            kind,
            runs: runs.len(),
            bare: of(|run| run.bare),
            accept: of(|run| run.queue.accept),
            drain: of(|run| run.queue.drain),
            end_to_end: of(|run| run.end_to_end),
            drain_to_bare: of(|run| run.queue.drain / run.bare),
            end_to_end_to_bare: of(|run| run.end_to_end / run.bare),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "events": self.load.events,
            "bytes": self.load.bytes,
            "concurrency": self.load.concurrency,
            "runs": self.runs,
            "bare_per_s": self.bare.round(),
            "accept_per_s": self.accept.round(),
            "drain_per_s": self.drain.round(),
            "end_to_end_per_s": self.end_to_end.round(),
            "drain_to_bare": round2(self.drain_to_bare),
            "end_to_end_to_bare": round2(self.end_to_end_to_bare),
        })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let Load { events, bytes, concurrency } = &self.load;
        let (bare, accept) = self.kind.words();
        let ratio = |ratio: f64| format!("   {ratio:.2} of the bare ones");
        let line = |what: &str, rate: f64, ratio: &str| format!("{what:<25}{rate:>8.0} /s{ratio}");
        vec![
            format!("{events} events of {bytes} bytes, concurrency {concurrency}, medians of {} runs", self.runs),
            line(bare, self.bare, "   1.00"),
            line(accept, self.accept, ""),
            line("drain queue, deliver", self.drain, &ratio(self.drain_to_bare)),
            line("accept and deliver", self.end_to_end, &ratio(self.end_to_end_to_bare)),
        ]
    }
}

/// How long something took, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Percentiles {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Percentiles {
    /// Those of `times`; zeros when there are none.
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |part: usize| {
            let place = (times.len() * part).div_ceil(100).saturating_sub(1);
            times.get(place).copied().unwrap_or_default().as_secs_f64() * 1000.0
        };
        Self { p50_ms: at(50), p99_ms: at(99), max_ms: at(100) }
    }
}

/// Hundredths are more than a machine keeps to.
pub(super) fn round2(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// The middle one; of an even number the lower of the two.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get((numbers.len().max(1) - 1) / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(Vec::new()).to_bits(), 0.0_f64.to_bits());
    }
}
