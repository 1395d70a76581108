//! Turns to ask Misskey: so many at a time, and of one peer no more than half of them, so that strangers who try tokens at a
//! slow Misskey leave room for everybody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::model::Peer;

/// Calls to Misskey under way at a time, so that a crowd here is none there.
const ASKED_AT_ONCE_MAX: usize = 16;
/// Of these, for one peer.
const ASKED_FOR_PEER_MAX: usize = ASKED_AT_ONCE_MAX / 2;
/// Peers after which those with nothing under way are looked for and forgotten: as many as there are connections.
const PEERS_KEPT: usize = 1024;

/// Who may ask now.
#[derive(Debug)]
pub(super) struct Turns {
    all: Semaphore,
    /// Those of whom something waits or is under way, and some of whom nothing is any more.
    peers: Mutex<HashMap<Peer, Weak<Semaphore>>>,
}

/// A turn; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _of_all: SemaphorePermit<'a>,
    _of_peer: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { all: Semaphore::new(ASKED_AT_ONCE_MAX), peers: Mutex::default() }
    }

    /// Waits for a turn; none only at the end of the process.
    pub(super) async fn turn(&self, peer: Peer) -> Option<Turn<'_>> {
        // First the peer's own: who waits for that takes nothing of what others wait for.
        let of_peer = self.of(peer).acquire_owned().await.ok()?;
        let of_all = self.all.acquire().await.ok()?;
        Some(Turn { _of_all: of_all, _of_peer: of_peer })
    }

    fn of(&self, peer: Peer) -> Arc<Semaphore> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = peers.get(&peer).and_then(Weak::upgrade) {
            return known;
        }
        if peers.len() >= PEERS_KEPT {
            peers.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = Arc::new(Semaphore::new(ASKED_FOR_PEER_MAX));
        peers.insert(peer, Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(number: u32) -> Peer {
        Peer::of(Ipv4Addr::from_bits(number).into())
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_has_half_of_the_turns_and_gets_the_next_when_one_of_its_own_ends() {
        let turns = Turns::new();
        let mut held = Vec::new();
        for _ in 0..ASKED_FOR_PEER_MAX {
            held.push(turns.turn(peer(1)).await.expect("a turn"));
        }
        let soon = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, turns.turn(peer(1))).await.is_err(), "its ninth waits");
        let others = tokio::time::timeout(soon, turns.turn(peer(2))).await;
        assert!(others.is_ok(), "another's first does not");
        held.pop();
        assert!(tokio::time::timeout(soon, turns.turn(peer(1))).await.is_ok());
    }

    #[tokio::test]
    async fn peers_with_nothing_under_way_are_forgotten() {
        let turns = Turns::new();
        for number in 0..100_000 {
            turns.turn(peer(number)).await.expect("a turn");
        }
        let kept = turns.peers.lock().expect("whole").len();
        assert!(kept <= PEERS_KEPT, "{kept}");
    }
}
