//! A bounded memory of tokens, by their hashes: what is not asked for any more is forgotten, a half at a time.
//!
//! There are two halves. What is new, or asked for again, goes into the young one; when that is full it becomes the old one,
//! and what was the old one is forgotten. So it costs the same at every step, and strangers' wrong tokens can only make us
//! forget, which costs one more question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A token's SHA-256.
pub(super) type Hash = [u8; 32];

/// At most a number of `T`, each made when it is first asked for.
pub(super) struct Memory<T> {
    halves: Mutex<Halves<T>>,
    half_max: usize,
}

struct Halves<T> {
    young: HashMap<Hash, Arc<T>>,
    old: HashMap<Hash, Arc<T>>,
}

impl<T: Default> Memory<T> {
    pub(super) fn new(max: usize) -> Self {
        Self { halves: Mutex::new(Halves { young: HashMap::new(), old: HashMap::new() }), half_max: (max / 2).max(1) }
    }

    /// Forgets all that `keeps` does not want kept.
    pub(super) fn retain(&self, keeps: impl Fn(&T) -> bool) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.young.retain(|_, known| keeps(known));
        halves.old.retain(|_, known| keeps(known));
    }

    /// What is known under `hash`.
    pub(super) fn of(&self, hash: Hash) -> Arc<T> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = halves.young.get(&hash) {
            return Arc::clone(known);
        }
        let known = halves.old.remove(&hash).unwrap_or_default();
        if halves.young.len() >= self.half_max {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(hash, Arc::clone(&known));
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u32) -> Hash {
        let mut hash = Hash::default();
        hash[..4].copy_from_slice(&number.to_be_bytes());
        hash
    }

    #[test]
    fn what_is_not_to_be_kept_is_gone_from_both_halves() {
        let memory = Memory::<Mutex<u32>>::new(10);
        for number in 1..=8 {
            *memory.of(hash(number)).lock().expect("whole") = number;
        }
        memory.retain(|number| number.lock().expect("whole").is_multiple_of(2));
        let halves = memory.halves.lock().expect("whole");
        let mut left: Vec<u32> =
            halves.young.values().chain(halves.old.values()).map(|number| *number.lock().expect("whole")).collect();
        left.sort_unstable();
        assert_eq!(left, [2, 4, 6, 8]);
        assert!(!halves.young.is_empty() && !halves.old.is_empty(), "both were asked");
    }

    #[test]
    fn at_most_its_number_are_remembered_and_those_in_use_stay() {
        let memory = Memory::<Mutex<u32>>::new(100);
        *memory.of(hash(0)).lock().expect("whole") = 7;
        for number in 1..10_000 {
            memory.of(hash(number));
            assert_eq!(*memory.of(hash(0)).lock().expect("whole"), 7, "forgotten at {number} though in use");
            let halves = memory.halves.lock().expect("whole");
            assert!(halves.young.len() + halves.old.len() <= 100, "{} and {}", halves.young.len(), halves.old.len());
        }
        assert_eq!(*memory.of(hash(1)).lock().expect("whole"), 0, "new again");
    }
}
