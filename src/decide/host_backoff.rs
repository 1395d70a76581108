//! When a host that many webhooks share is left alone: only when it gives no HTTP answer at all, to several of them.
//!
//! One user's bad webhook must not stop everyone's at the same host. So what counts is a request that got no answer, not
//! even a refusal; a host is left alone only after several webhooks had such failures in a row; one answer to anyone ends it;
//! and a webhook that has not failed itself is not held up by it.

use std::time::Duration;

use super::breaker::{Breaker, BreakerState, Change, Ending, Leave, Shut};
use crate::model::WebhookId;

/// Webhooks that must have part in them.
const WEBHOOKS_MIN: usize = 3;

/// One host's.
#[derive(Clone, Debug)]
pub struct HostBackoff {
    breaker: Breaker,
    /// Some of those that had no answer since anyone had one.
    failing: Vec<WebhookId>,
}

/// What a request to a host came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Someone answered by HTTP, whatever it was.
    Yes,
    /// Nobody did.
    No,
    /// It was not tried.
    NotTried,
}

impl HostBackoff {
    /// One that lets requests through, until `failures_max` in a row got no answer; whatever happens when that is 0.
    pub fn closed(failures_max: u32) -> Self {
        Self { breaker: Breaker::closed(failures_max), failing: Vec::new() }
    }

    /// Whether requests are let through.
    pub fn is_closed(&self) -> bool {
        self.breaker.state() == BreakerState::Closed
    }

    /// Whether a webhook that has failed itself would get no leave now.
    pub fn shut(&self, now: Duration) -> Option<Shut> {
        self.breaker.shut(now)
    }

    /// Leave for a request that is made now; nothing for a webhook that `is_well` and need not ask.
    ///
    /// # Errors
    /// When there is none now.
    pub fn leave(&mut self, is_well: bool, now: Duration) -> Result<Option<Leave>, Shut> {
        match self.breaker.leave(now) {
            Ok(leave) => Ok(Some(leave)),
            Err(_) if is_well => Ok(None),
            Err(shut) => Err(shut),
        }
    }

    /// A request of `webhook` that got `leave` has ended; `jitter` is in [0, 1).
    pub fn ended(
        &mut self,
        leave: Option<Leave>,
        webhook: &WebhookId,
        reached: Reached,
        now: Duration,
        jitter: f64,
    ) -> Change {
        match reached {
            Reached::Yes => {
                self.failing.clear();
                let was_closed = self.is_closed();
                self.breaker.reset();
                if was_closed { Change::None } else { Change::Closed }
            }
            Reached::No => {
                if self.failing.len() < WEBHOOKS_MIN && !self.failing.contains(webhook) {
                    self.failing.push(webhook.clone());
                }
                match leave {
                    Some(leave) if self.failing.len() >= WEBHOOKS_MIN => {
                        self.breaker.ended(leave, Ending::Failed { hold: None }, now, jitter)
                    }
                    // Too few of them to speak for the host.
                    Some(leave) => self.breaker.ended(leave, Ending::Nothing, now, jitter),
                    None => Change::None,
                }
            }
            Reached::NotTried => match leave {
                Some(leave) => self.breaker.ended(leave, Ending::Nothing, now, jitter),
                None => Change::None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> WebhookId {
        WebhookId::new(&format!("wh{number}")).expect("valid")
    }

    fn attempt(host: &mut HostBackoff, webhook: usize, reached: Reached, now: Duration) -> Change {
        let leave = host.leave(false, now).expect("leave");
        host.ended(leave, &id(webhook), reached, now, 0.0)
    }

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn one_bad_webhook_or_two_never_stop_the_others_of_their_host() {
        let mut host = HostBackoff::closed(10);
        for number in 0..1000 {
            assert_eq!(attempt(&mut host, number % 2, Reached::No, NOW), Change::None);
        }
        assert!(host.is_closed());
    }

    #[test]
    fn a_host_that_answers_none_of_several_is_left_alone_until_it_answers_one() {
        let mut host = HostBackoff::closed(10);
        let changes: Vec<Change> = (0..12).map(|number| attempt(&mut host, number, Reached::No, NOW)).collect();
        let opened = changes.iter().position(|change| *change != Change::None);
        assert_eq!(opened, Some(11), "two that were too few, and ten: {changes:?}");
        assert_eq!(host.failing.len(), 3, "no more are remembered than are asked for");
        assert!(host.shut(NOW).is_some());
        let later = NOW + Duration::from_secs(5);
        assert_eq!(attempt(&mut host, 3, Reached::Yes, later), Change::Closed);
        assert!(host.is_closed());
    }

    #[test]
    fn after_an_answer_it_takes_several_webhooks_again() {
        let mut host = HostBackoff::closed(10);
        for number in 0..12 {
            attempt(&mut host, number, Reached::No, NOW);
        }
        let leave = host.leave(true, NOW).expect("it is well");
        host.ended(leave, &id(99), Reached::Yes, NOW, 0.0);
        for number in 0..100 {
            assert_eq!(attempt(&mut host, number % 2, Reached::No, NOW), Change::None);
        }
    }

    #[test]
    fn an_answer_to_anyone_between_them_ends_the_row() {
        let mut host = HostBackoff::closed(10);
        for number in 0..1000 {
            let reached = if number % 9 == 8 { Reached::Yes } else { Reached::No };
            assert_eq!(attempt(&mut host, number, reached, NOW), Change::None);
        }
    }

    #[test]
    fn one_that_has_not_failed_itself_is_let_through_and_its_answer_ends_it_for_all() {
        let mut host = HostBackoff::closed(10);
        for number in 0..12 {
            attempt(&mut host, number, Reached::No, NOW);
        }
        assert!(host.leave(false, NOW).is_err());
        let leave = host.leave(true, NOW).expect("it is well");
        assert_eq!(host.ended(leave, &id(99), Reached::Yes, NOW, 0.0), Change::Closed);
        assert!(host.leave(false, NOW).is_ok());
    }

    #[test]
    fn what_was_not_tried_says_nothing() {
        let mut host = HostBackoff::closed(10);
        for number in 0..100 {
            assert_eq!(attempt(&mut host, number, Reached::NotTried, NOW), Change::None);
        }
    }
}
