//! The queue as operators see it: how much lies in each of its lanes, and whether it can be used.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{Timestamp, described};
use crate::queue::{Depths, Queue, Unsettled};
use crate::telemetry::chain;

/// How long counting may take.
const COUNT_WAIT_MAX: Duration = Duration::from_secs(5);

/// The queue.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Queues)]
pub struct QueuesShape {
    /// `sqlite` or `rabbitmq`.
    backend: &'static str,
    /// Which file, or which broker.
    place: String,
    /// Whether it answers.
    connected: bool,
    /// What does not work now, in words.
    problems: Vec<String>,
    /// Since when the message that has been overdue for longest waits (RabbitMQ: the one taken last); null: none does.
    #[schema(schema_with = described::moment_or_null, required)]
    oldest_waiting_since: Option<String>,
    /// Each lane.
    queues: Vec<LaneShape>,
}

/// One lane of the queue.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Queue)]
struct LaneShape {
    /// `work`: fresh events; `delay`: deliveries that wait or are due; `dead`: dead letters that the store does not have yet;
    /// `rejected`: what was no event (RabbitMQ).
    name: &'static str,
    /// Messages in it, with those in hand; null: nobody knows now.
    #[schema(required)]
    depth: Option<u64>,
    /// Messages that this process has taken and not settled; null: it takes none of them.
    #[schema(required)]
    unsettled: Option<u64>,
}

impl QueuesShape {
    /// What does not work now, in words.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// `queue`, which is a `backend` at `place`, as it is now.
    pub async fn of(queue: &Queue, backend: &'static str, place: &str) -> Self {
        let mut problems = queue.health();
        let counted = match tokio::time::timeout(COUNT_WAIT_MAX, queue.depths()).await {
            Ok(Ok(depths)) => Some(depths),
            Ok(Err(error)) => {
                let words = chain(&error);
                // Often what health says already.
                if !problems.iter().any(|problem| words.contains(problem.as_str())) {
                    problems.push(words);
                }
                None
            }
            Err(_) => {
                problems.push(format!("it could not be counted within {} s", COUNT_WAIT_MAX.as_secs()));
                None
            }
        };
        Self {
            backend,
            place: place.to_owned(),
            connected: counted.is_some(),
            problems,
            oldest_waiting_since: counted.and_then(|depths| depths.oldest).map(Timestamp::to_rfc3339),
            queues: lanes(counted, queue.unsettled()),
        }
    }
}

fn lanes(counted: Option<Depths>, unsettled: Unsettled) -> Vec<LaneShape> {
    let lane = |name, of: fn(&Depths) -> u64, unsettled| LaneShape { name, depth: counted.as_ref().map(of), unsettled };
    vec![
        lane("work", |depths| depths.work, Some(unsettled.work)),
        lane("delay", |depths| depths.delay, Some(unsettled.delay)),
        lane("dead", |depths| depths.dead, Some(unsettled.dead)),
        lane("rejected", |depths| depths.rejected, None),
    ]
}
