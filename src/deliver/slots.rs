//! Slots: how many requests one webhook may have in flight, so that a slow one delays only itself (promise 6).
//!
//! A delivery without a slot waits here only while its turn is expected within a short patience, judged by the webhook's
//! slots and its recent answer times, and while the webhook's waiters hold no more than their fair share of the prefetch.
//! Otherwise it is told so at once, and when its turn is expected behind all that were put off before it: it is parked in the
//! queue until then, where it holds nothing, and the receiver is kept as busy as it can be.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::decide::PARK_WAIT_MAX;
use crate::model::WebhookId;

/// What an answer is taken to need before the first one came.
const ANSWER_GUESS: Duration = Duration::from_millis(5);
/// The share of a new answer time in the running mean: an eighth.
const MEAN_SHARE: u64 = 8;
/// Webhooks remembered before those that are idle are forgotten.
const IDLE_REMEMBERED_MAX: usize = 10_000;

/// How slots are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotPolicy {
    /// Requests in flight to one webhook.
    pub(super) per_webhook: usize,
    /// How long a delivery may wait in the worker.
    pub(super) patience: Duration,
    /// Deliveries that may wait in the worker, over all webhooks.
    pub(super) waiters_max: usize,
}

/// Every webhook's slots.
#[derive(Debug)]
pub(super) struct Slots {
    policy: SlotPolicy,
    webhooks: Mutex<HashMap<WebhookId, Arc<WebhookSlots>>>,
    /// Webhooks that have waiters.
    crowded: AtomicUsize,
}

#[derive(Debug)]
struct WebhookSlots {
    free: Arc<Semaphore>,
    waiters: AtomicUsize,
    /// Running mean of answer times.
    answer_us: AtomicU64,
    /// Until when the webhook has enough to do with those that were put off.
    booked: Mutex<Instant>,
}

/// No slot will be free within the patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoSlot {
    /// How long until the delivery's turn.
    pub(super) turn: Duration,
}

/// A slot in use; free again when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    webhook: Arc<WebhookSlots>,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Notes how long the webhook took to answer.
    pub(super) fn answered(&self, took: Duration) {
        self.webhook.learn(took);
    }
}

impl Slots {
    pub(super) fn new(policy: SlotPolicy) -> Self {
        Self { policy, webhooks: Mutex::new(HashMap::new()), crowded: AtomicUsize::new(0) }
    }

    /// A slot of `id`, at once or within the patience.
    ///
    /// # Errors
    /// When its turn would come later: when that is.
    pub(super) async fn acquire(&self, id: &WebhookId) -> Result<Slot, NoSlot> {
        let webhook = self.of(id);
        if let Ok(permit) = Arc::clone(&webhook.free).try_acquire_owned() {
            return Ok(Slot { webhook, _permit: permit });
        }
        let Some(waiting) = Waiting::begin(self, &webhook) else {
            return Err(webhook.book(self.policy.per_webhook));
        };
        let turn = tokio::time::timeout(self.policy.patience, Arc::clone(&webhook.free).acquire_owned()).await;
        let turns = waiting.turns;
        drop(waiting);
        match turn {
            Ok(Ok(permit)) => Ok(Slot { webhook, _permit: permit }),
            _ => {
                // It is slower than it was taken to be; those who come next need not find that out by waiting.
                webhook.learn_at_least(self.policy.patience / turns);
                Err(webhook.book(self.policy.per_webhook))
            }
        }
    }

    fn of(&self, id: &WebhookId) -> Arc<WebhookSlots> {
        let mut webhooks = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(webhook) = webhooks.get(id) {
            return Arc::clone(webhook);
        }
        if webhooks.len() >= IDLE_REMEMBERED_MAX {
            webhooks.retain(|_, webhook| Arc::strong_count(webhook) > 1);
        }
        let webhook = Arc::new(WebhookSlots {
            free: Arc::new(Semaphore::new(self.policy.per_webhook)),
            waiters: AtomicUsize::new(0),
            answer_us: AtomicU64::new(as_us(ANSWER_GUESS)),
            booked: Mutex::new(Instant::now()),
        });
        webhooks.insert(id.clone(), Arc::clone(&webhook));
        webhook
    }

    /// How many answers one more waiter of `webhook` has to wait for, if that is worth its place.
    fn turns_worth_waiting(&self, webhook: &WebhookSlots) -> Option<u32> {
        let waiters = webhook.waiters.load(Ordering::Relaxed);
        let crowded = self.crowded.load(Ordering::Relaxed).max(1);
        if waiters >= (self.policy.waiters_max / crowded).max(1) {
            return None;
        }
        let turns = u32::try_from((waiters + 1).div_ceil(self.policy.per_webhook)).unwrap_or(u32::MAX);
        let expected_us = u64::from(turns).saturating_mul(webhook.answer_us.load(Ordering::Relaxed));
        (expected_us <= as_us(self.policy.patience)).then_some(turns)
    }
}

impl WebhookSlots {
    fn learn(&self, took: Duration) {
        let mean = self.answer_us.load(Ordering::Relaxed);
        self.answer_us.store(mean - mean / MEAN_SHARE + as_us(took) / MEAN_SHARE, Ordering::Relaxed);
    }

    /// A turn behind all that were put off before, at the pace at which `slots` slots are served.
    fn book(&self, slots: usize) -> NoSlot {
        let pace = Duration::from_micros(self.answer_us.load(Ordering::Relaxed) / slots.max(1) as u64);
        let now = Instant::now();
        let mut booked = self.booked.lock().unwrap_or_else(PoisonError::into_inner);
        // No further ahead than anyone is put off: what is beyond comes back and asks again.
        *booked = (*booked).clamp(now, now + PARK_WAIT_MAX) + pace;
        NoSlot { turn: booked.saturating_duration_since(now) }
    }

    fn learn_at_least(&self, took: Duration) {
        self.answer_us.fetch_max(as_us(took), Ordering::Relaxed);
    }
}

fn as_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A delivery that waits for a slot.
struct Waiting<'a> {
    slots: &'a Slots,
    webhook: &'a WebhookSlots,
    /// How many answers it has to wait for, one after the other.
    turns: u32,
}

impl<'a> Waiting<'a> {
    fn begin(slots: &'a Slots, webhook: &'a WebhookSlots) -> Option<Self> {
        let turns = slots.turns_worth_waiting(webhook)?;
        if webhook.waiters.fetch_add(1, Ordering::Relaxed) == 0 {
            slots.crowded.fetch_add(1, Ordering::Relaxed);
        }
        Some(Self { slots, webhook, turns })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.webhook.waiters.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.slots.crowded.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(per_webhook: usize, waiters_max: usize) -> Slots {
        Slots::new(SlotPolicy { per_webhook, patience: Duration::from_millis(500), waiters_max })
    }

    fn id(text: &str) -> WebhookId {
        WebhookId::new(text).expect("valid")
    }

    #[tokio::test(start_paused = true)]
    async fn a_webhook_has_no_more_slots_than_it_is_given_and_another_is_not_affected() {
        let slots = slots(2, 100);
        let _first = slots.acquire(&id("a")).await.expect("free");
        let _second = slots.acquire(&id("a")).await.expect("free");
        assert!(slots.acquire(&id("a")).await.is_err(), "a third would be more than two");
        assert!(slots.acquire(&id("b")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_becomes_free_within_the_patience_is_taken() {
        let slots = slots(1, 100);
        let first = slots.acquire(&id("a")).await.expect("free");
        let a = id("a");
        let second = slots.acquire(&a);
        let freed = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(first);
        };
        let (second, ()) = tokio::join!(second, freed);
        assert!(second.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn once_a_webhook_proved_slow_nobody_waits_for_it_in_the_worker() {
        let slots = slots(1, 100);
        let held = slots.acquire(&id("a")).await.expect("free");
        assert!(slots.acquire(&id("a")).await.is_err(), "the patience runs out");
        held.answered(Duration::from_secs(10));
        let began = Instant::now();
        assert!(slots.acquire(&id("a")).await.is_err());
        assert_eq!(began.elapsed(), Duration::ZERO, "told at once");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_are_put_off_get_turns_one_behind_the_other_at_the_webhooks_pace() {
        let slots = slots(2, 1);
        let (held, _also_held) =
            (slots.acquire(&id("a")).await.expect("free"), slots.acquire(&id("a")).await.expect("free"));
        for _ in 0..100 {
            held.answered(Duration::from_secs(4));
        }
        let mut turns = Vec::new();
        for _ in 0..1000 {
            turns.push(slots.acquire(&id("a")).await.expect_err("none is free").turn);
        }
        for (number, turn) in turns.iter().take(400).enumerate() {
            let expected = 2.0 * (number + 1) as f64;
            assert!((turn.as_secs_f64() - expected).abs() < 0.01 * expected + 0.01, "turn {number} after {turn:?}");
        }
        assert!(turns[999] <= PARK_WAIT_MAX + Duration::from_secs(2), "{:?}", turns[999]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waited_behind_many_does_not_take_the_whole_wait_for_one_answer() {
        let slots = slots(1, 100);
        let answer = Duration::from_millis(50);
        let first = slots.acquire(&id("a")).await.expect("free");
        let serve = async |slot: Slot| {
            tokio::time::sleep(answer).await;
            slot.answered(answer);
        };
        let each = (0..20).map(async |_| match slots.acquire(&id("a")).await {
            Ok(slot) => {
                serve(slot).await;
                None
            }
            Err(no_slot) => Some(no_slot.turn),
        });
        let (turns, ()) = tokio::join!(futures_util::future::join_all(each), serve(first));
        let turns: Vec<Duration> = turns.into_iter().flatten().collect();
        assert!(turns.len() >= 5, "more than half a second's worth of them came: {turns:?}");
        for (number, turn) in turns.iter().enumerate() {
            assert!(*turn <= answer * (u32::try_from(number).expect("few") + 2), "number {number}: {turn:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_held_to_their_share() {
        let slots = Arc::new(slots(1, 3));
        let _held = slots.acquire(&id("a")).await.expect("free");
        let began = Instant::now();
        let waits = futures_util::future::join_all((0..10).map(|_| async {
            slots.acquire(&id("a")).await.is_err().then(|| began.elapsed()).expect("nothing is free")
        }))
        .await;
        assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 7, "{waits:?}");
    }
}
