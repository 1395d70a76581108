//! Slots and shares as sentences, and whole receivers served by the rule.

use proptest::prelude::*;

use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// So many rounds of answers, with all slots in use, each taking what `took` says of the slots in use.
fn serve(slots: &mut Slots, rounds: u32, took: impl Fn(u32) -> Duration) {
    for _ in 0..rounds {
        let in_use = slots.count();
        for _ in 0..in_use {
            slots.answered(took(in_use), in_use);
        }
    }
}

#[test]
fn they_double_with_each_round_of_fast_answers_up_to_their_limit() {
    let mut slots = Slots::first(1000);
    assert_eq!(slots.count(), 64);
    serve(&mut slots, 1, |_| ms(5));
    assert_eq!(slots.count(), 128);
    serve(&mut slots, 9, |_| ms(5));
    assert_eq!(slots.count(), 1000);
    assert_eq!(Slots::first(8).count(), 8, "never more than the limit");
}

#[test]
fn what_is_not_in_use_makes_no_more() {
    let mut slots = Slots::first(1000);
    for _ in 0..10_000 {
        slots.answered(ms(5), 3);
    }
    assert_eq!(slots.count(), 64);
}

#[test]
fn a_receiver_that_is_always_slow_gets_no_more_and_loses_none() {
    let mut slots = Slots::first(1000);
    serve(&mut slots, 20, |_| ms(2000));
    assert_eq!((slots.count(), slots.pace()), (64, Pace::Slow));
}

#[test]
fn a_receiver_that_has_moved_far_away_is_judged_anew() {
    let mut slots = Slots::first(64);
    serve(&mut slots, 5, |_| ms(10));
    serve(&mut slots, 100, |_| ms(300));
    assert!(slots.count() > 20, "{}", slots.count());
}

#[test]
fn a_receiver_that_works_one_by_one_is_not_given_more_than_it_can_use() {
    // 10 ms of work for each, one after the other: the more are under way, the longer each waits.
    let mut slots = Slots::first(1000);
    slots.answered(ms(10), 1);
    serve(&mut slots, 200, |in_use| ms(10) * in_use);
    assert!((7..=12).contains(&slots.count()), "about a tenth of a second's work: {}", slots.count());
}

/// With the best at 100 ms, what is left of 64 after one answer that took so long.
fn left_after(took: u64) -> u32 {
    let mut slots = Slots::first(64);
    for _ in 0..64 {
        slots.answered(ms(100), 64);
    }
    slots.answered(ms(took), 64);
    slots.count()
}

#[test]
fn an_answer_of_over_three_times_the_best_takes_a_tenth_of_them() {
    assert_eq!([left_after(290), left_after(310)], [64, 57]);
}

#[test]
fn in_a_round_in_which_they_shrank_good_answers_add_none() {
    let mut slots = Slots::first(64);
    slots.failed(ms(5), 4);
    assert_eq!(slots.count(), 32);
    let mut counts = Vec::new();
    for _ in 0..40 {
        slots.answered(ms(5), 32);
        counts.push(slots.count());
    }
    let first_more = counts.iter().position(|count| *count == 33);
    assert_eq!(first_more, Some(3 + 32 - 1), "the rest of that round, and a whole one: {counts:?}");
}

#[test]
fn one_slow_answer_says_little_of_the_mean_and_many_do() {
    let mut slots = Slots::first(64);
    slots.answered(ms(805), 1);
    assert_eq!(slots.mean().as_millis(), 105, "an eighth of it");
    for _ in 0..50 {
        slots.answered(ms(805), 1);
    }
    assert!(slots.mean() > ms(800), "{:?}", slots.mean());
}

#[test]
fn failures_halve_them_once_a_round_and_leave_one() {
    let mut slots = Slots::first(64);
    let mut counts = Vec::new();
    for _ in 0..8 {
        for in_use in (1..=slots.count()).rev() {
            slots.failed(ms(10), in_use);
        }
        counts.push(slots.count());
    }
    assert_eq!(counts, [32, 16, 8, 4, 2, 1, 1, 1]);
    serve(&mut slots, 10, |_| ms(5));
    assert_eq!(slots.count(), 11, "then each round of good answers adds one");
}

#[test]
fn how_fast_it_is_follows_the_median_of_the_latest_answers() {
    let mut slots = Slots::first(8);
    assert_eq!(slots.pace(), Pace::Unproven);
    slots.answered(ms(3), 1);
    assert_eq!(slots.pace(), Pace::Fast);
    for _ in 0..4 {
        slots.answered(ms(9000), 1);
    }
    assert_eq!(slots.pace(), Pace::Slow);
    for _ in 0..5 {
        slots.answered(ms(3), 1);
    }
    assert_eq!(slots.pace(), Pace::Fast);
    for _ in 0..5 {
        slots.failed(ms(10_000), 1);
    }
    assert_eq!(slots.pace(), Pace::Slow, "one that never answers is slow");
}

#[test]
fn turns_count_answers_one_after_the_other() {
    let mut grown = Slots::first(4);
    serve(&mut grown, 3, |_| ms(5));
    grown.failed(ms(5), 4);
    assert_eq!(grown.count(), 2);
    assert_eq!([0, 1, 2, 7].map(|waiters| grown.turns(waiters)), [1, 1, 2, 4]);
    let doubling = Slots::first(1024);
    assert_eq!([0, 127, 128, 383, 384, 2000].map(|waiters| doubling.turns(waiters)), [1, 1, 2, 2, 3, 5]);
    let at_its_limit = Slots::first(64);
    assert_eq!([0, 63, 64].map(|waiters| at_its_limit.turns(waiters)), [1, 1, 2]);
}

#[test]
fn the_slow_and_the_unproven_get_half_of_a_share_and_the_fast_all() {
    let mut share = Share::of(8);
    for _ in 0..4 {
        assert!(share.has_room(Pace::Slow, 9));
        share.take(Pace::Slow);
    }
    assert!(!share.has_room(Pace::Slow, 0));
    assert!(!share.has_room(Pace::Unproven, 1));
    assert!(share.has_room(Pace::Unproven, 0), "one chance to show that it is fast");
    for _ in 0..4 {
        assert!(share.has_room(Pace::Fast, 9));
        share.take(Pace::Fast);
    }
    assert!(!share.has_room(Pace::Fast, 0));
    assert!(!share.has_room(Pace::Unproven, 0));
    share.give_back(Pace::Slow);
    assert!(share.has_room(Pace::Slow, 3) && share.has_room(Pace::Fast, 3));
}

#[test]
fn a_webhook_that_turns_slow_is_counted_with_all_it_holds() {
    let mut share = Share::of(8);
    for _ in 0..4 {
        share.take(Pace::Fast);
    }
    share.change(4, Pace::Fast, Pace::Slow);
    assert!(!share.has_room(Pace::Slow, 4) && share.has_room(Pace::Fast, 0));
    share.change(4, Pace::Slow, Pace::Unproven);
    share.change(4, Pace::Slow, Pace::Fast);
    assert!(share.has_room(Pace::Slow, 0));
}

#[test]
fn a_share_of_one_serves_everyone_in_turn() {
    let mut share = Share::of(1);
    for pace in [Pace::Slow, Pace::Unproven, Pace::Fast] {
        assert!(share.has_room(pace, 0));
        share.take(pace);
        assert!(!share.has_room(Pace::Fast, 0));
        share.give_back(pace);
    }
}

proptest! {
    #[test]
    fn there_is_always_one_and_never_more_than_the_limit(
        answers in proptest::collection::vec((any::<bool>(), 0_u64..20_000, 1_u32..2000), 0..500), max in 0_u32..2000,
    ) {
        let mut slots = Slots::first(max);
        for (is_good, took, in_use) in answers {
            if is_good { slots.answered(ms(took), in_use) } else { slots.failed(ms(took), in_use) }
            prop_assert!(slots.count() >= 1 && slots.count() <= max.max(1));
            prop_assert!(slots.turns(10) >= 1 && slots.turns(10) <= 11);
        }
    }

    #[test]
    fn what_is_taken_and_given_back_leaves_nothing(
        acts in proptest::collection::vec((0_usize..3, any::<bool>(), any::<bool>()), 0..300), max in 1_usize..40,
    ) {
        // Three webhooks that take, give back, and change how fast they are.
        let mut share = Share::of(max);
        let mut held = [0_usize; 3];
        let mut paces = [Pace::Unproven, Pace::Fast, Pace::Slow];
        for (which, takes, changes) in acts {
            if changes {
                let to = if paces[which] == Pace::Fast { Pace::Slow } else { Pace::Fast };
                share.change(held[which], paces[which], to);
                paces[which] = to;
            }
            if takes && share.has_room(paces[which], held[which]) {
                share.take(paces[which]);
                held[which] += 1;
            } else if held[which] > 0 {
                share.give_back(paces[which]);
                held[which] -= 1;
            }
            let slow: usize = (0..3).filter(|which| paces[*which] != Pace::Fast).map(|which| held[which]).sum();
            prop_assert_eq!(share.used(), held.iter().sum::<usize>());
            prop_assert_eq!(share.used_by_slow, slow);
            prop_assert!(share.used() <= max);
        }
    }
}
