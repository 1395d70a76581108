//! What operators do to deliveries, over PostgreSQL: delete, send again, forget; and by `--url` what takes longer than one request may.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::json;

use super::LONG;
use crate::journeys::dead_letters::{until_dead, what_is_for_a_deleted_webhook_stays};
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::{Server, database, programs, sql};
use crate::support::program::{Home, Program, TOKEN, declared, events, until};

const USER: &str = "9ks5o1w5k3x90001";
/// Seconds for which each step of many is held up: three of them are longer than a request works (20 s), and each is shorter than a
/// statement may take (10 s).
const HELD_S: u32 = 7;
/// Letters of which a replay needs four steps of 500.
const LETTERS: usize = 2000;

/// Waits until the history has so many deliveries in `state`.
async fn until_in_history(program: &Program, state: &str, count: usize) {
    until(&format!("{count} are {state}"), async || {
        let (_, page) = program.operate(&format!("/v1/deliveries?state={state}&limit=1000")).await;
        (page["deliveries"].as_array()?.len() == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_deleted_deliveries_sent_again_and_a_person_is_forgotten_in_postgresql() {
    let (well, bad) = (Receiver::start(Behaviour::Answer(200)).await, Receiver::start(Behaviour::Answer(404)).await);
    let store = database();
    let webhooks = declared("well", &well.url("/"), "note") + &declared("bad", &bad.url("/"), "mention");
    let home = Home::new(&format!("store.url = \"{store}\"\n{webhooks}"));
    for receiver in [&well, &bad] {
        home.cli(&["webhooks", "create", "--user", USER, "--on", "note", "--url", &receiver.url("/own")]).await.ok();
    }
    let program = home.serve().await;
    let own = format!("{{\"type\":\"note\",\"userId\":\"{USER}\",\"eventId\":\"own\",\"body\":{{}}}}\n");
    assert_eq!(program.post(events("note", "n", 10) + &events("mention", "m", 10) + &own).await.0, 200);
    until_dead(&home, 11).await;
    until_in_history(&program, "delivered", 11).await;
    until_in_history(&program, "dead", 11).await;

    let (status, purged) = program.operate_by(Method::POST, "/v1/dead-letters/purge?event=m3", "").await;
    assert_eq!((status, &purged["count"], &purged["done"]), (200, &json!(1), &json!(true)), "{purged}");
    assert_eq!(
        home.cli(&["dead", "purge", "--webhook", "bad", "--since", "1h"]).await.ok(),
        "9 dead letters deleted\n"
    );
    until_dead(&home, 1).await;

    let told = home.cli(&["deliveries", "resend", "--webhook", "well", "--since", "2h"]).await.ok();
    assert_eq!(told, "10 deliveries sent again; 0 on their way already; 0 without a body\n");
    well.until("each arrives again", |book| book.repeats() == 10).await;
    until("the history has it", async || {
        let (_, page) = program.operate("/v1/deliveries?state=delivered&webhook=well&limit=1000").await;
        (page["deliveries"].as_array()?.iter().filter(|delivery| delivery["generation"] == 1).count() == 10)
            .then_some(())
    })
    .await;
    let (status, again) = program.operate_by(Method::POST, "/v1/deliveries/resend?webhook=well&event=n3", "").await;
    assert_eq!((status, &again["count"]), (200, &json!(1)), "{again}");
    well.until("that one arrives once more", |book| book.repeats() == 11).await;

    let told = home.cli(&["forget", "--user", USER, "--json"]).await.json();
    let kept = ["webhooks", "deliveries", "attempts", "bodies", "deadLetters"].map(|name| &told[name]);
    assert_eq!(kept, [&json!(2), &json!(2), &json!(2), &json!(1), &json!(1)], "{told}");
    for table in ["webhooks", "dead_letters"] {
        assert_eq!(sql(&store, &format!("SELECT count(*) FROM {table} WHERE user_id = '{USER}'")), "0", "{table}");
    }
    let (_, of_own) = program.operate("/v1/deliveries?event=own").await;
    assert_eq!(of_own["deliveries"], json!([]), "nothing of it is left");
    until_dead(&home, 0).await;
    program.stop().await;
}

#[tokio::test]
async fn what_is_for_a_deleted_webhook_stays_in_postgresql_too() {
    let server = Server::start();
    what_is_for_a_deleted_webhook_stays(&format!("store.url = \"{}\"\n", server.database())).await;
}

/// Holds up whatever is noted as put back to work in the store at `url`, each time anew, until it is told to end.
fn hold_up(url: &str, end: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (url, end) = (url.to_owned(), Arc::clone(end));
    let lock =
        format!("BEGIN; LOCK TABLE hikyaku.replays IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep({HELD_S}); COMMIT");
    std::thread::spawn(move || {
        while !end.load(Ordering::SeqCst) {
            let held = Command::new(programs().join("psql")).args(["-X", "-q", "-d", &url, "-c", &lock]).output();
            assert!(held.expect("psql").status.success());
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_request_does_not_finish_is_asked_for_again_until_all_is_done() {
    let receiver = Receiver::start(Behaviour::Answer(404)).await;
    let server = Server::start();
    let store = server.database();
    let home = Home::new(&format!("store.url = \"{store}\"\n{}", declared("hook", &receiver.url("/"), "note")));
    home.write("token", TOKEN);
    let program = home.serve().await;
    assert_eq!(program.post(events("note", "e", LETTERS)).await.0, 200);
    program.metric_is("hikyaku_dead_letters", 2000.0).await;
    until("all are in the history", async || {
        (program.metric("hikyaku_history_deliveries").await >= 2000.0).then_some(())
    })
    .await;
    receiver.behave(Behaviour::Answer(200));

    let end = Arc::new(AtomicBool::new(false));
    let held = hold_up(&store, &end);
    let locks =
        "SELECT count(*) FROM pg_locks WHERE relation = 'hikyaku.replays'::regclass AND mode = 'ShareRowExclusiveLock'";
    until("it is held up", async || (sql(&store, locks) != "0").then_some(())).await;
    let remote = ["--url", program.address.as_str(), "--token-file", "token"];
    let ran = home.cli(&[&["dead", "replay", "--all"], &remote[..]].concat()).await;
    assert!(ran.stderr.contains(" dead letters put back to work so far, "), "one request was enough: {ran:?}");
    assert_eq!(ran.ok(), format!("{LETTERS} dead letters put back to work\n"));
    end.store(true, Ordering::SeqCst);
    held.join().expect("held up");

    receiver.until_within(LONG, "each arrives again", |book| book.repeats() >= LETTERS).await;
    assert_eq!(receiver.book().repeats(), LETTERS, "and once");
    until("nothing is left", async || (program.metric("hikyaku_dead_letters").await == 0.0).then_some(())).await;
    program.stop().await;
}
