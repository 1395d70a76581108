//! Slows down whoever tries one wrong token after another.
//!
//! Each wrong token is a strike against the peer that it came from. A handful are answered at once; of more, each waits until
//! the peer's strikes are no more than one a second, though no longer than [`WAIT_MAX`]. Only a refusal waits, never a right
//! token, so nobody can be locked out by somebody else's strikes; and only [`WAITING_MAX`] refusals wait at a time, so
//! connections are not held without bound: further ones are told at once that it is too much.
//!
//! [`PEERS_MAX`] peers are known at a time. When so many have strikes to work off, all further ones count together: who has
//! that many addresses slows down nobody who has a right token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::error::ApiError;
use crate::clock::SharedClock;
use crate::model::{Peer, Timestamp};
use crate::telemetry::SharedTelemetry;

/// What a strike costs.
const STRIKE: Duration = Duration::from_secs(1);
/// Strikes that cost nothing: a person who has two clients with an old token, say.
const FREE: Duration = Duration::from_secs(10);
/// How long a refusal waits at most: shorter than what stopping waits for requests.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Refusals that wait at a time: few of the 1,024 connections.
const WAITING_MAX: usize = 32;

/// Peers whose strikes are counted apart: some 200 KiB.
const PEERS_MAX: usize = 4096;

/// Counts wrong tokens.
#[derive(Debug)]
pub(super) struct Strikes {
    clock: SharedClock,
    telemetry: SharedTelemetry,
    table: Mutex<Table>,
    waiting: Semaphore,
}

/// When all strikes so far are worked off.
#[derive(Debug, Default)]
struct Table {
    peers: HashMap<Peer, Timestamp>,
    /// Those for whom there was no room.
    others: Timestamp,
}

impl Table {
    fn of(&mut self, peer: Peer, now: Timestamp) -> &mut Timestamp {
        if !self.peers.contains_key(&peer) && self.peers.len() >= PEERS_MAX {
            self.peers.retain(|_, until| *until > now);
            if self.peers.len() >= PEERS_MAX {
                return &mut self.others;
            }
        }
        self.peers.entry(peer).or_default()
    }
}

impl Strikes {
    pub(super) fn new(clock: SharedClock, telemetry: SharedTelemetry) -> Self {
        Self { clock, telemetry, table: Mutex::default(), waiting: Semaphore::new(WAITING_MAX) }
    }

    /// Notes a wrong token from `peer`, and tells what to answer when it is time to.
    pub(super) async fn strike(&self, peer: Peer) -> ApiError {
        self.telemetry.token_refused("/api");
        let now = self.clock.now();
        let wait = self.wait(peer, now);
        if wait.is_zero() {
            return ApiError::authentication_failed();
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return ApiError::rate_limit(WAIT_MAX.as_secs(), "too many wrong tokens");
        };
        self.clock.sleep_until(now.plus(wait)).await;
        ApiError::authentication_failed()
    }

    fn wait(&self, peer: Peer, now: Timestamp) -> Duration {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let until = table.of(peer, now);
        // Bounded, so that a flood is forgotten soon after it has ended; and a clock that was set back heals.
        let struck = (*until).max(now).min(now.plus(FREE + WAIT_MAX)).plus(STRIKE);
        *until = struck;
        struck.since(now).saturating_sub(FREE).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::telemetry::Telemetry;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn peer(number: u32) -> Peer {
        Peer::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    fn strikes() -> Strikes {
        Strikes::new(SystemClock::shared(), Telemetry::shared().expect("telemetry"))
    }

    #[test]
    fn a_handful_of_wrong_tokens_is_answered_at_once_and_further_ones_later_and_later_up_to_a_limit() {
        let strikes = strikes();
        let waits: Vec<u64> = (0..20).map(|_| strikes.wait(peer(1), NOW).as_secs()).collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [1, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn one_peers_strikes_slow_down_no_other_peer() {
        let strikes = strikes();
        for _ in 0..100 {
            strikes.wait(peer(1), NOW);
        }
        assert_eq!((strikes.wait(peer(1), NOW), strikes.wait(peer(2), NOW)), (WAIT_MAX, Duration::ZERO));
    }

    #[test]
    fn a_crowd_of_peers_is_counted_together_beyond_a_number_and_forgotten_when_it_is_over() {
        let strikes = strikes();
        let max = u32::try_from(PEERS_MAX).expect("small");
        for number in 0..max + 100 {
            strikes.wait(peer(number), NOW);
        }
        assert_eq!(strikes.wait(peer(max + 100), NOW), WAIT_MAX, "there is no room to tell it apart");
        assert_eq!(strikes.wait(peer(0), NOW), Duration::ZERO, "those that are known still are");
        assert_eq!(strikes.table.lock().expect("whole").peers.len(), PEERS_MAX);
        let later = NOW.plus(FREE + WAIT_MAX + STRIKE);
        assert_eq!(strikes.wait(peer(max + 100), later), Duration::ZERO);
        assert_eq!(
            strikes.table.lock().expect("whole").peers.len(),
            1,
            "nothing is kept of those whose strikes are over"
        );
    }

    #[test]
    fn strikes_are_worked_off_however_many_they_were() {
        let strikes = strikes();
        for _ in 0..10_000 {
            strikes.wait(peer(1), NOW);
        }
        let later = NOW.plus(FREE + WAIT_MAX + STRIKE);
        assert_eq!(strikes.wait(peer(1), later), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_refusals_wait_and_the_rest_is_told_at_once() {
        let strikes = strikes();
        for _ in 0..100 {
            strikes.wait(peer(1), strikes.clock.now());
        }
        let held = strikes.waiting.try_acquire_many(u32::try_from(WAITING_MAX).expect("small")).expect("all");
        assert_eq!(strikes.strike(peer(1)).await, ApiError::rate_limit(WAIT_MAX.as_secs(), "too many wrong tokens"));
        assert_eq!(strikes.strike(peer(2)).await, ApiError::authentication_failed(), "another's first is answered");
        drop(held);
    }
}
