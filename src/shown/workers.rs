//! The workers as operators see them: what each has told last, and whether it is still there.

use serde::Serialize;
use utoipa::ToSchema;

use crate::deliver::{TOLD_EVERY, WorkerReport};
use crate::model::{Timestamp, described};
use crate::record::KnownWorker;

/// Times that a worker may miss before it counts as away.
const MISSED_MAX: u32 = 3;

/// A worker.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Worker)]
pub struct WorkerShape {
    /// The machine's name and the process's number.
    name: String,
    /// `working`; `stopping`: it finishes what is in flight; `away`: it has told nothing for 15 seconds.
    state: &'static str,
    /// Since when it runs.
    #[schema(schema_with = described::moment)]
    started_at: String,
    /// When it told this, by its own clock.
    #[schema(schema_with = described::moment)]
    seen_at: String,
    #[serde(flatten)]
    report: WorkerReport,
}

impl WorkerShape {
    /// Whether it is there and takes messages.
    pub fn works(&self) -> bool {
        self.state == "working"
    }

    /// What is to be said of it when it tells nothing any more.
    pub(super) fn absence(&self) -> Option<String> {
        let Self { name, seen_at, .. } = self;
        (self.state == "away").then(|| {
            format!(
                "the worker {name} has told nothing since {seen_at}: it was killed, or its machine or its way to the store is gone. \
                 One that was killed is told of for a day"
            )
        })
    }

    /// `worker` as it is at `now`.
    pub fn of(worker: KnownWorker, now: Timestamp) -> Self {
        // One of another version may tell other things.
        let report: WorkerReport = serde_json::from_str(&worker.report).unwrap_or_default();
        let is_away = now.since(worker.seen_at) > TOLD_EVERY * MISSED_MAX;
        let state = match (is_away, report.stopping) {
            (true, _) => "away",
            (false, true) => "stopping",
            (false, false) => "working",
        };
        Self {
            name: worker.name,
            state,
            started_at: worker.started_at.to_rfc3339(),
            seen_at: worker.seen_at.to_rfc3339(),
            report,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_told_nothing_for_15_seconds_is_away() {
        let told = |report: &str| KnownWorker {
            name: "host/1".to_owned(),
            started_at: Timestamp::from_millis(0),
            seen_at: Timestamp::from_millis(1000),
            report: report.to_owned(),
        };
        for (now, report, state) in [
            (16_000, "{}", "working"),
            (16_001, "{}", "away"),
            (2000, "{\"stopping\":true}", "stopping"),
            (2000, "of another version", "working"),
        ] {
            assert_eq!(WorkerShape::of(told(report), Timestamp::from_millis(now)).state, state, "{now} {report}");
        }
    }
}
