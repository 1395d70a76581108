//! The queue seam's contract as tests that every backend passes.
//!
//! Each test is written once, over a [`Backend`](backend::Backend), and run for every backend by `every_backend!`. What
//! only one backend can suffer is in a file of its own.

mod backend;
mod due_times;
mod durability;
mod foreseen;
mod load;
mod once;
mod prefetch;
mod round_trip;
mod samples;
mod settling;
mod sharing;
mod sqlite_only;

/// The suite for each backend: `name: type`.
macro_rules! every_backend {
    ($($name:ident: $backend:ident),+) => { $(mod $name {
        every_test! { $backend
            durability {
                what_was_published_is_there_after_the_process_died,
                a_publish_that_was_cut_short_left_all_of_it_or_nothing,
                a_lease_of_a_process_that_died_comes_back,
                what_was_settled_does_not_come_back_after_the_process_died,
                follow_ups_are_there_after_the_process_died,
            }
            round_trip {
                a_fresh_message_comes_out_as_it_went_in,
                a_delivery_that_waits_comes_out_as_it_went_in,
                a_dead_letter_comes_out_as_it_went_in_with_its_death,
                a_body_of_a_mebibyte_comes_out_as_it_went_in,
                a_trace_goes_with_its_event_through_redelivery_a_wait_and_a_dead_letter,
            }
            settling {
                a_settled_message_is_gone,
                a_dropped_lease_comes_back_on_its_lane,
                the_follow_ups_of_one_message_all_come,
                a_lease_that_was_not_settled_left_no_follow_up,
                nothing_is_leased_twice_at_once,
                nothing_that_is_due_again_is_leased_twice_at_once,
                a_dead_letter_that_was_not_stored_comes_again,
            }
            prefetch {
                no_more_messages_are_held_than_the_prefetch_says,
                no_more_bytes_are_held_than_the_prefetch_says_but_for_one_message,
                a_message_larger_than_the_prefetch_comes_alone,
                a_dropped_lease_makes_room_as_a_settled_one_does,
                each_lane_has_a_prefetch_of_its_own,
            }
            due_times {
                a_follow_up_comes_when_it_is_due_and_not_before,
                what_is_due_earlier_comes_earlier,
                what_is_put_in_to_be_due_before_what_is_awaited_comes_first,
                a_replay_is_due_at_once,
                what_is_due_earlier_than_what_was_taken_already_is_not_overlooked,
                what_is_put_in_while_others_are_being_taken_is_not_overlooked,
                replays_published_at_the_same_moment_all_come_at_once,
            }
            foreseen {
                what_is_foreseen_waits_from_the_start_and_is_told_once_it_is_stored,
                what_was_foreseen_is_there_after_the_process_died,
                nobody_is_asked_about_a_bulk_or_any_more,
                what_is_foreseen_is_told_though_nobody_waits_for_it_any_more,
            }
            sharing {
                a_waiting_worker_is_woken_by_another_process,
                a_waiting_worker_is_woken_by_a_replay_of_another_process,
                what_is_leased_is_not_leased_again_when_another_process_publishes,
                a_second_worker_beside_the_first_is_refused_or_shares,
                who_opened_the_queue_to_publish_cannot_consume,
                once_consuming_is_stopped_consumers_end_and_leases_in_hand_can_be_settled,
                depths_count_what_is_leased_too,
                the_oldest_is_what_has_been_waiting_longest,
            }
            once {
                a_queue_remembers_what_it_took_in_or_says_that_it_does_not,
            }
            load {
                nothing_is_lost_or_doubled_among_many_publishers_and_settlers,
            }
        }
    })+ };
}

macro_rules! every_test {
    ($backend:ident $($group:ident { $($test:ident),+ $(,)? })+) => { $(mod $group {
        use crate::queue_conformance::{backend::$backend, $group};

        $(#[tokio::test]
        async fn $test() {
            $group::$test::<$backend>().await;
        })+
    })+ };
}

every_backend! { sqlite: Sqlite, rabbitmq: RabbitMq }
