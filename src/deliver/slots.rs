//! Slots: how many requests one webhook may have in flight, so that a slow one delays only itself (promise 6).
//!
//! A delivery without a slot waits here only while its turn is expected within a short patience, judged by the webhook's
//! slots and its recent answer times, and while the webhook's waiters hold no more than their fair share of the prefetch.
//! Otherwise it is told so at once, and is parked in the queue, where it holds nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

    /// A slot of `id`, at once or within the patience; nothing when its turn would come later.
    pub(super) async fn acquire(&self, id: &WebhookId) -> Option<Slot> {
        let webhook = self.of(id);
        if let Ok(permit) = Arc::clone(&webhook.free).try_acquire_owned() {
            return Some(Slot { webhook, _permit: permit });
        }
        let waiting = Waiting::begin(self, &webhook)?;
        let turn = tokio::time::timeout(self.policy.patience, Arc::clone(&webhook.free).acquire_owned()).await;
        drop(waiting);
        match turn {
            Ok(Ok(permit)) => Some(Slot { webhook, _permit: permit }),
            _ => {
                // It is slower than it was taken to be; those who come next need not find that out by waiting.
                webhook.learn_at_least(self.policy.patience);
                None
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
        });
        webhooks.insert(id.clone(), Arc::clone(&webhook));
        webhook
    }

    /// Whether one more waiter of `webhook` is worth its place.
    fn worth_waiting(&self, webhook: &WebhookSlots) -> bool {
        let waiters = webhook.waiters.load(Ordering::Relaxed);
        let crowded = self.crowded.load(Ordering::Relaxed).max(1);
        if waiters >= (self.policy.waiters_max / crowded).max(1) {
            return false;
        }
        let turns = (waiters as u64 + 1).div_ceil(self.policy.per_webhook as u64);
        turns.saturating_mul(webhook.answer_us.load(Ordering::Relaxed)) <= as_us(self.policy.patience)
    }
}

impl WebhookSlots {
    fn learn(&self, took: Duration) {
        let mean = self.answer_us.load(Ordering::Relaxed);
        self.answer_us.store(mean - mean / MEAN_SHARE + as_us(took) / MEAN_SHARE, Ordering::Relaxed);
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
}

impl<'a> Waiting<'a> {
    fn begin(slots: &'a Slots, webhook: &'a WebhookSlots) -> Option<Self> {
        if !slots.worth_waiting(webhook) {
            return None;
        }
        if webhook.waiters.fetch_add(1, Ordering::Relaxed) == 0 {
            slots.crowded.fetch_add(1, Ordering::Relaxed);
        }
        Some(Self { slots, webhook })
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
        assert!(slots.acquire(&id("a")).await.is_none(), "a third would be more than two");
        assert!(slots.acquire(&id("b")).await.is_some());
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
        assert!(second.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn once_a_webhook_proved_slow_nobody_waits_for_it_in_the_worker() {
        let slots = slots(1, 100);
        let held = slots.acquire(&id("a")).await.expect("free");
        assert!(slots.acquire(&id("a")).await.is_none(), "the patience runs out");
        held.answered(Duration::from_secs(10));
        let began = tokio::time::Instant::now();
        assert!(slots.acquire(&id("a")).await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO, "told at once");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_held_to_their_share() {
        let slots = Arc::new(slots(1, 3));
        let _held = slots.acquire(&id("a")).await.expect("free");
        let began = tokio::time::Instant::now();
        let waits = futures_util::future::join_all((0..10).map(|_| async {
            slots.acquire(&id("a")).await;
            began.elapsed()
        }))
        .await;
        assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 7, "{waits:?}");
    }
}
