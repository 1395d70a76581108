//! Rate limits: each webhook that has one gets its requests no faster, and delays only itself (promise 6).
//!
//! A delivery gets in line here before it asks for a slot, and takes its token when it has the slot and is about to leave. It
//! waits in line only while its token is expected within the patience, and while the webhook's waiters are no more than their
//! fair share of the prefetch; otherwise it is told so at once, and when its turn is, and is parked in the queue until then,
//! where it holds nothing. The tokens are counted by `decide::Bucket`, on the clock's time that only moves on.
//!
//! They are this worker's alone: in memory, one bucket for each webhook with a limit, full at the start. A webhook without a
//! limit costs nothing here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::SharedClock;
use crate::decide::Bucket;
use crate::model::{RateLimit, Webhook, WebhookId};
use crate::registry::{Known, Snapshot};

/// How long deliveries may wait in the worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct RatePolicy {
    /// How far ahead a token may be for which a delivery waits in the worker.
    pub(super) patience: Duration,
    /// Deliveries that may wait in the worker, over all webhooks.
    pub(super) waiters_max: usize,
}

/// The tokens of every webhook with a limit.
#[derive(Debug)]
pub(super) struct Rates {
    policy: RatePolicy,
    clock: SharedClock,
    webhooks: RefCell<Webhooks>,
}

#[derive(Debug, Default)]
struct Webhooks {
    by_id: HashMap<WebhookId, Tokens>,
    /// Webhooks whose line has someone in it.
    crowded: usize,
    /// The registrations by which those without a limit were last forgotten.
    seen: Option<Arc<Snapshot>>,
}

/// One webhook's tokens, and who is in line for them.
#[derive(Debug)]
struct Tokens {
    bucket: Bucket,
    /// Deliveries that are in line and have not taken theirs.
    line: u32,
}

/// No token will be there within the patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoToken {
    /// How long until the delivery's turn.
    pub(super) turn: Duration,
}

/// A place in the line for a webhook's tokens; it is left when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    rates: &'a Rates,
    webhook: WebhookId,
    /// Until when it is worth waiting.
    until: Instant,
}

impl Rates {
    pub(super) fn new(policy: RatePolicy, clock: SharedClock) -> Self {
        Self { policy, clock, webhooks: RefCell::default() }
    }

    /// Gets in line for a token of `webhook`, and waits until it is there; no place is needed where there is no limit.
    ///
    /// # Errors
    /// When that would be later than the patience: when its turn is.
    pub(super) async fn line_up(&self, webhook: &Webhook) -> Result<Option<Place<'_>>, NoToken> {
        let Some(limit) = webhook.options.rate_limit else { return Ok(None) };
        let wait = {
            let mut webhooks = self.webhooks.borrow_mut();
            let share = (self.policy.waiters_max / webhooks.crowded.max(1)).max(1);
            let now = self.clock.elapsed();
            let tokens = webhooks.of(&webhook.id, limit, now);
            let wait = tokens.bucket.wait(tokens.line, now);
            let is_far = wait > self.policy.patience || tokens.line as usize >= share;
            if !wait.is_zero() && is_far {
                return Err(NoToken { turn: tokens.bucket.book(tokens.line, now) });
            }
            tokens.line = tokens.line.saturating_add(1);
            if tokens.line == 1 {
                webhooks.crowded += 1;
            }
            wait
        };
        // It may find that others were faster, or that the limit has changed: then it waits again, as long as once more.
        let until = Instant::now() + wait + self.policy.patience;
        let place = Place { rates: self, webhook: webhook.id.clone(), until };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(Some(place))
    }

    /// Takes a token for a request to `webhook`, which leaves now.
    ///
    /// # Errors
    /// When there is none: how long until there is.
    pub(super) fn take(&self, webhook: &Webhook) -> Result<(), Duration> {
        let Some(limit) = webhook.options.rate_limit else { return Ok(()) };
        let now = self.clock.elapsed();
        self.webhooks.borrow_mut().of(&webhook.id, limit, now).bucket.take(now)
    }

    /// Gives a turn to a delivery to `webhook` that has waited long enough.
    pub(super) fn put_off(&self, webhook: &Webhook) -> NoToken {
        let Some(limit) = webhook.options.rate_limit else { return NoToken { turn: Duration::ZERO } };
        let now = self.clock.elapsed();
        let mut webhooks = self.webhooks.borrow_mut();
        let tokens = webhooks.of(&webhook.id, limit, now);
        NoToken { turn: tokens.bucket.book(tokens.line, now) }
    }

    /// Forgets the tokens of webhooks that are no more, or have no limit any more.
    pub(super) fn follow(&self, snapshot: &Arc<Snapshot>) {
        let mut webhooks = self.webhooks.borrow_mut();
        let webhooks = &mut *webhooks;
        if webhooks.by_id.is_empty() || webhooks.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, snapshot)) {
            return;
        }
        webhooks.by_id.retain(|id, _| match snapshot.find(id) {
            Known::Webhook(webhook) => webhook.options.rate_limit.is_some(),
            Known::Deleted | Known::Unknown => false,
        });
        webhooks.crowded = webhooks.by_id.values().filter(|tokens| tokens.line > 0).count();
        webhooks.seen = Some(Arc::clone(snapshot));
    }
}

impl Webhooks {
    /// The tokens of the webhook `id`, whose limit is `limit` now.
    fn of(&mut self, id: &WebhookId, limit: RateLimit, now: Duration) -> &mut Tokens {
        let full = || Tokens { bucket: Bucket::full(limit, now), line: 0 };
        let tokens = self.by_id.entry(id.clone()).or_insert_with(full);
        tokens.bucket.set_limit(limit, now);
        tokens
    }
}

impl Place<'_> {
    /// Waits for a token that comes after `wait`, if that is still worth it.
    pub(super) async fn wait(&self, wait: Duration) -> bool {
        if Instant::now() + wait > self.until {
            return false;
        }
        tokio::time::sleep(wait).await;
        true
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut webhooks = self.rates.webhooks.borrow_mut();
        // It may have been forgotten meanwhile.
        let Some(tokens) = webhooks.by_id.get_mut(&self.webhook).filter(|tokens| tokens.line > 0) else { return };
        tokens.line -= 1;
        if tokens.line == 0 {
            webhooks.crowded = webhooks.crowded.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock, Wait};
    use crate::model::{Options, Origin, Owner, Secret, Source, Status, Timestamp};

    /// The time that tokio's tests hold.
    #[derive(Debug)]
    struct Held(Instant);

    impl Clock for Held {
        fn now(&self) -> Timestamp {
            SystemClock.now()
        }

        fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }

        fn sleep_until(&self, at: Timestamp) -> Wait {
            SystemClock.sleep_until(at)
        }

        fn jitter(&self) -> f64 {
            0.5
        }
    }

    fn rates(waiters_max: usize) -> Rates {
        let policy = RatePolicy { patience: Duration::from_millis(500), waiters_max };
        Rates::new(policy, Arc::new(Held(Instant::now())))
    }

    fn webhook(id: &str, limit: Option<(f64, u32)>) -> Webhook {
        let rate_limit = limit.map(|(per_second, burst)| RateLimit::new(per_second, Some(burst)).expect("allowed"));
        Webhook {
            id: WebhookId::new(id).expect("valid"),
            owner: Owner::System,
            source: Source::default(),
            name: String::new(),
            url: "http://a.example/".parse().expect("a URL"),
            secret: Secret::new(""),
            on: Vec::new(),
            status: Status::Active,
            options: Options { rate_limit, ..Options::default() },
            origin: Origin::Store,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }

    /// Lines up and takes a token; tells after how long it left, or when its turn is.
    async fn leave(rates: &Rates, webhook: &Webhook) -> Result<Duration, Duration> {
        let began = Instant::now();
        let place = rates.line_up(webhook).await.map_err(|no_token| no_token.turn)?;
        while let Err(wait) = rates.take(webhook) {
            if !place.as_ref().expect("a place where there is a limit").wait(wait).await {
                return Err(rates.put_off(webhook).turn);
            }
        }
        Ok(began.elapsed())
    }

    fn about(ms: &[u64], actual: &[Duration]) -> bool {
        let near = |(ms, actual): (&u64, &Duration)| actual.as_millis().abs_diff(u128::from(*ms)) <= 8;
        ms.len() == actual.len() && ms.iter().zip(actual).all(near)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_leaves_at_once_the_next_ones_one_by_one_and_the_rest_gets_turns_behind_them() {
        let (rates, limited) = (rates(100), webhook("a", Some((10.0, 3))));
        let all = futures_util::future::join_all((0..12).map(|_| leave(&rates, &limited))).await;
        let left: Vec<Duration> = all.iter().filter_map(|one| one.ok()).collect();
        let turns: Vec<Duration> = all.iter().filter_map(|one| one.err()).collect();
        assert!(about(&[0, 0, 0, 100, 200, 300, 400], &left), "{left:?}");
        assert!(about(&[500, 600, 700, 800, 900], &turns), "{turns:?}");
        assert_eq!(rates.webhooks.borrow().crowded, 0, "nobody is left in line");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_put_off_is_told_at_once_and_another_webhook_is_not_affected() {
        let (rates, limited, free) = (rates(100), webhook("a", Some((0.2, 1))), webhook("b", None));
        assert_eq!(leave(&rates, &limited).await, Ok(Duration::ZERO));
        let began = Instant::now();
        assert!(leave(&rates, &limited).await.is_err());
        for _ in 0..1000 {
            assert_eq!(leave(&rates, &free).await, Ok(Duration::ZERO));
        }
        assert_eq!(leave(&rates, &webhook("c", Some((0.2, 1)))).await, Ok(Duration::ZERO));
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(rates.webhooks.borrow().by_id.len(), 2, "those without a limit are not remembered");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_held_to_their_share() {
        let (rates, limited) = (rates(3), webhook("a", Some((1000.0, 1))));
        let all = futures_util::future::join_all((0..50).map(|_| leave(&rates, &limited))).await;
        assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 1 + 3, "{all:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_taken_by_those_that_leave_and_a_place_given_up_costs_none() {
        let (rates, limited) = (rates(100), webhook("a", Some((0.2, 2))));
        for _ in 0..10 {
            drop(rates.line_up(&limited).await.expect("a token is there"));
        }
        assert_eq!(
            (leave(&rates, &limited).await, leave(&rates, &limited).await),
            (Ok(Duration::ZERO), Ok(Duration::ZERO))
        );
        assert!(leave(&rates, &limited).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn those_held_up_behind_their_token_leave_no_faster_than_the_limit() {
        let (rates, limited) = (rates(100), webhook("a", Some((10.0, 1))));
        let mut places = Vec::new();
        for place in futures_util::future::join_all((0..4).map(|_| rates.line_up(&limited))).await {
            places.push(place.expect("within the patience"));
        }
        assert_eq!(rates.take(&limited), Ok(()), "all four have waited, and one token is there");
        let wait = rates.take(&limited).expect_err("no second one");
        let place = places.pop().flatten().expect("a place");
        assert!(place.wait(wait).await);
        assert_eq!(rates.take(&limited), Ok(()));
        assert!(!place.wait(Duration::from_secs(5)).await, "no longer than the patience");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_changes_counts_at_once_and_what_is_no_more_is_forgotten() {
        let rates = rates(100);
        assert!(leave(&rates, &webhook("a", Some((0.01, 1)))).await.is_ok());
        assert!(leave(&rates, &webhook("a", Some((0.01, 1)))).await.is_err());
        assert!(leave(&rates, &webhook("a", Some((10.0, 1)))).await.expect("soon") <= Duration::from_millis(110));
        assert_eq!(leave(&rates, &webhook("a", None)).await, Ok(Duration::ZERO));
        let held = rates.line_up(&webhook("b", Some((1.0, 5)))).await.expect("a token is there");
        rates.follow(&Arc::new(Snapshot::default()));
        drop(held);
        let webhooks = rates.webhooks.borrow();
        assert_eq!((webhooks.by_id.len(), webhooks.crowded), (0, 0));
    }
}
