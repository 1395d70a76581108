//! Samples the queue's depth, the record's gap and how the endpoints stand for the metrics, so that a scrape never asks the queue or the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::endpoints::Endpoints;
use crate::clock::SharedClock;
use crate::queue::Queue;
use crate::record::Latest;
use crate::telemetry::{EndpointGauges, QueueGauges, SharedTelemetry, Trouble};

/// How old a sample may be when it is scraped.
const SAMPLE_EVERY: Duration = Duration::from_secs(2);

/// Samples until it is dropped.
#[derive(Debug)]
pub struct Sampler(JoinHandle<()>);

impl Sampler {
    /// Starts to sample `queue`, what `latest` had to drop, and how `endpoints` stand.
    pub fn start(
        queue: Queue,
        latest: Arc<Latest>,
        endpoints: Arc<Endpoints>,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Self {
        Self(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SAMPLE_EVERY);
            let mut dropped_before = 0;
            let trouble = Trouble::none("the queue's depth cannot be read");
            loop {
                ticks.tick().await;
                let dropped = latest.dropped();
                telemetry.record_dropped(dropped - dropped_before);
                dropped_before = dropped;
                let sight = endpoints.sight();
                telemetry.endpoints_sampled(EndpointGauges {
                    breakers_open: sight.breakers_open,
                    hosts_left_alone: sight.hosts_left_alone,
                    slow: sight.slow,
                    waiting: sight.waiting,
                });
                match queue.depths().await {
                    Ok(depths) => {
                        let gauges = QueueGauges {
                            work: depths.work,
                            delay: depths.delay,
                            dead: depths.dead,
                            rejected: depths.rejected,
                            oldest: depths.oldest,
                        };
                        telemetry.queue_sampled(gauges, clock.now());
                        trouble.succeeded(&telemetry);
                    }
                    Err(error) => trouble.failed_by_the_clock(&error, &telemetry),
                }
            }
        }))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.0.abort();
    }
}
