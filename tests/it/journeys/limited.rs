//! A webhook with a rate limit gets everything, no faster than its limit, and holds up no other.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, PATIENCE, Program, events};

/// Events of the journey.
const EVENTS: usize = 60;
const PER_SECOND: f64 = 10.0;
const BURST: f64 = 5.0;
/// How much longer one request may be on its way than another, on a machine that has other things to do: so much closer
/// together than they left may they arrive.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// Two receivers: of a webhook that is limited, and of one that is not.
pub(crate) struct Pair {
    pub(crate) limited: Receiver,
    pub(crate) free: Receiver,
}

impl Pair {
    /// Starts them, and registers a webhook of each, both for `note`, in the store of `home`.
    pub(crate) async fn start(home: &Home) -> Self {
        let pair = Self {
            limited: Receiver::start(Behaviour::Answer(200)).await,
            free: Receiver::start(Behaviour::Answer(200)).await,
        };
        let (limited, free) = (pair.limited.url("/"), pair.free.url("/"));
        let limit = ["--rate-limit", "10/s", "--rate-burst", "5"];
        let create = ["webhooks", "create", "--on", "note", "--url"];
        home.cli(&[&create[..], &[&limited, "--id", "limited"], &limit].concat()).await.ok();
        home.cli(&[&create[..], &[&free, "--id", "free"]].concat()).await.ok();
        pair
    }

    /// Publishes [`EVENTS`] events for both and checks how they arrive; the limit takes some six seconds for them.
    pub(crate) async fn check(&self, program: &Program) {
        assert_eq!(program.post(events("note", "e", EVENTS)).await.0, 200);
        self.free.until_distinct(EVENTS).await;
        self.limited.until_within(PATIENCE * 2, "every event arrives", |book| book.distinct() >= EVENTS).await;
        for queue in ["work", "delay", "dead"] {
            program.metric_is(&format!("hikyaku_queue_depth{{queue=\"{queue}\"}}"), 0.0).await;
        }
        program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", 2.0 * EVENTS as f64).await;
        assert!(program.metric("hikyaku_parked_total{reason=\"rate_limit\"}").await > 0.0);
        assert_eq!(program.metric("hikyaku_parked_total{reason=\"no_slot\"}").await, 0.0);

        let (limited, free) = (self.limited.book(), self.free.book());
        for book in [&limited, &free] {
            assert_eq!((book.arrived.len(), book.repeats()), (EVENTS, 0));
            assert_eq!(book.event_ids, (0..EVENTS).map(|n| format!("e{n}")).collect::<HashSet<_>>());
            assert!(book.arrived.iter().all(|arrived| arrived.attempt() == "1"), "a park costs no attempt");
        }
        let times: Vec<_> = limited.arrived.iter().map(|arrived| arrived.at).collect();
        for (first, from) in times.iter().enumerate() {
            for (last, to) in times.iter().enumerate().skip(first) {
                let (were, window) = ((last - first + 1) as f64, to.duration_since(*from));
                let allowed = BURST + PER_SECOND * (window + ON_THE_WAY).as_secs_f64();
                assert!(were <= allowed, "{were} arrived in {window:?}, and {allowed} may");
            }
        }
        let free_has_all = free.arrived.last().expect("some").at;
        assert!(free_has_all < times[EVENTS / 2], "the one without a limit waits for the other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_webhook_gets_all_of_a_wave_no_faster_than_its_limit_and_another_gets_it_at_once() {
    let home = Home::new("");
    let pair = Pair::start(&home).await;
    let program = home.serve().await;
    pair.check(&program).await;
    program.stop().await;
}
