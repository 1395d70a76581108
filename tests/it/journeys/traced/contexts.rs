//! Which trace something belongs to, by every way in and out.

use serde_json::json;

use super::{SPAN, TRACE, attribute, traceparent};
use crate::support::collector::Collector;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event};

#[tokio::test]
async fn what_is_put_back_to_work_begins_a_trace_of_its_own_that_the_deliverys_id_finds() {
    let (collector, receiver) = (Collector::start().await, Receiver::start(Behaviour::Answer(400)).await);
    let hook = declared("hook", &receiver.url("/"), "note");
    let home = Home::new(&format!("{}{hook}", collector.settings()));
    let program = home.serve().await;
    assert_eq!(program.post(event("note", "e1")).await.0, 200);
    let dead = collector.until("process dead", 1).await.remove(0);
    program.metric_is("hikyaku_dead_letters", 1.0).await;

    receiver.behave(Behaviour::Answer(200));
    home.cli(&["dead", "replay", "--all"]).await.ok();

    let replayed = collector.until("process delay", 1).await.remove(0);
    assert_eq!(replayed["parent"], "");
    assert_ne!(replayed["trace"], dead["trace"]);
    let told = |name| (attribute(&replayed, name).clone(), attribute(&dead, name).clone());
    let (of_replayed, of_dead) = told("hikyaku.delivery.id");
    assert_eq!(of_replayed, of_dead);
    assert_eq!(told("hikyaku.delivery.generation"), (json!(1), json!(0)));
    program.stop().await;
}

#[tokio::test]
async fn receivers_are_told_the_trace_where_the_settings_say_so_and_the_collector_the_token() {
    let (collector, receiver) = (Collector::start().await, Receiver::start(Behaviour::Answer(200)).await);
    let hook = declared("hook", &receiver.url("/"), "note");
    let more =
        "traces.send_traceparent = true\ntraces.headers = \"authorization=Bearer%20hunter2\"\nlog.level = \"debug\"\n";
    let home = Home::new(&format!("{more}{}{hook}", collector.settings()));
    let program = home.serve().await;
    let asked = program.producer().header("traceparent", traceparent()).body(event("note", "e1"));
    assert_eq!(asked.send().await.expect("an answer").status().as_u16(), 200);

    let attempt = collector.until("POST", 1).await.remove(0);
    let expected = format!("00-{TRACE}-{}-01", attempt["span"].as_str().expect("a text"));
    assert_eq!(receiver.book().arrived[0].header("traceparent"), expected);
    assert_eq!(attempt["authorization"], "Bearer hunter2");
    let said = program.said();
    let line = said.lines().find(|line| line.contains("delivered")).expect("a line");
    assert!(line.contains(TRACE), "a delivery's lines name its trace: {line}");
    assert!(!said.contains("hunter2"), "{said}");
    program.stop().await;
}

#[tokio::test]
async fn a_trace_that_is_not_recorded_elsewhere_is_not_here_and_one_that_begins_here_is_by_the_ratio() {
    let (collector, receiver) = (Collector::start().await, Receiver::start(Behaviour::Answer(200)).await);
    let hook = declared("hook", &receiver.url("/"), "note");
    let more = "traces.sample_ratio = 0\ntraces.send_traceparent = true\n";
    let home = Home::new(&format!("{more}{}{hook}", collector.settings()));
    let program = home.serve().await;
    let unrecorded = format!("00-{TRACE}-{SPAN}-00");
    let asked = program.producer().header("traceparent", &unrecorded).body(event("note", "e1"));
    assert_eq!(asked.send().await.expect("an answer").status().as_u16(), 200);
    assert_eq!(program.post(event("note", "e2")).await.0, 200);
    let asked = program.producer().header("traceparent", traceparent()).body(event("note", "e3"));
    assert_eq!(asked.send().await.expect("an answer").status().as_u16(), 200);

    collector.until("POST", 1).await;
    receiver.until_distinct(3).await;
    program.stop().await;
    let recorded = collector.spans().clone();
    assert!(recorded.iter().all(|span| span["trace"] == TRACE), "{recorded:#?}");
    assert_eq!(collector.named("POST").len(), 1);
    let told: Vec<String> =
        receiver.book().arrived.iter().map(|arrived| arrived.header("traceparent").to_owned()).collect();
    assert!(told.contains(&unrecorded), "who comes after is told that it is not recorded: {told:?}");
}

#[tokio::test]
async fn what_is_published_by_command_belongs_to_the_trace_of_the_environment() {
    let collector = Collector::start().await;
    let home = Home::new(&collector.settings());
    home.write("events", &event("note", "e1"));
    let parent = traceparent();
    home.shell(&format!("TRACEPARENT={parent} exec \"$HIKYAKU\" publish events")).await.ok();
    let (command, published) =
        (collector.until("hikyaku publish", 1).await.remove(0), collector.until("publish work", 1).await.remove(0));
    assert_eq!((&command["trace"], &command["parent"]), (&json!(TRACE), &json!(SPAN)));
    assert_eq!(published["parent"], command["span"]);

    let program = home.serve().await;
    let taken = collector.until("process work", 1).await.remove(0);
    assert_eq!((&taken["trace"], &taken["parent"]), (&json!(TRACE), &published["span"]), "the file has kept it");
    program.stop().await;
}

#[tokio::test]
async fn what_misskey_sends_is_traced_from_its_door_and_who_is_not_let_in_leaves_nothing() {
    let collector = Collector::start().await;
    let secret = "[[misskey.ingest]]\nsecret = \"right-secret-of-a-webhook\"\nscope = \"any\"\n";
    let home = Home::new(&format!("{}{secret}", collector.settings()));
    let program = home.serve().await;
    let ask = async |secret: &str| {
        let url = format!("{}/ingest/misskey", program.address);
        let body = r#"{"hookId":"h","userId":"u1","eventId":"e1","createdAt":5,"type":"note","body":{}}"#;
        let asked = program.asking(reqwest::Method::POST, &url).header("x-misskey-hook-secret", secret).body(body);
        asked.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(ask("wrong").await, 401);
    assert_eq!(
        program.request().bearer_auth("wrong").body(event("note", "e2")).send().await.expect("an answer").status(),
        401
    );
    assert_eq!(ask("right-secret-of-a-webhook").await, 204);

    let taken = collector.until("process work", 1).await.remove(0);
    let door = collector.until("POST /ingest/misskey", 1).await.remove(0);
    let published = collector.until("publish work", 1).await.remove(0);
    assert_eq!((&published["parent"], &taken["parent"]), (&door["span"], &published["span"]));
    program.stop().await;
    let all = collector.spans().clone();
    assert!(all.iter().all(|span| span["trace"] == door["trace"]), "{all:#?}");
}
