//! What the history promises, on real files. How soon a page of a million is there (a measurement, so it is asked for):
//! `cargo test --release --lib -- --ignored --nocapture a_page_of_a_million`

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::decide::{Step, Verdict, Wait};
use crate::model::{
    Body, DeathReason, Delivery, DeliveryId, DeliveryState, Event, EventId, EventType, Outcome, ParkReason, Source,
    Timestamp, UserId, WebhookId,
};
use crate::telemetry::Telemetry;

const START: Timestamp = Timestamp::from_millis(1_774_960_496_789);
const DAY: Duration = Duration::from_secs(86_400);
/// How long anything may take on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);

struct World {
    folder: TempDir,
    clock: Arc<ManualClock>,
    telemetry: SharedTelemetry,
    history: Option<History>,
    reader: HistoryReader,
}

fn policy() -> HistoryPolicy {
    HistoryPolicy { age: 7 * DAY, count_max: 1_000_000, response_bytes_max: 2048, worker: "here/1".to_owned() }
}

impl World {
    fn new() -> Self {
        Self::keeping(policy())
    }

    fn keeping(policy: HistoryPolicy) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (clock, telemetry) = (Arc::new(ManualClock::new(START, 0.5)), Telemetry::shared().expect("metrics"));
        let path = folder.path().join("history.db");
        let history = History::open(&path, policy, clock.clone(), telemetry.clone()).expect("opens");
        let reader = HistoryReader::of(&path);
        Self { folder, clock, telemetry, history: Some(history), reader }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("history.db")
    }

    fn history(&self) -> &History {
        self.history.as_ref().expect("it is open")
    }

    /// A connection of someone else.
    fn stranger(&self) -> Connection {
        crate::sqlite::open(&self.path()).expect("opens")
    }

    async fn written(&self) {
        self.history().flush().await.expect("written");
    }

    async fn list(&self, filter: HistoryFilter) -> Vec<KeptDelivery> {
        let page = self.reader.list(&filter, 1000, None).await.expect("read");
        assert_eq!(page.problems, Vec::<String>::new());
        page.deliveries.into_iter().map(|(delivery, _)| delivery).collect()
    }

    async fn show(&self, number: u32) -> (KeptDelivery, Vec<KeptAttempt>) {
        self.reader.show(&id(number)).await.expect("read").expect("it is there")
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.telemetry.render();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no metric {name}")).parse().expect("a number")
    }

    /// Waits until `is` says so.
    async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !is().await {
            assert!(began.elapsed() < LONGEST, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn event(number: u32) -> Event {
    Event {
        id: EventId::new(&format!("event{number}")).expect("id"),
        kind: EventType::new(if number.is_multiple_of(10) { "mention" } else { "note" }).expect("type"),
        user: Some(UserId::new("u1").expect("user")),
        source: Source::default(),
        server: None,
        created_at: START,
        accepted_at: START.plus(Duration::from_millis(u64::from(number / 3))),
        body: Body::from_checked(Bytes::from_static(b"{}")),
    }
}

fn webhook(number: u32) -> WebhookId {
    WebhookId::new(&format!("wh{}", number % 4)).expect("id")
}

fn id(number: u32) -> DeliveryId {
    DeliveryId::of(&event(number).id, &webhook(number))
}

fn fresh(number: u32) -> Delivery {
    Delivery::fresh(&event(number), webhook(number))
}

fn attempted(delivery: &Delivery, outcome: Outcome, status: Option<u16>) -> Option<Attempted> {
    let words = if outcome == Outcome::Delivered { "" } else { "it went wrong" };
    let verdict = Verdict { outcome, status, retry_after: None, words: words.to_owned() };
    Attempted::of(delivery, &verdict, START, Duration::from_micros(1500), "hello".to_owned())
}

fn entry(number: u32, before: &Delivery, step: &Step, attempt: Option<Attempted>, at: Timestamp) -> Entry {
    Entry::of(&event(number), &id(number), before, step, attempt, at).expect("a delivery")
}

/// The delivery `number` is delivered by its first attempt.
fn delivered(number: u32, at: Timestamp) -> Entry {
    let before = fresh(number);
    entry(number, &before, &Step::Done, attempted(&before, Outcome::Delivered, Some(200)), at)
}

/// Its attempt fails, and it waits for the next one.
fn failed(number: u32, before: &Delivery) -> (Entry, Delivery) {
    let after = Delivery { attempts: before.attempts + 1, parks: 0, ..before.clone() };
    let due = START.plus(Duration::from_secs(5));
    let step = Step::Later { delivery: after.clone(), due, wait: Wait::Retry };
    (entry(number, before, &step, attempted(before, Outcome::ServerError, Some(503)), START), after)
}

fn states(attempts: &[KeptAttempt]) -> Vec<(u32, u32, Outcome)> {
    attempts.iter().map(|attempt| (attempt.generation, attempt.made.number, attempt.made.outcome)).collect()
}

#[tokio::test]
async fn a_delivery_is_kept_with_its_state_and_every_attempt() {
    let world = World::new();
    let (first, after) = failed(1, &fresh(1));
    world.history().note(first);
    let last = attempted(&after, Outcome::Delivered, Some(204));
    world.history().note(entry(1, &after, &Step::Done, last.clone(), START.plus(DAY)));
    world.written().await;

    let (delivery, attempts) = world.show(1).await;

    let expected = KeptDelivery {
        id: id(1),
        event: event(1).id,
        kind: event(1).kind,
        user: event(1).user,
        source: Source::default(),
        webhook: webhook(1),
        accepted_at: event(1).accepted_at,
        generation: 0,
        attempts: 2,
        state: DeliveryState::Delivered,
        reason: None,
        changed_at: START.plus(DAY),
        due: None,
    };
    assert_eq!(delivery, expected);
    assert_eq!(states(&attempts), [(0, 1, Outcome::ServerError), (0, 2, Outcome::Delivered)]);
    assert_eq!(attempts[0].made.error, "it went wrong");
    assert_eq!(attempts[1], KeptAttempt { generation: 0, made: last.expect("made"), worker: "here/1".to_owned() });
}

#[tokio::test]
async fn a_delivery_that_waits_is_dead_or_dropped_says_why() {
    let world = World::new();
    let parked = Delivery { parks: 1, ..fresh(1) };
    let due = START.plus(Duration::from_secs(9));
    let park = Step::Later { delivery: parked, due, wait: Wait::Park(ParkReason::BreakerOpen) };
    world.history().note(entry(1, &fresh(1), &park, None, START));
    let dead = Step::Dead { delivery: fresh(2), reason: DeathReason::Deactivated };
    world.history().note(entry(2, &fresh(2), &dead, None, START));
    let dropped = Step::Drop(crate::model::DropReason::WebhookDeleted);
    world.history().note(entry(3, &fresh(3), &dropped, None, START));
    world.written().await;

    for (number, state, reason, due) in [
        (1, DeliveryState::Waiting, "breaker_open", Some(due)),
        (2, DeliveryState::Dead, "deactivated", None),
        (3, DeliveryState::Dropped, "webhook_deleted", None),
    ] {
        let (delivery, attempts) = world.show(number).await;
        assert_eq!((delivery.state, delivery.reason.as_deref(), delivery.due), (state, Some(reason), due));
        assert_eq!((delivery.attempts, attempts), (0, Vec::new()));
    }
}

#[tokio::test]
async fn what_is_noted_again_changes_nothing() {
    let world = World::new();
    let (first, after) = failed(1, &fresh(1));
    let last = entry(1, &after, &Step::Done, attempted(&after, Outcome::Delivered, Some(200)), START.plus(DAY));
    for entry in [&first, &last, &first, &last, &first] {
        world.history().note(entry.clone());
        world.written().await;
    }

    let (delivery, attempts) = world.show(1).await;

    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Delivered, 2), "what is older comes too late");
    assert_eq!(states(&attempts), [(0, 1, Outcome::ServerError), (0, 2, Outcome::Delivered)]);
    world.until("they are counted once", async || world.metric("hikyaku_history_attempts") == 2).await;
    assert_eq!(world.metric("hikyaku_history_deliveries"), 1);
}

#[tokio::test]
async fn of_a_number_that_was_tried_twice_the_try_that_delivered_is_kept_else_the_first() {
    let world = World::new();
    let (before, failing) = (fresh(1), failed(1, &fresh(1)).0);
    world.history().note(failing.clone());
    world.history().note(delivered(1, START));
    world.history().note(failing);
    let other = failed(2, &fresh(2)).0;
    let timeout = attempted(&before, Outcome::Timeout, None);
    world.history().note(Entry { attempt: timeout, ..other.clone() });
    world.history().note(other);
    world.written().await;

    assert_eq!(states(&world.show(1).await.1), [(0, 1, Outcome::Delivered)]);
    assert_eq!(world.show(1).await.0.state, DeliveryState::Delivered);
    assert_eq!(states(&world.show(2).await.1), [(0, 1, Outcome::Timeout)]);
}

#[tokio::test]
async fn a_replay_is_the_next_generation_with_attempts_of_its_own() {
    let world = World::new();
    let (first, after) = failed(1, &fresh(1));
    let dead = Step::Dead { delivery: after.clone(), reason: DeathReason::Exhausted };
    let death = Entry { attempt: first.attempt.clone(), ..entry(1, &fresh(1), &dead, None, START) };
    world.history().note(death);
    let again = after.replayed(START.plus(DAY));
    let attempt = attempted(&again, Outcome::Delivered, Some(200));
    world.history().note(entry(1, &again, &Step::Done, attempt, START.plus(DAY)));
    world.written().await;

    let (delivery, attempts) = world.show(1).await;

    assert_eq!((delivery.generation, delivery.attempts, delivery.state), (1, 1, DeliveryState::Delivered));
    assert_eq!(states(&attempts), [(0, 1, Outcome::ServerError), (1, 1, Outcome::Delivered)]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_hold_up_what_is_known() {
    let world = World::new();
    let (first, after) = failed(1, &fresh(1));
    world.history().note(first);
    let earlier = START.minus(DAY);
    world.history().note(entry(1, &after, &Step::Done, attempted(&after, Outcome::Delivered, Some(200)), earlier));
    world.written().await;

    assert_eq!(world.show(1).await.0.state, DeliveryState::Delivered);
}

#[tokio::test]
async fn what_is_not_to_be_kept_of_answers_is_not() {
    let world = World::keeping(HistoryPolicy { response_bytes_max: 2, ..policy() });
    world.history().note(delivered(1, START));
    world.written().await;

    assert_eq!(world.show(1).await.1[0].made.response, "he");
}

#[tokio::test]
async fn a_listing_goes_through_all_pages_and_has_each_delivery_once_though_they_change_meanwhile() {
    let world = World::new();
    for number in 0..100 {
        world.history().note(failed(number, &fresh(number)).0);
    }
    world.written().await;
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let page = world.reader.list(&HistoryFilter::default(), 7, after).await.expect("read");
        assert!(page.deliveries.len() <= 7);
        for (delivery, attempt) in &page.deliveries {
            assert_eq!(attempt.as_ref().and_then(|attempt| attempt.made.status), Some(503));
            ids.push(delivery.id.clone());
        }
        // What was not listed yet changes; what comes is newer than all.
        let number = 99 - u32::try_from(ids.len().min(99)).expect("few");
        let retried = Delivery { attempts: 1, ..fresh(number) };
        world.history().note(failed(number, &retried).0);
        world.history().note(delivered(1000 + number, START));
        world.written().await;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let newest_first: Vec<_> = (0..100).rev().map(id).collect();
    assert_eq!(ids.len(), 100);
    let sorted = |mut ids: Vec<DeliveryId>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(ids.clone()), sorted(newest_first.clone()));
    assert_eq!(ids[..2], newest_first[..2]);
}

#[tokio::test]
async fn every_filter_leaves_exactly_what_it_says() {
    let world = World::new();
    for number in 0..60 {
        let is_dead = number % 5 == 0;
        let dead = Step::Dead { delivery: fresh(number), reason: DeathReason::Expired };
        let death = entry(number, &fresh(number), &dead, None, START);
        world.history().note(if is_dead { death } else { delivered(number, START) });
    }
    world.written().await;
    let at = |ms| START.plus(Duration::from_millis(ms));
    let all = HistoryFilter::default;
    type Fits = fn(u32) -> bool;
    let filters: [(HistoryFilter, Fits); 8] = [
        (all(), |_| true),
        (HistoryFilter { webhook: Some(webhook(3)), ..all() }, |n| n % 4 == 3),
        (HistoryFilter { event: Some(event(7).id), ..all() }, |n| n == 7),
        (HistoryFilter { kind: EventType::new("mention").ok(), ..all() }, |n| n.is_multiple_of(10)),
        (HistoryFilter { state: Some(DeliveryState::Dead), ..all() }, |n| n % 5 == 0),
        (HistoryFilter { state: Some(DeliveryState::Delivered), webhook: Some(webhook(1)), ..all() }, |n| {
            n % 5 != 0 && n % 4 == 1
        }),
        (HistoryFilter { since: Some(at(5)), until: Some(at(9)), ..all() }, |n| (5..9).contains(&(n / 3))),
        (
            HistoryFilter {
                state: Some(DeliveryState::Dead),
                kind: EventType::new("note").ok(),
                until: Some(at(9)),
                ..all()
            },
            |n| n % 5 == 0 && !n.is_multiple_of(10) && n / 3 < 9,
        ),
    ];
    for (filter, fits) in filters {
        let mut listed: Vec<DeliveryId> = world.list(filter.clone()).await.into_iter().map(|kept| kept.id).collect();
        let mut expected: Vec<DeliveryId> = (0..60).filter(|number| fits(*number)).map(id).collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn what_has_not_changed_for_longer_than_it_is_kept_goes_with_its_attempts() {
    let world = World::keeping(HistoryPolicy { age: DAY, ..policy() });
    world.history().note(delivered(1, START));
    world.history().note(delivered(2, START));
    world.history().note(failed(2, &Delivery { generation: 1, ..fresh(2) }).0);
    world.written().await;
    world.clock.advance(DAY);
    let (changed, _) = failed(2, &Delivery { generation: 1, attempts: 1, ..fresh(2) });
    world.history().note(Entry { changed_at: world.clock.now(), ..changed });
    world.written().await;
    world.clock.advance(Duration::from_secs(60));

    // A restart looks at age at once.
    let world = World { history: None, ..world };
    let again = HistoryPolicy { age: DAY, ..policy() };
    let history = History::open(&world.path(), again, world.clock.clone(), world.telemetry.clone()).expect("opens");
    let world = World { history: Some(history), ..world };

    world.until("the old one goes", async || world.metric("hikyaku_history_pruned_total") == 1).await;
    assert_eq!(world.reader.show(&id(1)).await.expect("read"), None);
    assert_eq!(world.show(2).await.1.len(), 3);
    assert_eq!(world.metric("hikyaku_history_attempts"), 3);
}

#[tokio::test]
async fn while_it_is_written_it_stays_within_its_count() {
    let world = World::keeping(HistoryPolicy { count_max: 1000, ..policy() });
    for number in 0..10_000_u32 {
        world.history().note(delivered(number, START.plus(Duration::from_millis(number.into()))));
        if number % 2500 == 0 {
            world.written().await;
            let count: u64 =
                world.stranger().query_row("SELECT count(*) FROM deliveries", [], |row| row.get(0)).expect("counted");
            assert!(count <= 1000 + 2500, "{count}");
        }
    }
    world.written().await;
    world.until("the rest goes", async || world.metric("hikyaku_history_deliveries") == 1000).await;

    let kept = world.list(HistoryFilter::default()).await;
    assert_eq!((kept.len(), &kept[0].id), (1000, &id(9999)), "the newest stay");
    let attempts: u64 =
        world.stranger().query_row("SELECT count(*) FROM attempts", [], |row| row.get(0)).expect("counted");
    assert_eq!(attempts, 1000);
}

#[tokio::test]
async fn while_another_holds_the_file_nothing_waits_and_it_is_written_afterwards() {
    let world = World::new();
    world.written().await;
    let stranger = world.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    for number in 0..100 {
        world.history().note(delivered(number, START));
    }
    let error = world.history().flush().await.expect_err("locked");
    assert!(error.to_string().contains("did not do what was asked"), "{error}");
    assert_eq!(world.metric("hikyaku_record_dropped_total"), 0);

    stranger.execute_batch("ROLLBACK").expect("free");

    world.until("it is written", async || world.list(HistoryFilter::default()).await.len() == 100).await;
    assert_eq!(world.metric("hikyaku_record_dropped_total"), 0);
}

#[tokio::test]
async fn what_memory_has_no_room_for_is_missing_and_counted_and_what_comes_later_is_kept() {
    let world = World::new();
    world.written().await;
    let stranger = world.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let large = |number| {
        let mut entry = delivered(number, START);
        entry.attempt.as_mut().expect("made").response = "x".repeat(2048);
        entry
    };
    let mut noted = 0;
    while world.metric("hikyaku_record_dropped_total") == 0 {
        (0..500).for_each(|more| world.history().note(large(noted + more)));
        noted += 500;
        assert!((noted as usize) < 2 * WAITING_BYTES_MAX / 2048, "it is bounded");
    }
    let missing = world.metric("hikyaku_record_dropped_total");
    stranger.execute_batch("ROLLBACK").expect("free");
    world
        .until("all that was kept is written", async || {
            world.history().flush().await.is_ok() && world.metric("hikyaku_history_deliveries") > 0
        })
        .await;
    world.history().note(delivered(1_000_000, START));
    world.written().await;

    let count: u64 =
        world.stranger().query_row("SELECT count(*) FROM deliveries", [], |row| row.get(0)).expect("counted");
    assert_eq!(count, u64::from(noted) - missing + 1);
    assert_eq!(world.metric("hikyaku_record_dropped_total"), missing);
}

#[tokio::test]
async fn a_file_that_is_away_at_the_start_or_later_is_made_when_it_can_be() {
    let world = World::new();
    world.history().note(delivered(1, START));
    world.written().await;
    std::fs::rename(world.path(), world.folder.path().join("gone.db")).expect("moved");
    for companion in ["history.db-wal", "history.db-shm"] {
        let _there_may_be_none = std::fs::remove_file(world.folder.path().join(companion));
    }
    std::fs::create_dir(world.path()).expect("a folder in its place");
    world.history().note(delivered(2, START));
    world.history().flush().await.expect_err("it is a folder");
    let again = History::open(&world.path(), policy(), world.clock.clone(), world.telemetry.clone());
    let again = again.expect("it starts all the same");
    again.note(delivered(3, START));
    std::fs::remove_dir(world.path()).expect("removed");

    world
        .until("both write to the new file", async || {
            world.reader.list(&HistoryFilter::default(), 10, None).await.is_ok_and(|page| page.deliveries.len() == 2)
        })
        .await;
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_with_both_versions() {
    let world = World::new();
    world.written().await;
    world.stranger().execute_batch("UPDATE hikyaku_schema SET version = 7").expect("newer");

    let refused = History::open(&world.path(), policy(), world.clock.clone(), world.telemetry.clone());

    let words = crate::telemetry::chain(&refused.expect_err("newer"));
    assert!(words.contains("schema 7") && words.contains("knows 1"), "{words}");
    let reader = HistoryReader::of(&world.path());
    let words = crate::telemetry::chain(&reader.list(&HistoryFilter::default(), 1, None).await.expect_err("newer"));
    assert!(words.contains("schema 7") && words.contains("knows 1"), "{words}");
}

#[tokio::test]
async fn where_nobody_has_written_a_history_that_is_told_and_no_file_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.db");

    let error = HistoryReader::of(&path).show(&id(1)).await.expect_err("none");

    assert!(error.to_string().contains("there is no history in"), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_told_and_hides_no_other() {
    let world = World::new();
    (1..=3).for_each(|number| world.history().note(delivered(number, START)));
    world.written().await;
    let sql = "UPDATE deliveries SET state = 'asleep' WHERE event_id = 'event2'";
    world.stranger().execute_batch(sql).expect("damaged");

    let page = world.reader.list(&HistoryFilter::default(), 10, None).await.expect("read");

    assert_eq!(page.deliveries.len(), 2);
    assert_eq!(page.problems.len(), 1);
    assert!(page.problems[0].contains("state: \"asleep\" is unknown here"), "{:?}", page.problems);
    let error = world.reader.show(&id(2)).await.expect_err("damaged").to_string();
    assert!(error.starts_with("the delivery msg_") && error.contains("asleep"), "{error}");
}

#[tokio::test]
async fn what_is_noted_before_the_end_is_written_at_the_end() {
    let mut world = World::new();
    world.history().note(delivered(1, START));
    let history = world.history.take().expect("open");
    history.close().await;
    drop(history);

    assert_eq!(world.show(1).await.0.state, DeliveryState::Delivered);
    assert_eq!(world.metric("hikyaku_record_dropped_total"), 0);
}

#[tokio::test]
async fn at_the_end_what_cannot_be_written_is_counted_and_holds_up_nobody() {
    let mut world = World::new();
    world.written().await;
    let stranger = world.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    world.history().note(delivered(1, START));
    world.history().note(delivered(2, START));
    let history = world.history.take().expect("open");
    let began = Instant::now();

    history.close().await;

    assert!(began.elapsed() < LONGEST / 2, "{:?}", began.elapsed());
    assert_eq!(world.metric("hikyaku_record_dropped_total"), 2);
}

/// Fills the file with a million deliveries of 1,000 webhooks, 1 in 1,000 dead, each with an attempt, as a month might.
const MILLION: &str = "
    WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000000)
    INSERT INTO deliveries SELECT n, printf('msg_%032d', n), printf('e%d', n / 4), iif(n % 500 = 0, 'mention', 'note'), 'u1',
        'default', printf('wh%d', n % 1000), 1774960496789 + n / 3, 0, 1, 0, iif(n % 1000 = 7, 'dead', 'delivered'),
        iif(n % 1000 = 7, 'refused', NULL), 1774960496789 + n / 3, NULL FROM n;
    INSERT INTO attempts SELECT number, 0, 1, accepted_at, 1500, 'delivered', 200, '', 'ok', 'here/1' FROM deliveries;
    UPDATE history_rows SET deliveries = 1000000, attempts = 1000000;
    UPDATE deliveries SET delivery_id = replace(replace(replace(replace(delivery_id, '0', 'a'), '1', 'b'), '8', 'c'), '9', 'd');
";

/// How long a page of a million may take.
const PAGE_MAX: Duration = Duration::from_millis(50);

#[tokio::test]
#[ignore = "a measurement of a minute, for a machine that has nothing else to do"]
async fn a_page_of_a_million_is_there_within_50_ms_at_any_depth_and_for_any_filter() {
    let world = World::new();
    world.written().await;
    world.stranger().execute_batch(MILLION).expect("filled");
    let (dead, delivered) = (Some(DeliveryState::Dead), Some(DeliveryState::Delivered));
    let (one, mention) = (WebhookId::new("wh7").ok(), EventType::new("mention").ok());
    let all = HistoryFilter::default;
    let filters = [
        ("no filter", all()),
        ("a webhook", HistoryFilter { webhook: one.clone(), ..all() }),
        ("a type of few", HistoryFilter { kind: mention.clone(), ..all() }),
        ("delivered", HistoryFilter { state: delivered, ..all() }),
        ("dead", HistoryFilter { state: dead, ..all() }),
        ("of two filters few in many", HistoryFilter { state: delivered, kind: mention, ..all() }),
        ("of one event", HistoryFilter { state: delivered, event: EventId::new("e9").ok(), ..all() }),
        (
            "of two filters none, both of few",
            HistoryFilter { state: dead, webhook: WebhookId::new("wh8").ok(), ..all() },
        ),
    ];
    for (name, filter) in filters {
        for depth in [0, 1, 50, 99] {
            let number = 1_000_000 - depth * 10_000;
            let after = HistoryCursor { accepted_at: START.as_millis() + number / 3, number };
            let mut times = Vec::new();
            let mut found = 0;
            for _ in 0..9 {
                let began = Instant::now();
                found = world.reader.list(&filter, 100, Some(after)).await.expect("read").deliveries.len();
                times.push(began.elapsed());
            }
            times.sort();
            println!("{name}, {depth} % deep: {found} found, {:?} (slowest of 9: {:?})", times[4], times[8]);
            assert!(times[4] < PAGE_MAX, "{name}: {:?}", times[4]);
        }
    }
    let bytes = std::fs::metadata(world.path()).expect("there").len();
    println!("the file has {} MiB", bytes >> 20);
}
