//! What became of each event, told by the worker as it settles, and the balance at the end.
//!
//! Each event has one webhook, so one delivery. The worker's word is checked against what others hold: the receivers, the
//! queue and the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::endpoints::Arrivals;
use crate::decide::{Step, Wait};
use crate::deliver::Observer;
use crate::model::{Delivery, Event, ParkReason};
use crate::queue::Depths;

/// What is known of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It lies in the queue as it was published, or is in hand.
    Untold,
    /// It waits to be tried again.
    Waiting,
    /// Its receiver has it.
    Delivered,
    /// It was given up.
    Dead,
}

/// Hears what becomes of each event.
#[derive(Debug)]
pub(super) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    fates: Vec<Fate>,
    /// Of each event.
    parks: Vec<u32>,
    counts: Counts,
}

/// What the worker did.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) attempts: u64,
    pub(super) parks: BTreeMap<ParkReason, u64>,
}

impl Ledger {
    /// For events 0 to `events`.
    pub(super) fn of(events: usize) -> Self {
        let entries = Entries { fates: vec![Fate::Untold; events], parks: vec![0; events], counts: Counts::default() };
        Self(Mutex::new(entries))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fates(&self) -> Vec<Fate> {
        self.entries().fates.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        self.entries().counts.clone()
    }

    /// How often each event was parked.
    pub(super) fn parks(&self) -> Vec<u32> {
        self.entries().parks.clone()
    }

    /// Whether each of the events for which `wanted` says so is delivered.
    pub(super) fn has_delivered(&self, wanted: impl Fn(usize) -> bool) -> bool {
        self.entries().fates.iter().enumerate().all(|(number, fate)| *fate == Fate::Delivered || !wanted(number))
    }
}

impl Observer for Ledger {
    fn settled(&self, event: &Event, before: &Delivery, step: &Step) {
        let number = event.id.as_str().strip_prefix(super::EVENT_ID).and_then(|number| number.parse::<usize>().ok());
        let mut entries = self.entries();
        let Some(number) = number.filter(|number| *number < entries.fates.len()) else { return };
        let (fate, attempted) = match step {
            Step::Done => (Fate::Delivered, true),
            Step::Later { wait: Wait::Retry, .. } => (Fate::Waiting, true),
            Step::Later { wait: Wait::Park(reason), .. } => {
                entries.parks[number] += 1;
                *entries.counts.parks.entry(*reason).or_default() += 1;
                (Fate::Waiting, false)
            }
            Step::Dead { delivery, .. } => (Fate::Dead, delivery.attempts > before.attempts),
            Step::Attempt | Step::Skip(_) | Step::Drop(_) => return,
        };
        entries.fates[number] = fate;
        entries.counts.attempts += u64::from(attempted);
    }
}

/// Where all that was published is. What is lost or came twice is told in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Balance {
    pub(super) published: u64,
    pub(super) delivered: u64,
    pub(super) waiting: u64,
    pub(super) dead: u64,
    pub(super) problems: Vec<String>,
}

/// What others hold once the worker has ended.
pub(super) struct Held<'a> {
    pub(super) arrivals: &'a Arrivals,
    /// Whether the event of that number has a receiver that answers at once: to it, nothing is sent twice. A slow one may
    /// answer when the deadline has passed.
    pub(super) is_prompt: &'a dyn Fn(usize) -> bool,
    pub(super) depths: Depths,
    /// Dead letters in the store.
    pub(super) letters: u64,
}

impl Balance {
    /// Compares, event by event, what the worker told with what its receiver got, and both with what queue and store hold.
    pub(super) fn of(fates: &[Fate], held: &Held<'_>) -> Self {
        let count = |wanted: &[Fate]| fates.iter().filter(|fate| wanted.contains(fate)).count() as u64;
        let mut balance = Self {
            published: fates.len() as u64,
            delivered: count(&[Fate::Delivered]),
            waiting: count(&[Fate::Untold, Fate::Waiting]),
            dead: count(&[Fate::Dead]),
            problems: Vec::new(),
        };
        let (mut unseen, mut repeated) = (0_u64, 0_u64);
        for (number, fate) in fates.iter().enumerate() {
            let times = held.arrivals.times(number);
            unseen += u64::from(*fate == Fate::Delivered && times == 0);
            let is_repeated = times > 1 || (times == 1 && *fate != Fate::Delivered);
            repeated += u64::from(is_repeated && (held.is_prompt)(number));
        }
        let Depths { work, delay, dead, rejected, .. } = held.depths;
        let mut check = |is_so: bool, words: String| {
            if !is_so {
                balance.problems.push(words);
            }
        };
        check(unseen == 0, format!("{unseen} events are told delivered, and no receiver has answered them"));
        check(repeated == 0, format!("{repeated} events were answered by their receiver more than once, or will be"));
        let (in_queue, waiting) = (work + delay, balance.waiting);
        check(in_queue == waiting, format!("the queue holds {in_queue} deliveries, and should hold {waiting}"));
        let (letters, given_up) = (held.letters + dead, balance.dead);
        check(letters == given_up, format!("there are {letters} dead letters, and should be {given_up}"));
        check(rejected == 0, format!("{rejected} messages were rejected"));
        balance
    }

    pub(super) fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn words(&self) -> String {
        let Self { published, delivered, waiting, dead, problems } = self;
        let verdict = if problems.is_empty() {
            "each event is in one place".to_owned()
        } else {
            format!("WRONG: {}", problems.join("; "))
        };
        format!("{published} published = {delivered} delivered + {waiting} waiting + {dead} dead; {verdict}")
    }

    pub(super) fn json(&self) -> Value {
        let Self { published, delivered, waiting, dead, problems } = self;
        json!({"published": published, "delivered": delivered, "waiting": waiting, "dead": dead, "problems": problems})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(fates: &[Fate], came: &[u32], depths: Depths, letters: u64) -> Balance {
        let arrivals = Arrivals::of(fates.len());
        for (number, times) in came.iter().enumerate() {
            (0..*times).for_each(|_| arrivals.note(number));
        }
        Balance::of(fates, &Held { arrivals: &arrivals, is_prompt: &|number| number < 3, depths, letters })
    }

    #[test]
    fn what_is_where_it_is_told_to_be_balances() {
        let fates = [Fate::Delivered, Fate::Waiting, Fate::Untold, Fate::Dead];
        let found = balance(&fates, &[1, 0, 0, 0], Depths { work: 1, delay: 1, ..Depths::default() }, 1);
        assert_eq!(found.problems, Vec::<String>::new());
        assert_eq!((found.published, found.delivered, found.waiting, found.dead), (4, 1, 2, 1));
    }

    #[test]
    fn what_is_lost_and_what_came_twice_is_told() {
        let waits = Depths { delay: 1, ..Depths::default() };
        let lost = balance(&[Fate::Waiting], &[0], Depths::default(), 0);
        assert!(lost.words().contains("holds 0 deliveries, and should hold 1"), "{}", lost.words());
        let unseen = balance(&[Fate::Delivered], &[0], Depths::default(), 0);
        assert!(unseen.words().contains("no receiver has answered"), "{}", unseen.words());
        let twice = balance(&[Fate::Delivered], &[2], Depths::default(), 0);
        assert!(twice.words().contains("more than once"), "{}", twice.words());
        let will_be = balance(&[Fate::Waiting], &[1], waits, 0);
        assert!(will_be.words().contains("more than once, or will be"), "{}", will_be.words());
        let slow = balance(&[Fate::Delivered; 4], &[1, 1, 1, 2], Depths::default(), 0);
        assert!(slow.holds(), "{}", slow.words());
        let letter = balance(&[Fate::Dead], &[0], Depths::default(), 0);
        assert!(letter.words().contains("0 dead letters, and should be 1"), "{}", letter.words());
    }
}
