//! The record's contracts as tests that every store passes: dead letters, latest attempts, history, receipts.
//!
//! Each test is written once, over a [`Backend`](backend::Backend), and run for every store by `every_backend!`. What only
//! one kind of store can suffer is in a file of its own.

mod backend;
mod dead_letters;
mod history_bodies;
mod history_reading;
mod history_samples;
mod history_writing;
mod latest;
mod measured;
mod postgres_only;
mod receipts;
mod replayed_letters;
mod sqlite_only;
mod workers;

/// The suite for each store: `name: type`.
macro_rules! every_backend {
    ($($name:ident: $backend:ident),+) => { $(mod $name {
        every_test! { $backend
            dead_letters {
                one_replays_at_a_time,
                a_letter_comes_back_as_it_was_byte_for_byte,
                adding_the_same_letter_again_changes_nothing,
                a_pruning_beside_an_adding_never_takes_the_total_back,
                removing_a_replayed_letter_leaves_the_one_that_died_again,
                an_older_generation_that_comes_late_is_ignored,
                pages_of_a_hundred_show_each_of_2500_letters_once_newest_first,
                a_letter_removed_between_two_pages_costs_no_other,
                a_filter_lets_through_what_fits_all_of_it,
                a_page_with_bodies_ends_when_they_grow_large,
                purging_removes_all_that_fits_and_nothing_else,
                letters_past_their_age_are_pruned,
                of_too_many_letters_the_oldest_are_pruned,
                the_total_is_known_after_a_restart_and_counts_what_others_removed_at_the_next_prune,
                a_letter_that_cannot_be_read_is_told_and_hides_no_other,
                of_letters_that_cannot_all_be_added_none_is,
            }
            replayed_letters {
                a_replayed_letter_is_gone_with_a_note_of_who_did_it_and_an_older_one_that_comes_late_is_ignored,
                notes_of_replays_go_with_age_and_beyond_the_count,
                letters_are_found_by_event_and_by_the_status_of_their_last_attempt,
                of_few_among_many_short_pages_lead_on_to_all_and_a_purge_finds_them_too,
                of_somebody_who_is_forgotten_letters_go_and_what_was_taken_in_before_is_not_kept_any_more,
                who_is_forgotten_by_one_process_is_known_to_all_that_follow_the_store_without_looking,
            }
            history_bodies {
                an_event_is_read_back_with_its_bytes_and_one_without_a_body_is_told,
                a_page_with_bodies_ends_when_they_grow_large_and_leads_on,
                bodies_that_come_too_fast_are_left_out_and_counted_and_their_deliveries_are_not,
                a_body_that_is_missing_comes_with_what_is_noted_later_and_each_is_kept_once,
                a_body_goes_with_the_last_delivery_of_its_event,
                bodies_go_with_age_beyond_their_bytes_and_when_none_are_kept_any_more,
                of_somebody_who_is_forgotten_nothing_is_left_and_of_others_all,
                what_waits_of_somebody_who_is_forgotten_meanwhile_is_not_written_any_more,
                what_comes_twice_in_one_batch_has_its_body_once,
            }
            history_reading {
                a_listing_goes_through_all_pages_and_has_each_delivery_once_though_they_change_meanwhile,
                every_filter_leaves_exactly_what_it_says,
                whatever_the_filters_pages_have_each_delivery_once_though_it_is_written_and_pruned_meanwhile,
                where_nobody_has_written_a_history_that_is_told,
                a_row_that_cannot_be_read_is_told_and_hides_no_other,
                a_history_of_a_newer_version_is_refused_with_both_versions,
                one_that_cannot_be_brought_up_to_date_holds_up_nobody_and_is_told_until_it_can,
            }
            history_writing {
                a_delivery_is_kept_with_its_state_and_every_attempt,
                a_delivery_that_waits_is_dead_or_dropped_says_why,
                what_is_noted_again_changes_nothing,
                what_is_new_what_is_there_and_what_had_come_to_something_unseen_are_written_together,
                of_a_number_that_was_tried_twice_the_try_that_delivered_is_kept_else_the_first,
                a_replay_is_the_next_generation_with_attempts_of_its_own,
                a_clock_that_is_set_back_does_not_hold_up_what_is_known,
                what_is_not_to_be_kept_of_answers_is_not,
                what_has_not_changed_for_longer_than_it_is_kept_goes_with_its_attempts,
                while_it_is_written_it_stays_within_its_count,
                what_comes_late_of_old_events_goes_before_what_changed_last,
                while_another_holds_it_nothing_waits_and_it_is_written_afterwards,
                what_memory_has_no_room_for_is_missing_and_counted_and_what_comes_later_is_kept,
                what_is_noted_before_the_end_is_written_at_the_end,
                at_the_end_what_cannot_be_written_is_counted_and_holds_up_nobody,
            }
            latest {
                what_was_noted_is_known_at_once_and_after_a_flush_and_a_restart,
                the_later_attempt_counts_in_whatever_order_they_are_noted,
                what_was_noted_is_written_without_being_asked_for,
                what_a_store_that_is_away_cannot_take_is_kept_and_written_later,
                beyond_the_limit_webhooks_are_dropped_and_counted_and_those_known_still_noted,
                a_webhook_that_is_forgotten_is_gone_from_memory_and_store,
                since_when_a_webhook_fails_is_known_at_once_and_after_a_restart_until_it_succeeds,
                a_test_is_the_latest_attempt_and_says_nothing_of_failing,
                what_fails_anew_forgets_what_was_before_even_when_both_wait_to_be_written,
                a_long_failing_that_is_stored_counts_nothing_for_one_that_begins_anew,
                of_two_attempts_at_one_moment_the_one_noted_last_counts,
                of_two_workers_that_find_a_webhook_failing_the_first_beginning_and_the_longer_time_count,
                a_clock_that_was_set_back_keeps_neither_a_success_nor_a_failure_from_counting,
            }
            receipts {
                what_was_noted_is_known_to_others_and_after_a_restart_for_eight_days,
                many_at_once_are_all_noted,
            }
            workers {
                each_worker_is_seen_by_all_until_it_leaves_with_what_it_told_last,
                whoever_has_not_been_heard_of_for_a_day_is_forgotten,
            }
        }
    })+ };
}

macro_rules! every_test {
    ($backend:ident $($group:ident { $($test:ident),+ $(,)? })+) => { $(mod $group {
        use crate::record_conformance::{backend::$backend, $group};

        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            $group::$test::<$backend>().await;
        })+
    })+ };
}

every_backend! { sqlite: Sqlite, postgres: PostgreSql }
