//! What Misskey sends comes out at a receiver as Misskey would have sent it there.

use super::{OTHER, SECRET, USER, arrivals, ingest, server};
use crate::support::misskey_wire::{Agent, field, sample, samples};

#[tokio::test]
async fn every_sample_comes_out_as_misskey_sent_it_but_for_the_hooks_id() {
    let (receiver, _home, program) = server(&ingest("default", SECRET, "any")).await;
    // As measured on the wire of a real client.
    assert_eq!(sample("user/note.json").len(), 1303);
    let names = ["user", "system", "test-send"].map(samples).concat();
    assert!(names.len() > 30, "{names:?}");
    let mut agent = Agent::connect(&program.address).await;
    for name in &names {
        let answer = agent.post("/ingest/misskey", SECRET, &sample(name)).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{name}: {answer:?}");
    }

    receiver.until_distinct(names.len()).await;
    for name in &names {
        let sent = sample(name);
        let hook = match field(&sent, "userId").as_str() {
            "" => "system",
            OTHER => "other",
            _ => "user",
        };
        let expected = sent.replacen(&field(&sent, "hookId"), hook, 1);
        let book = receiver.book();
        let arrived = book.arrived.iter().find(|arrived| arrived.event_id() == field(&sent, "eventId"));
        let arrived = arrived.unwrap_or_else(|| panic!("{name} did not arrive"));
        assert_eq!(String::from_utf8_lossy(&arrived.body), expected, "{name}");
        assert_eq!(arrived.header("x-misskey-hook-id"), hook);
    }
    let accepted = format!("hikyaku_events_accepted_total{{source=\"default\"}} {}", names.len());
    let (_, metrics) = program.get("/metrics").await;
    assert!(metrics.contains(&accepted), "{accepted}");
    program.stop().await;
}

#[tokio::test]
async fn a_body_keeps_what_no_parser_would_write_again() {
    let (receiver, _home, program) = server(&ingest("default", SECRET, "any")).await;
    let body = r#"{"note":{"text":"cut \ud83d","z":1.0,"a":12345678901234567890123,"big":1e400,"z":2}}"#;
    let event = |hook: &str, more: &str| {
        format!(
            r#"{{"server":"https://misskey.example","hookId":"{hook}","userId":"{USER}","eventId":"e1","createdAt":1774960496789,"type":"note","body":{body}{more}}}"#
        )
    };
    let mut agent = Agent::connect(&program.address).await;
    let sent = event("ajbar5w5k3x90008", r#","fork":{"\ud800":[1e999]}"#);
    assert_eq!(agent.post("/ingest/misskey", SECRET, &sent).await.status, 204);
    receiver.until_distinct(1).await;
    assert_eq!(String::from_utf8_lossy(&receiver.book().arrived[0].body), event("user", ""), "without the unknown key");
    program.stop().await;
}

#[tokio::test]
async fn what_older_and_forked_servers_leave_out_or_add_does_not_keep_an_event_out() {
    let (receiver, _home, program) = server(&ingest("default", SECRET, "any")).await;
    let events = [
        // Without server and createdAt; a type of a fork's own; a system event whose userId is null; without ids.
        format!(r#"{{"hookId":"h","userId":"{USER}","eventId":"e1","type":"note","body":{{}}}}"#),
        format!(r#"{{"userId":"{USER}","eventId":"e2","type":"edited","body":{{}},"extra":[1]}}"#),
        r#"{"userId":null,"eventId":"e3","type":"abuseReport","body":{}}"#.to_owned(),
        r#"{"hookId":7,"type":"userCreated","body":{}}"#.to_owned(),
    ];
    let mut agent = Agent::connect(&program.address).await;
    for event in &events {
        let answer = agent.post("/ingest/misskey", SECRET, event).await;
        assert_eq!(answer.status, 204, "{event}: {answer:?}");
    }
    receiver.until_distinct(4).await;
    let arrived = arrivals(&receiver);
    assert_eq!(arrived.iter().map(|(path, _)| path.as_str()).filter(|path| *path == "/user").count(), 2, "{arrived:?}");
    assert!(arrived.contains(&("/system".to_owned(), "e3".to_owned())), "{arrived:?}");
    let made = arrived.iter().find(|(_, id)| id.len() == 36).expect("a UUID is made for an event without an id");
    assert_eq!(made.0, "/system");
    program.stop().await;
}
