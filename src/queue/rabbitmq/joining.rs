//! What this worker holds of a lane, and has lately settled: so that a copy joins what it is a copy of.
//!
//! When a connection breaks, RabbitMQ hands out again what it has no acknowledgement of. Some of that is still being sent
//! here, and some is done, its acknowledgement lost. A copy of what is held is noted on it (both are acknowledged when it
//! is settled); a copy of what was settled is acknowledged at once; neither is handed out again.
//!
//! A follow-up has a name of its own, so any second one is a copy. A fresh event has its source, its user and its id, which
//! a producer may use twice, so only what RabbitMQ calls redelivered, and what came before on another channel, is taken for
//! a copy. An acknowledgement can be lost again and again: each copy that comes is the last place of one that was settled.
//!
//! Bounded: what is held by the prefetch, what was settled by [`SETTLED_MAX`].

use std::collections::{HashMap, VecDeque};

use super::reading::Identity;

/// Settled messages remembered per lane: four times what can be unacknowledged on a channel.
const SETTLED_MAX: usize = 8192;
/// Settled messages of one event that are remembered: a producer that publishes it more often gets repeats.
const SETTLED_OF_ONE_MAX: usize = 64;

/// A message's place on a channel.
pub(super) trait Place {
    /// Which channel, counted over the process's life.
    fn epoch(&self) -> u64;
    /// Whether it can still be answered.
    fn is_live(&self) -> bool;
}

/// What a message that came in is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival<P> {
    /// New: it is now held under this number.
    New(i64),
    /// A copy of what is held.
    Joined,
    /// A copy of what was settled: to be acknowledged here.
    Done(P),
}

/// The table.
#[derive(Debug)]
pub(super) struct Table<P> {
    held: HashMap<i64, Held<P>>,
    by_identity: HashMap<Identity, Vec<i64>>,
    settled: HashMap<Identity, Settled>,
    oldest_settled: VecDeque<Identity>,
    next: i64,
}

#[derive(Debug)]
struct Held<P> {
    identity: Option<Identity>,
    places: Vec<P>,
    /// The name of its follow-ups, once it has any: the same however often they are published.
    copy: Option<String>,
    are_follow_ups_confirmed: bool,
    /// Whether it is in someone's hands; not while it waits for room.
    is_out: bool,
}

/// Where each settled message of one identity was last seen: its epoch. Seldom more than one, which needs no memory.
#[derive(Debug)]
struct Settled {
    first: u64,
    others: Vec<u64>,
}

impl Settled {
    fn add(&mut self, epoch: u64) {
        if self.others.len() + 1 < SETTLED_OF_ONE_MAX {
            self.others.push(epoch);
        }
    }

    /// Moves one that was last seen elsewhere to `epoch`; whether there was one.
    fn see_again(&mut self, epoch: u64) -> bool {
        let elsewhere = std::iter::once(&mut self.first).chain(&mut self.others).find(|seen| **seen != epoch);
        elsewhere.map(|seen| *seen = epoch).is_some()
    }
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self {
            held: HashMap::new(),
            by_identity: HashMap::new(),
            settled: HashMap::new(),
            oldest_settled: VecDeque::new(),
            next: 0,
        }
    }
}

impl<P: Place> Table<P> {
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// How many messages are held that RabbitMQ counts as taken: of the others it has lost sight, and counts them as waiting.
    pub(super) fn taken(&self) -> usize {
        self.held.values().filter(|held| held.places.iter().any(Place::is_live)).count()
    }

    /// Whether a message of that identity is held, or was settled lately.
    pub(super) fn knows(&self, identity: &Identity) -> bool {
        self.by_identity.contains_key(identity) || self.settled.contains_key(identity)
    }

    /// Notes a message that came in.
    pub(super) fn arrive(&mut self, identity: Option<Identity>, redelivered: bool, place: P) -> Arrival<P> {
        if let Some(identity) = &identity {
            if let Some(number) = self.find_held(identity, redelivered) {
                if let Some(held) = self.held.get_mut(&number) {
                    held.places.retain(Place::is_live);
                    held.places.push(place);
                }
                return Arrival::Joined;
            }
            if self.was_settled(identity, redelivered, &place) {
                return Arrival::Done(place);
            }
        }
        self.next += 1;
        let number = self.next;
        if let Some(identity) = &identity {
            self.by_identity.entry(identity.clone()).or_default().push(number);
        }
        let held = Held { identity, places: vec![place], copy: None, are_follow_ups_confirmed: false, is_out: false };
        self.held.insert(number, held);
        Arrival::New(number)
    }

    fn find_held(&self, identity: &Identity, redelivered: bool) -> Option<i64> {
        let numbers = self.by_identity.get(identity)?;
        match identity {
            Identity::Copy(_) => numbers.first().copied(),
            Identity::Event(..) if !redelivered => None,
            Identity::Event(..) => numbers
                .iter()
                .copied()
                .find(|number| self.held.get(number).is_some_and(|held| !held.places.iter().any(Place::is_live))),
        }
    }

    fn was_settled(&mut self, identity: &Identity, redelivered: bool, place: &P) -> bool {
        let Some(settled) = self.settled.get_mut(identity) else { return false };
        match identity {
            Identity::Copy(_) => true,
            Identity::Event(..) => redelivered && settled.see_again(place.epoch()),
        }
    }

    /// The name for the follow-ups of `number`; nothing when they are confirmed already.
    pub(super) fn name_follow_ups(&mut self, number: i64, name: impl FnOnce() -> String) -> Option<String> {
        let held = self.held.get_mut(&number)?;
        (!held.are_follow_ups_confirmed).then(|| held.copy.get_or_insert_with(name).clone())
    }

    /// The follow-ups of `number` are confirmed: they need not be published again.
    pub(super) fn follow_ups_confirmed(&mut self, number: i64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.are_follow_ups_confirmed = true;
        }
    }

    /// `number` is settled: where it is to be acknowledged.
    pub(super) fn settle(&mut self, number: i64) -> Vec<P> {
        let Some(held) = self.remove(number) else { return Vec::new() };
        if let Some(identity) = held.identity {
            let epoch = held.places.iter().map(Place::epoch).max().unwrap_or(0);
            self.remember(identity, epoch);
        }
        held.places
    }

    /// `number` is in someone's hands from now on.
    pub(super) fn hand_out(&mut self, number: i64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.is_out = true;
        }
    }

    /// `number` is given back: where that is to be said, and whether it had been handed out.
    pub(super) fn give_back(&mut self, number: i64) -> (Vec<P>, bool) {
        self.remove(number).map(|held| (held.places, held.is_out)).unwrap_or_default()
    }

    fn remove(&mut self, number: i64) -> Option<Held<P>> {
        let held = self.held.remove(&number)?;
        if let Some(identity) = &held.identity
            && let Some(numbers) = self.by_identity.get_mut(identity)
        {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_identity.remove(identity);
            }
        }
        Some(held)
    }

    fn remember(&mut self, identity: Identity, epoch: u64) {
        if let Some(settled) = self.settled.get_mut(&identity) {
            settled.add(epoch);
            return;
        }
        if self.oldest_settled.len() >= SETTLED_MAX
            && let Some(oldest) = self.oldest_settled.pop_front()
        {
            self.settled.remove(&oldest);
        }
        self.oldest_settled.push_back(identity.clone());
        self.settled.insert(identity, Settled { first: epoch, others: Vec::new() });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::model::{EventId, Source, UserId};

    #[derive(Clone, Debug)]
    struct Spot(u64, u64, Rc<Cell<u64>>);

    impl PartialEq for Spot {
        fn eq(&self, other: &Self) -> bool {
            (self.0, self.1) == (other.0, other.1)
        }
    }

    impl Place for Spot {
        fn epoch(&self) -> u64 {
            self.0
        }

        fn is_live(&self) -> bool {
            self.0 == self.2.get()
        }
    }

    /// A table on a channel that can be replaced by the next.
    struct World(Table<Spot>, Rc<Cell<u64>>);

    impl World {
        fn new() -> Self {
            Self(Table::default(), Rc::new(Cell::new(1)))
        }

        fn reconnect(&self) {
            self.1.set(self.1.get() + 1);
        }

        fn arrive(&mut self, identity: Identity, redelivered: bool, tag: u64) -> Arrival<Spot> {
            let spot = Spot(self.1.get(), tag, Rc::clone(&self.1));
            self.0.arrive(Some(identity), redelivered, spot)
        }
    }

    fn event() -> Identity {
        event_from("s")
    }

    fn event_from(source: &str) -> Identity {
        Identity::Event(Source::new(source).expect("valid"), None, EventId::new("e").expect("valid"))
    }

    fn event_of(user: &str) -> Identity {
        let user = UserId::new(user).expect("valid");
        Identity::Event(Source::default(), Some(user), EventId::new("e").expect("valid"))
    }

    fn copy() -> Identity {
        Identity::Copy("c".to_owned())
    }

    #[test]
    fn a_copy_of_what_is_still_sent_joins_it_and_is_acknowledged_with_it() {
        let mut world = World::new();
        assert_eq!(world.arrive(event(), false, 1), Arrival::New(1));
        world.reconnect();
        assert_eq!(world.arrive(event(), true, 7), Arrival::Joined);
        let places = world.0.settle(1);
        assert_eq!(places.iter().map(|spot| (spot.0, spot.1)).collect::<Vec<_>>(), [(2, 7)]);
    }

    #[test]
    fn a_copy_of_what_was_settled_is_done_once_for_each() {
        let mut world = World::new();
        world.arrive(event(), false, 1);
        world.0.settle(1);
        world.reconnect();
        assert!(matches!(world.arrive(event(), true, 1), Arrival::Done(_)));
        assert_eq!(world.arrive(event(), true, 2), Arrival::New(2), "it was settled only once");
    }

    #[test]
    fn a_copy_whose_acknowledgement_is_lost_too_is_done_again() {
        let mut world = World::new();
        world.arrive(event(), false, 1);
        world.arrive(event(), false, 2);
        world.0.settle(1);
        world.0.settle(2);
        for _ in 0..3 {
            world.reconnect();
            assert!(matches!(world.arrive(event(), true, 1), Arrival::Done(_)));
            assert!(matches!(world.arrive(event(), true, 2), Arrival::Done(_)));
        }
        assert!(matches!(world.arrive(event(), true, 3), Arrival::New(_)), "only two were settled");
    }

    #[test]
    fn events_of_two_sources_with_one_id_are_two() {
        let mut world = World::new();
        world.arrive(event_from("a"), false, 1);
        world.0.settle(1);
        world.reconnect();
        assert_eq!(world.arrive(event_from("b"), true, 1), Arrival::New(2));
    }

    #[test]
    fn what_another_user_sent_under_the_same_id_makes_no_copy_of_an_event() {
        let mut world = World::new();
        world.arrive(event_of("mallory"), false, 1);
        world.reconnect();
        assert_eq!(world.arrive(event_of("alice"), true, 1), Arrival::New(2));
    }

    #[test]
    fn an_event_that_was_published_twice_is_no_copy() {
        let mut world = World::new();
        assert_eq!(world.arrive(event(), false, 1), Arrival::New(1));
        assert_eq!(world.arrive(event(), false, 2), Arrival::New(2));
        world.0.settle(1);
        world.0.give_back(2);
        assert_eq!(
            world.arrive(event(), true, 3),
            Arrival::New(3),
            "it comes back on the channel it was given back on"
        );
        world.reconnect();
        assert_eq!(world.arrive(event(), false, 1), Arrival::New(4), "a new publish, however old its id");
    }

    #[test]
    fn each_of_two_leases_of_one_event_is_joined_by_one_copy() {
        let mut world = World::new();
        world.arrive(event(), false, 1);
        world.arrive(event(), false, 2);
        world.reconnect();
        assert_eq!(world.arrive(event(), true, 1), Arrival::Joined);
        assert_eq!(world.arrive(event(), true, 2), Arrival::Joined);
        assert_eq!((world.0.settle(1).len(), world.0.settle(2).len()), (1, 1));
    }

    #[test]
    fn a_second_copy_of_a_follow_up_is_known_on_any_channel_redelivered_or_not() {
        let mut world = World::new();
        assert_eq!(world.arrive(copy(), false, 1), Arrival::New(1));
        assert_eq!(world.arrive(copy(), false, 2), Arrival::Joined);
        assert_eq!(world.0.settle(1).len(), 2);
        assert!(matches!(world.arrive(copy(), false, 3), Arrival::Done(_)));
        assert!(matches!(world.arrive(copy(), true, 4), Arrival::Done(_)));
    }

    #[test]
    fn what_has_gone_back_with_its_channel_counts_as_taken_again_when_its_copy_comes() {
        let mut world = World::new();
        world.arrive(event(), false, 1);
        world.arrive(copy(), false, 2);
        assert_eq!(world.0.taken(), 2);
        world.reconnect();
        assert_eq!(world.0.taken(), 0);
        world.arrive(event(), true, 1);
        assert_eq!(world.0.taken(), 1);
    }

    #[test]
    fn what_was_given_back_is_handed_out_again() {
        let mut world = World::new();
        world.arrive(copy(), false, 1);
        world.0.give_back(1);
        assert_eq!(world.arrive(copy(), true, 2), Arrival::New(2));
    }

    #[test]
    fn follow_ups_keep_their_name_until_they_are_confirmed() {
        let mut world = World::new();
        world.arrive(event(), false, 1);
        let name = world.0.name_follow_ups(1, || "a".to_owned());
        assert_eq!(name.as_deref(), Some("a"));
        assert_eq!(world.0.name_follow_ups(1, || "b".to_owned()).as_deref(), Some("a"));
        world.0.follow_ups_confirmed(1);
        assert_eq!(world.0.name_follow_ups(1, || "c".to_owned()), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut world = World::new();
        for n in 0..SETTLED_MAX + 100 {
            let Arrival::New(number) = world.arrive(Identity::Copy(n.to_string()), false, n as u64) else {
                panic!("each is new");
            };
            world.0.settle(number);
        }
        assert_eq!(world.0.settled.len(), SETTLED_MAX);
        assert_eq!(world.0.oldest_settled.len(), SETTLED_MAX);
        assert_eq!((world.0.held.len(), world.0.by_identity.len()), (0, 0));
    }
}
