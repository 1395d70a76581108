//! What becomes of a delivery: the one decider (promise 4).
//!
//! ```text
//!              +--> skip            a fresh event's webhook is paused or deactivated
//!  taken ------+--> drop            the webhook was deleted, or the event's person forgotten
//!              +--> dead            unknown, deactivated, or older than max_age
//!              +--> later (park)    paused
//!              +--> attempt --+--> done            2xx
//!                    |        +--> dead            gone, refused, forbidden, invalid; schedule spent; too old
//!                    |        +--> later (retry)   the receiver failed
//!                    |        +--> later (park)    we failed: costs no attempt (promise 5)
//!                    +--> later (park)             no slot, no token of the rate limit, or left alone for a while
//! ```

use std::time::Duration;

use super::{
    PARK_WAIT_MAX, Verdict, left_alone_wait, park_wait, probe_wait, retry_wait, together, token_wait, turn_wait,
};
use crate::model::{DeathReason, Delivery, DropReason, LastFailure, Outcome, ParkReason, Timestamp};

/// How deliveries to one webhook are tried: the settings, or the webhook's own options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Waits between attempts; one attempt more than entries is made.
    pub schedule: Vec<Duration>,
    /// Age at which a delivery is given up.
    pub max_age: Duration,
    /// The longest wait that a `Retry-After` can ask for.
    pub retry_after_max: Duration,
}

/// How a delivery's webhook stands when it is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It wants events.
    Active,
    /// Its owner has stopped it for a while.
    Paused,
    /// We stopped it.
    Deactivated,
    /// It was deleted.
    Deleted,
    /// However it stands: the person whose event it is was forgotten.
    Forgotten,
    /// Nobody of that id was ever known.
    Unknown,
}

/// What happened to a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A worker takes it up.
    Taken {
        /// How its webhook stands.
        standing: Standing,
        /// Whether it is only now made from a fresh event.
        fresh: bool,
    },
    /// No slot of its webhook will be free within the patience.
    NoSlot {
        /// How long until its turn, behind those that were put off before it.
        turn: Duration,
    },
    /// Its webhook's rate limit lets it go no sooner than it is worth waiting.
    NoToken {
        /// How long until its turn, behind those that were put off before it.
        turn: Duration,
    },
    /// Its webhook, or its webhook's host, is left alone for a while.
    LeftAlone {
        /// Why.
        reason: ParkReason,
        /// For how long at least.
        wait: Duration,
        /// When it comes back.
        comeback: Comeback,
    },
    /// An attempt ended.
    Attempted(Verdict),
}

/// When a delivery to a webhook that is left alone comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comeback {
    /// As soon as that is over: this is the one that sees whether the receiver is well again.
    Probe,
    /// After this at least, behind the others that were put off.
    Turn(Duration),
}

/// Why a fresh event was not queued for a webhook that subscribes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Its owner has paused it.
    Paused,
    /// We deactivated it.
    Deactivated,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make an attempt.
    Attempt,
    /// It is delivered.
    Done,
    /// No delivery is made of this event for this webhook.
    Skip(SkipReason),
    /// It ends here, counted.
    Drop(DropReason),
    /// It waits until `due`.
    Later {
        /// The delivery as it then is.
        delivery: Delivery,
        /// When it is due.
        due: Timestamp,
        /// Why it waits.
        wait: Wait,
    },
    /// It is given up.
    Dead {
        /// The delivery as it then is.
        delivery: Delivery,
        /// Why.
        reason: DeathReason,
    },
}

/// Why a delivery waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// For its next attempt.
    Retry,
    /// Without having spent an attempt.
    Park(ParkReason),
}

/// Decides what becomes of `delivery` after `happening`, at `now`; `jitter` is in [0, 1).
pub fn next_step(delivery: &Delivery, happening: &Happening, policy: &Policy, now: Timestamp, jitter: f64) -> Step {
    match happening {
        Happening::Taken { standing, fresh } => taken(delivery, *standing, *fresh, policy, now, jitter),
        Happening::NoSlot { turn } => {
            put_off(delivery, ParkReason::NoSlot, turn_wait(*turn, delivery.parks, jitter), policy, now)
        }
        Happening::NoToken { turn } => put_off(delivery, ParkReason::RateLimit, token_wait(*turn, jitter), policy, now),
        Happening::LeftAlone { reason, wait, comeback } => {
            let due = match comeback {
                Comeback::Probe => now.plus(probe_wait(*wait)),
                Comeback::Turn(turn) => together(now.plus(left_alone_wait(*wait, *turn, delivery.parks, jitter)))
                    .min(now.plus(PARK_WAIT_MAX)),
            };
            put_off_until(delivery, *reason, due, policy, now)
        }
        Happening::Attempted(verdict) => attempted(delivery, verdict, policy, now, jitter),
    }
}

fn taken(delivery: &Delivery, standing: Standing, fresh: bool, policy: &Policy, now: Timestamp, jitter: f64) -> Step {
    let dead = |reason| Step::Dead { delivery: delivery.clone(), reason };
    match standing {
        Standing::Deleted => Step::Drop(DropReason::WebhookDeleted),
        Standing::Forgotten => Step::Drop(DropReason::UserForgotten),
        Standing::Unknown => dead(DeathReason::UnknownWebhook),
        Standing::Paused if fresh => Step::Skip(SkipReason::Paused),
        Standing::Deactivated if fresh => Step::Skip(SkipReason::Deactivated),
        Standing::Deactivated => dead(DeathReason::Deactivated),
        Standing::Paused | Standing::Active if now >= expiry(delivery, policy) => dead(DeathReason::Expired),
        Standing::Paused => park(delivery, ParkReason::Paused, policy, now, jitter),
        Standing::Active => Step::Attempt,
    }
}

fn attempted(delivery: &Delivery, verdict: &Verdict, policy: &Policy, now: Timestamp, jitter: f64) -> Step {
    let spent = || Delivery {
        attempts: delivery.attempts.saturating_add(1),
        parks: 0,
        last: Some(LastFailure::new(verdict.outcome, verdict.status, &verdict.words)),
        ..delivery.clone()
    };
    let dead = |reason| Step::Dead { delivery: spent(), reason };
    match verdict.outcome {
        Outcome::Delivered => Step::Done,
        Outcome::Gone => dead(DeathReason::Gone),
        Outcome::Refused => dead(DeathReason::Refused),
        Outcome::Forbidden => dead(DeathReason::Forbidden),
        Outcome::Invalid => dead(DeathReason::Invalid),
        Outcome::OurFault => park(delivery, ParkReason::OurFault, policy, now, jitter),
        Outcome::RateLimited
        | Outcome::ServerError
        | Outcome::Timeout
        | Outcome::Dns
        | Outcome::Tls
        | Outcome::Connection => retry(spent(), verdict, policy, now, jitter),
    }
}

fn retry(delivery: Delivery, verdict: &Verdict, policy: &Policy, now: Timestamp, jitter: f64) -> Step {
    let wait = retry_wait(&policy.schedule, delivery.attempts, jitter, verdict.retry_after, policy.retry_after_max);
    let Some(wait) = wait else {
        return Step::Dead { delivery, reason: DeathReason::Exhausted };
    };
    let due = now.plus(wait);
    // Given up now rather than kept waiting for an attempt that would find it too old.
    if due >= expiry(&delivery, policy) {
        return Step::Dead { delivery, reason: DeathReason::Expired };
    }
    Step::Later { delivery, due, wait: Wait::Retry }
}

/// What becomes of `step` when its webhook is left alone, and `turn` after `now` is its turn: a retry is not made before it, but no
/// later than when it is given up for its age.
pub fn behind(step: Step, turn: Duration, policy: &Policy, now: Timestamp) -> Step {
    match step {
        Step::Later { delivery, due, wait: Wait::Retry } => {
            let turn = together(now.plus(turn)).min(expiry(&delivery, policy));
            Step::Later { delivery, due: due.max(turn), wait: Wait::Retry }
        }
        step => step,
    }
}

fn park(delivery: &Delivery, reason: ParkReason, policy: &Policy, now: Timestamp, jitter: f64) -> Step {
    put_off(delivery, reason, park_wait(delivery.parks, jitter), policy, now)
}

/// Parks for `wait`, but not past the age at which the delivery is given up.
fn put_off(delivery: &Delivery, reason: ParkReason, wait: Duration, policy: &Policy, now: Timestamp) -> Step {
    put_off_until(delivery, reason, now.plus(wait), policy, now)
}

fn put_off_until(delivery: &Delivery, reason: ParkReason, due: Timestamp, policy: &Policy, now: Timestamp) -> Step {
    // Due at its expiry at the latest, and never at once: a park that waits for nothing would come back without end.
    let due = due.min(expiry(delivery, policy));
    if due <= now {
        return Step::Dead { delivery: delivery.clone(), reason: DeathReason::Expired };
    }
    let delivery = Delivery { parks: delivery.parks.saturating_add(1), ..delivery.clone() };
    Step::Later { delivery, due, wait: Wait::Park(reason) }
}

fn expiry(delivery: &Delivery, policy: &Policy) -> Timestamp {
    delivery.since.plus(policy.max_age)
}

#[cfg(test)]
mod tests;
