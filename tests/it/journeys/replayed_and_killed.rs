//! Many dead letters put back to work by filter, with the process killed twice in between: each is delivered, none is lost.
//!
//! `HIKYAKU_TEST_LETTERS=100000` does it with so many; by default they are 6,000, and the worker holds as few as the settings allow, so
//! that few repeats are the most that is allowed. With so little, a large wave would be parked again and again.

use std::time::Duration;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, declared, events, until};

/// Letters that a step puts back to work: after a kill, those may be sent twice.
const STEP: usize = 500;
/// The least that the settings allow, so that few are in hand when the server is killed.
const PREFETCH: usize = 64;
/// What a worker holds unless the settings say otherwise, or more.
const PREFETCH_DEFAULT: usize = 4096;
/// Letters, unless the variable says otherwise.
const FEW: usize = 6_000;
/// How long all of it may take on a busy machine, and for each thousand letters more.
const LONGEST: Duration = Duration::from_secs(120);
const LONGEST_PER_THOUSAND: Duration = Duration::from_secs(10);

fn letters() -> usize {
    std::env::var("HIKYAKU_TEST_LETTERS").map_or(FEW, |count| count.parse().expect("a number"))
}

/// How many dead letters of the webhook there are.
async fn left(home: &Home, webhook: &str) -> usize {
    let told = home.cli(&["dead", "replay", "--webhook", webhook, "--dry-run"]).await.ok();
    told.split_whitespace().next().and_then(|count| count.parse().ok()).expect("a number")
}

/// Kills the replay, and the server too, once `at` letters at most are left. They are counted in the file: on a busy machine a command
/// that counts takes longer than the replay of them all.
async fn kill_amid(home: &Home, server: Program, at: usize) {
    let store = rusqlite::Connection::open(home.path("store.db")).expect("opened");
    let sql = "SELECT count(*) FROM dead_letters WHERE webhook = 'hook'";
    let count = || store.query_row(sql, [], |row| row.get::<_, usize>(0)).expect("counted");
    let replay = home.start(&["dead", "replay", "--webhook", "hook", "--reason", "refused"]);
    until(&format!("{at} letters at most are left"), async || (count() <= at).then_some(())).await;
    replay.kill().await;
    server.kill().await;
    assert!(count() > 0, "it was killed too late to matter");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_letters_replayed_by_filter_with_everything_killed_twice_are_each_delivered_and_none_is_lost() {
    let count = letters();
    let longest = LONGEST + LONGEST_PER_THOUSAND * u32::try_from(count / 1000).expect("few");
    let (receiver, other) =
        (Receiver::start(Behaviour::Answer(404)).await, Receiver::start(Behaviour::Answer(404)).await);
    let webhooks = declared("hook", &receiver.url("/"), "note") + &declared("other", &other.url("/"), "mention");
    let (prefetch, settings) = match count {
        FEW => (PREFETCH, format!("queue.prefetch = {PREFETCH}\ndelivery.concurrency = {PREFETCH}\n")),
        _ => (PREFETCH_DEFAULT, String::new()),
    };
    let home = Home::new(&format!("{settings}{webhooks}"));
    let file = home.write("events.ndjson", &(events("note", "e", count) + &events("mention", "o", 10)));
    home.cli(&["publish", file]).await.ok();
    let server = home.serve().await;
    receiver
        .until_within(longest, "all were refused", |book| book.arrived.len() >= count && book.distinct() == count)
        .await;
    server.metric_is("hikyaku_queue_depth{queue=\"dead\"}", 0.0).await;
    until("all are dead letters", async || (left(&home, "hook").await == count).then_some(())).await;
    let refused = receiver.book().arrived.len();

    receiver.behave(Behaviour::Answer(200));
    kill_amid(&home, server, count - count / 4).await;
    kill_amid(&home, home.serve().await, count / 2).await;
    let server = home.serve().await;
    home.cli(&["dead", "replay", "--webhook", "hook", "--reason", "refused"]).await.ok();
    assert_eq!(left(&home, "hook").await, 0);
    // Counted only once they can be all: a receiver that is asked to count 100,000 again and again answers nobody meanwhile.
    receiver
        .until_within(longest, "each arrives again", |book| {
            if book.arrived.len() < refused + count {
                return false;
            }
            let again: std::collections::HashSet<&str> =
                book.arrived[refused..].iter().map(|arrived| arrived.id()).collect();
            again.len() == count
        })
        .await;
    server.metric_is("hikyaku_queue_depth{queue=\"delay\"}", 0.0).await;
    assert_eq!((left(&home, "hook").await, left(&home, "other").await), (0, 10), "only those that were meant");
    server.stop().await;
    let repeats = receiver.book().arrived.len() - refused - count;
    assert!(repeats <= 2 * (STEP + 4 * prefetch), "{repeats} repeats over two kills");
}
