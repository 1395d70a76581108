//! `/v1/dead-letters`: looked at page by page, put back to work with a note of who did it, deleted; and mistakes that are named.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::dead_letters::until_dead;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, declared, events, until};

const EVENTS: usize = 25;

/// A server with a receiver that refuses and one that wants nothing more, and a dead letter for each of 25 events and each of
/// the two; of the second all but one are dead because it was deactivated.
struct Dead {
    refusing: Receiver,
    _gone: Receiver,
    home: Home,
    program: Program,
}

impl Dead {
    async fn new() -> Self {
        let refusing = Receiver::start(Behaviour::Answer(404)).await;
        let gone = Receiver::start(Behaviour::Answer(422)).await;
        let home =
            Home::new(&(declared("refusing", &refusing.url("/"), "note") + &declared("gone", &gone.url("/"), "note")));
        let program = home.serve().await;
        assert_eq!(program.post(events("note", "e", EVENTS)).await.0, 200);
        until_dead(&home, 2 * EVENTS).await;
        Self { refusing, _gone: gone, home, program }
    }

    /// The ids on all pages of `query`.
    async fn ids(&self, query: &str, limit: usize) -> Vec<String> {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, page) = self.program.operate(&format!("/v1/dead-letters?{query}limit={limit}{cursor}")).await;
            assert_eq!(status, 200, "{page}");
            let letters = page["deadLetters"].as_array().expect("letters");
            assert!(letters.len() <= limit, "{page}");
            ids.extend(letters.iter().map(|letter| letter["id"].as_str().expect("an id").to_owned()));
            let Some(next) = page["next"].as_str() else { return ids };
            cursor = format!("&cursor={next}");
        }
    }

    async fn one(&self) -> String {
        self.ids("webhook=refusing&event=e3&", 100).await.remove(0)
    }

    async fn by(&self, method: Method, path: &str) -> (u16, Value) {
        self.program.operate_by(method, path, "").await
    }
}

#[tokio::test]
async fn all_pages_together_have_each_letter_once_whatever_is_asked_and_the_command_line_says_the_same() {
    let dead = Dead::new().await;
    for (query, count) in [
        ("", 2 * EVENTS),
        ("webhook=refusing&", EVENTS),
        ("status=422&", EVENTS),
        ("status=500&", 0),
        ("event=e7&", 2),
        ("webhook=gone&status=422&type=note&reason=refused&", EVENTS),
        ("webhook=gone&status=404&", 0),
        ("since=1h&", 2 * EVENTS),
        ("until=1h&", 0),
    ] {
        let ids = dead.ids(query, 7).await;
        assert_eq!((ids.len(), ids.iter().collect::<HashSet<_>>().len()), (count, count), "{query}");
    }
    let (_, page) = dead.program.operate("/v1/dead-letters?status=404&event=e7").await;
    let printed = dead.home.cli(&["dead", "list", "--status", "404", "--event", "e7", "--json"]).await.json();
    assert_eq!(printed, page["deadLetters"]);
    assert_eq!(printed[0]["webhookId"], "refusing");
    dead.program.stop().await;
}

#[tokio::test]
async fn one_letter_is_shown_with_its_body_its_attempts_and_what_was_answered_last() {
    let dead = Dead::new().await;
    let id = dead.one().await;
    let shown = until("the history has its attempt", async || {
        let (status, shown) = dead.program.operate(&format!("/v1/dead-letters/{id}")).await;
        assert_eq!(status, 200, "{shown}");
        (!shown["attempts"].as_array().expect("attempts").is_empty()).then_some(shown)
    })
    .await;
    assert_eq!(shown["deadLetter"]["id"], id.as_str());
    assert_eq!(shown["deadLetter"]["body"], json!({"is": "e3"}));
    assert_eq!((&shown["attempts"][0]["status"], &shown["replays"]), (&json!(404), &json!([])));
    assert!(shown["lastResponse"].is_string(), "{shown}");
    let printed = dead.home.cli(&["dead", "show", &id, "--json"]).await.json();
    assert_eq!(printed, shown);

    let other = format!("msg_{}", "a".repeat(id.len() - 4));
    let (status, problem) = dead.program.operate(&format!("/v1/dead-letters/{other}")).await;
    assert!(status == 404 && problem["detail"].as_str().expect("words").contains("is not given up"), "{problem}");
    dead.program.stop().await;
}

#[tokio::test]
async fn a_letter_that_is_replayed_keeps_its_id_begins_its_next_generation_and_tells_who_did_it() {
    let dead = Dead::new().await;
    let id = dead.one().await;
    dead.refusing.behave(Behaviour::Answer(200));
    let path = format!("/v1/dead-letters/{id}/replay");
    let (status, replayed) = dead.by(Method::POST, &path).await;
    assert_eq!((status, &replayed["isNew"], &replayed["id"]), (200, &json!(true), &json!(id)), "{replayed}");
    let replay = &replayed["replayed"];
    assert_eq!((&replay["generation"], &replay["how"], &replay["by"]), (&json!(1), &json!("replay"), &json!("admin")));
    dead.refusing.until("the replay arrives", |book| book.repeats() == 1).await;
    assert_eq!(dead.refusing.book().arrived.last().expect("it").id(), id);

    let (status, again) = dead.by(Method::POST, &path).await;
    assert_eq!(
        (status, &again["isNew"], &again["replayed"]),
        (200, &json!(false), replay),
        "doing it again does nothing"
    );
    let delivered = until("the history has it delivered", async || {
        let (_, shown) = dead.program.operate(&format!("/v1/deliveries/{id}")).await;
        (shown["delivery"]["state"] == "delivered").then_some(shown)
    })
    .await;
    assert_eq!((&delivered["delivery"]["generation"], &delivered["replays"]), (&json!(1), &json!([replay])));
    let printed = dead.home.cli(&["deliveries", "show", &id]).await.ok();
    assert!(printed.contains("generation 1 began") && printed.contains("replay by admin"), "{printed}");
    assert_eq!(dead.ids("", 100).await.len(), 2 * EVENTS - 1);
    dead.program.stop().await;
}

#[tokio::test]
async fn many_are_replayed_or_deleted_by_filter_and_a_dry_run_only_counts_them() {
    let dead = Dead::new().await;
    dead.refusing.behave(Behaviour::Answer(200));
    let came = async |path: &str| {
        let (status, came) = dead.by(Method::POST, path).await;
        assert_eq!((status, &came["done"]), (200, &json!(true)), "{path}: {came}");
        usize::try_from(came["count"].as_u64().expect("a number")).expect("few")
    };
    for action in ["replay", "purge"] {
        let dry = came(&format!("/v1/dead-letters/{action}?status=404&dryRun=true")).await;
        assert_eq!((dry, dead.ids("", 100).await.len()), (EVENTS, 2 * EVENTS));
    }
    assert_eq!(came("/v1/dead-letters/replay?webhook=refusing&since=1h").await, EVENTS);
    dead.refusing.until("each arrives again", |book| book.repeats() == EVENTS).await;
    assert_eq!(came("/v1/dead-letters/replay?webhook=refusing&since=1h").await, 0);

    let id = dead.ids("", 100).await.remove(0);
    assert_eq!(dead.by(Method::DELETE, &format!("/v1/dead-letters/{id}")).await.0, 200);
    assert_eq!(dead.by(Method::DELETE, &format!("/v1/dead-letters/{id}")).await.0, 404);
    assert_eq!(came("/v1/dead-letters/purge?all=true").await, EVENTS - 1);
    assert_eq!(dead.ids("", 100).await, [] as [String; 0]);
    dead.program.metric_is("hikyaku_dead_letters", 0.0).await;
    dead.program.stop().await;
}

#[tokio::test]
async fn whoever_asks_for_nonsense_is_told_which_parameter_is_wrong() {
    let home = Home::new("");
    let program = home.serve().await;
    for (method, path, parameter) in [
        (Method::GET, "?limit=-1", "limit"),
        (Method::GET, "?limit=1000000", "limit"),
        (Method::GET, "?since=yesterday", "since"),
        (Method::GET, "?status=abc", "status"),
        (Method::GET, "?cursor=1774960496789", "cursor"),
        (Method::GET, "?cursor=-1.msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "cursor"),
        (Method::GET, "?webhok=wh1", "webhok"),
        (Method::GET, "/export?limit=5", "limit"),
        (Method::POST, "/replay", "all"),
        (Method::POST, "/replay?reason=bored", "reason"),
        (Method::POST, "/purge?all=true&webhook=wh1", "all"),
        (Method::POST, "/purge?all=true&dryrun=true", "dryrun"),
        (Method::POST, "/import?all=true", "all"),
    ] {
        let (status, problem) = program.operate_by(method, &format!("/v1/dead-letters{path}"), "").await;
        assert_eq!((status, &problem["errors"][0]["parameter"]), (400, &json!(parameter)), "{path}: {problem}");
    }
    for (method, path) in [
        (Method::GET, "/v1/dead-letters/nonsense"),
        (Method::GET, "/v1/dead-letters/%ff"),
        (Method::DELETE, "/v1/dead-letters/msg_x"),
        (Method::POST, "/v1/dead-letters/msg_x/replay"),
        (Method::GET, "/v1/deliveries/msg_x"),
        (Method::POST, "/v1/deliveries/msg_x/resend"),
        (Method::GET, "/v1/webhooks/a%20b"),
    ] {
        let (status, problem) = program.operate_by(method, path, "").await;
        assert_eq!((status, &problem["errors"][0]["parameter"]), (400, &json!("id")), "{path}: {problem}");
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1), "{problem}");
    }
    assert_eq!(program.operate_without_token("/v1/dead-letters").await.0, 401);
    program.stop().await;
}
