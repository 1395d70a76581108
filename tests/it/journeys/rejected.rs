//! What is published to RabbitMQ and is no event: put away with its reason and its bytes, listed, put back, deleted.

use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use serde_json::{Value, json};

use crate::support::amqp::{Queues, Stranger, delivery_headers, headers, number, text};
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event, until};

/// A program on queues of its own, whose receiver gets `note`, and a producer.
struct World {
    queues: Queues,
    home: Home,
    receiver: Receiver,
    stranger: Stranger,
}

impl World {
    async fn new() -> Self {
        let queues = Queues::own().await;
        let receiver = Receiver::start(Behaviour::Answer(200)).await;
        let home = Home::new(&format!("{}{}", queues.settings(), declared("hook", &receiver.url("/"), "note")));
        let stranger = Stranger::connect(&queues.url).await;
        Self { queues, home, receiver, stranger }
    }

    async fn publish(&self, exchange: &str, body: &[u8], properties: BasicProperties) {
        self.stranger.publish(&self.queues.name(exchange), "note", body, properties).await;
    }

    async fn list(&self) -> Vec<Value> {
        let listed = self.home.cli(&["rejected", "list", "--limit", "100000", "--json"]).await.json();
        listed.as_array().expect("an array").clone()
    }

    /// Waits until `count` messages lie in `rejected`, and lists them.
    async fn until_rejected(&self, count: u32) -> Vec<Value> {
        let queue = self.queues.name("rejected");
        let there = async || (self.stranger.depth(&queue).await == Some(count)).then_some(());
        until(&format!("{count} messages are put away"), there).await;
        self.list().await
    }
}

fn plain() -> BasicProperties {
    BasicProperties::default()
}

fn good(id: &str) -> Vec<u8> {
    event("note", id).into_bytes()
}

/// The one whose body is `body`.
fn find<'a>(list: &'a [Value], body: &[u8]) -> &'a Value {
    let is_it = |message: &&Value| match &message["body"] {
        Value::String(text) => text.as_bytes() == body,
        _ => message["bodyBase64"] == json!(data_encoding::BASE64.encode(body)),
    };
    list.iter().find(is_it).unwrap_or_else(|| panic!("{:.80?} is not listed", String::from_utf8_lossy(body)))
}

#[tokio::test]
async fn each_message_that_is_none_is_put_away_with_its_reason_and_bytes_and_good_ones_flow() {
    let world = World::new().await;
    let program = world.home.serve().await;
    let with_id = |id: &str| plain().with_message_id(id.into());
    let number_of_digits = format!("{{\"type\":\"note\",\"body\":{{}},\"createdAt\":{}}}", "1".repeat(300_000));
    let long = "x".repeat(129);
    let large = event("note", &"x".repeat(20 << 20));
    let on_work: Vec<(&[u8], BasicProperties, &str)> = vec![
        (br#"{"body":{"n":1}}"#, plain(), "`type` is missing"),
        (b"\xff\xfe no text", plain(), "not JSON"),
        (b"", with_id("empty"), "not JSON"),
        (b"\x1f\x8b gzip", plain().with_content_encoding("gzip".into()), "its `content_encoding` is \"gzip\""),
        (br#"{"type":"note","body":[]}"#, plain(), "`body` must be an object"),
        (br#"{"type":7,"body":{}}"#, plain(), "`type` must be a string"),
        (br#"{"type":"note","body":{},"n":1}"#, with_id(&long), "`message_id` is not allowed"),
        (br#"{"type":"note","body":{},"n":2}"#, with_id("a\nb"), "`message_id` is not allowed"),
        (number_of_digits.as_bytes(), plain(), "`createdAt` is not allowed"),
        (large.as_bytes(), plain(), "1056768 are allowed"),
    ];
    for (number, (body, properties, _)) in on_work.iter().enumerate() {
        world.publish("events", body, properties.clone()).await;
        world.publish("events", &good(&format!("good{number}")), plain()).await;
    }
    let newer = delivery_headers(&[("x-hikyaku-version", number(2))]);
    let on_retry: Vec<(Vec<u8>, BasicProperties, &str)> = vec![
        (good("r1"), plain(), "x-hikyaku-version is missing"),
        (good("r2"), newer, "a newer one put it here"),
        (
            good("r3"),
            delivery_headers(&[("x-hikyaku-attempts", text("1"))]),
            "x-hikyaku-attempts must be a whole number",
        ),
        (good("r4"), delivery_headers(&[("x-hikyaku-attempts", number(-1))]), "x-hikyaku-attempts is out of range"),
        (good("r5"), delivery_headers(&[("x-hikyaku-webhook", text(""))]), "x-hikyaku-webhook is not allowed"),
        (b"nonsense".to_vec(), delivery_headers(&[]), "not JSON"),
    ];
    for (body, properties, _) in &on_retry {
        world.publish("due", body, properties.clone()).await;
    }
    world.publish("delay", b"no bucket", plain()).await;

    let list = world.until_rejected(17).await;
    for (body, _, words) in &on_work {
        let found = find(&list, body);
        let reason = found["reason"].as_str().expect("a reason");
        assert!(reason.contains(words) && reason.len() <= 512, "{words:?}: {reason}");
        assert_eq!(found["from"], world.queues.name("work"));
    }
    for (body, _, words) in &on_retry {
        let found = find(&list, body);
        assert!(found["reason"].as_str().expect("a reason").contains(words), "{words:?}: {found}");
        assert_eq!(found["from"], world.queues.name("retry"));
    }
    let found = find(&list, b"no bucket");
    assert!(found["reason"].as_str().expect("a reason").contains("no queue is bound"), "{found}");
    assert_eq!(found["from"], world.queues.name("delay"));
    assert_eq!(find(&list, b"")["messageId"], "empty");
    assert_eq!(find(&list, b"\x1f\x8b gzip")["contentEncoding"], "gzip");
    assert!(list.iter().all(|message| message["routingKey"] == "note"), "{list:#?}");

    world.receiver.until_distinct(on_work.len()).await;
    assert_eq!(world.receiver.book().arrived.len(), on_work.len(), "nothing else was delivered");
    program.metric_is("hikyaku_messages_rejected_total", 16.0).await;
    program.metric_is("hikyaku_queue_depth{queue=\"rejected\"}", 17.0).await;
    let table = world.home.cli(&["rejected", "list", "--from", "work"]).await.ok();
    assert_eq!(table.lines().count(), 1 + on_work.len(), "{table}");
    assert!(table.lines().all(|line| !line.contains(char::is_control)), "{table}");
    for command in ["rejected", "dead", "deliveries"] {
        for none in ["0", "-1"] {
            world.home.cli(&[command, "list", "--limit", none]).await.failed(2, &["--limit", none]);
        }
    }
    let two = world.home.cli(&["rejected", "list", "--limit", "2"]).await;
    assert!(two.stderr.contains("15 more were not looked at"), "{two:#?}");
    assert_eq!(two.ok().lines().count(), 3);
    program.stop().await;
}

#[tokio::test]
async fn what_a_producer_may_set_does_no_harm() {
    let world = World::new().await;
    let program = world.home.serve().await;
    let odd = headers(&[
        ("x-death", text("no list")),
        ("CC", AMQPValue::FieldArray(vec![text("other")].into())),
        ("BCC", AMQPValue::FieldArray(vec![text("another")].into())),
        ("x-hikyaku-version", text("one")),
        ("x-hikyaku-webhook", number(7)),
        ("x-hikyaku-accepted-at", number(1)),
        ("x-hikyaku-attempts", number(1_000_000)),
        ("x-delivery-count", text("many")),
    ]);
    // Not persistent, with a priority, and a time in nanoseconds.
    let odd = odd.with_delivery_mode(1).with_priority(9).with_timestamp(1_774_960_496_789_000_000);
    world.receiver.behave(Behaviour::Answer(503));
    world.publish("events", br#"{"type":"note","eventId":"e","body":{}}"#, odd).await;
    world.receiver.until("the first attempt", |book| book.arrived.len() == 1).await;
    program.metric_is("hikyaku_queue_depth{queue=\"delay\"}", 1.0).await;
    assert!(program.metric("hikyaku_oldest_waiting_seconds").await < 3600.0, "1970 is not believed");
    world.receiver.behave(Behaviour::Answer(200));
    world.receiver.until("the retry, which was read back", |book| book.arrived.len() == 2).await;
    let body: Value = serde_json::from_slice(&world.receiver.book().arrived[1].body).expect("JSON");
    assert_eq!(body["createdAt"], 1_774_960_496_789_i64);
    assert_eq!(world.list().await, [] as [Value; 0]);
    program.stop().await;
}

#[tokio::test]
async fn what_rabbitmq_gives_up_itself_is_listed_and_goes_back() {
    let world = World::new().await;
    // Nobody works, so an `expiration` runs out.
    assert_eq!(world.list().await, [] as [Value; 0]);
    let forged = [
        ("x-hikyaku-rejected-from", text(&world.queues.name("retry"))),
        ("x-hikyaku-rejected-because", text("forged")),
        ("x-hikyaku-version", number(1)),
        ("x-hikyaku-webhook", text("victim")),
    ];
    let properties = headers(&forged).with_expiration("1".into()).with_message_id("m".into());
    let properties = properties.with_content_type("application/json".into()).with_timestamp(1_700_000_000);
    let body = br#"{ "type":"note", "body":{"n":1e400} }"#;
    world.publish("events", body, properties).await;
    let list = world.until_rejected(1).await;
    assert_eq!(list[0]["from"], world.queues.name("work"));
    assert!(list[0]["reason"].as_str().expect("a reason").contains("`expiration`"), "{list:?}");
    assert!(list[0]["rejectedAt"].is_string(), "{list:?}");

    let heard = world.stranger.listen(&world.queues.name("events")).await;
    let told = world.home.cli(&["rejected", "requeue", "--id", "m"]).await.ok();
    assert_eq!(told, "1 rejected message put back\n");
    let again = world.stranger.take(&heard).await.expect("it was published where producers publish");
    assert_eq!((again.data.as_slice(), again.routing_key.as_str()), (&body[..], "note"));
    let kept = again.properties;
    assert_eq!(kept.message_id().as_ref().map(|id| id.as_str()), Some("m"));
    assert_eq!(kept.content_type().as_ref().map(|kind| kind.as_str()), Some("application/json"));
    assert_eq!((kept.timestamp(), kept.delivery_mode()), (&Some(1_700_000_000), &Some(2)));
    assert_eq!(kept.expiration(), &None);
    assert!(kept.headers().as_ref().is_none_or(|headers| headers.inner().is_empty()), "{:?}", kept.headers());

    let program = world.home.serve().await;
    world.receiver.until_distinct(1).await;
    assert_eq!(world.list().await, [] as [Value; 0]);
    program.stop().await;
}

#[tokio::test]
async fn only_what_can_be_read_now_goes_back_and_deliveries_keep_their_headers() {
    let world = World::new().await;
    let program = world.home.serve().await;
    let newer = delivery_headers(&[("x-hikyaku-version", number(2))]).with_message_id("newer".into());
    world.publish("due", &good("newer"), newer).await;
    // A delivery whose exchange had no bucket for it, and a producer's event that went there.
    let lost = delivery_headers(&[("x-hikyaku-attempts", number(3))]);
    world.publish("delay", &good("lost"), lost).await;
    world.publish("delay", &good("astray"), plain()).await;
    world.publish("events", b"nonsense", plain()).await;
    // As a worker puts away what it was given too often.
    let poison = headers(&[
        ("x-hikyaku-rejected-because", text("poison: it has been delivered 50 times and was never settled")),
        ("x-hikyaku-rejected-from", text(&world.queues.name("work"))),
    ]);
    world.publish("rejected", &good("poison"), poison).await;
    world.until_rejected(5).await;

    let dry = world.home.cli(&["rejected", "requeue", "--reason", "NEWER", "--dry-run"]).await.ok();
    assert_eq!(dry, "1 rejected message would be put back\n");
    let ran = world.home.cli(&["rejected", "requeue", "--all"]).await;
    assert!(ran.stderr.contains("2 rejected messages would be rejected again and stay"), "{ran:#?}");
    assert_eq!(ran.ok(), "3 rejected messages put back\n");
    world.receiver.until_distinct(3).await;
    {
        let book = world.receiver.book();
        let attempt = |id: &str| {
            let is_it = |arrived: &&crate::support::journey_receiver::Arrived| {
                String::from_utf8_lossy(&arrived.body).contains(&format!("\"eventId\":\"{id}\""))
            };
            book.arrived.iter().find(is_it).map(|arrived| arrived.header("x-hikyaku-attempt").to_owned())
        };
        assert_eq!(attempt("lost").as_deref(), Some("4"), "a delivery goes on where it was");
        assert_eq!(attempt("astray").as_deref(), Some("1"));
        assert_eq!(attempt("poison").as_deref(), Some("1"));
    }
    let left = world.until_rejected(2).await;
    let newer = find(&left, &good("newer"));
    assert_eq!((&newer["messageId"], &newer["from"]), (&json!("newer"), &json!(world.queues.name("retry"))));
    let kept = loop {
        let message = world.stranger.take(&world.queues.name("rejected")).await.expect("it is there");
        if message.data == good("newer") {
            break message.properties.headers().clone().expect("headers");
        }
    };
    assert_eq!(kept.inner().get("x-hikyaku-webhook"), Some(&text("hook")), "a newer version can still deliver it");
    program.stop().await;
}

#[tokio::test]
async fn what_is_chosen_is_deleted_and_the_rest_stays_in_its_order() {
    let world = World::new().await;
    world.list().await;
    for n in 0..2000 {
        let from = if n % 4 == 0 { "retry" } else { "work" };
        let why = headers(&[
            ("x-hikyaku-rejected-because", text(&format!("reason {}", n % 5))),
            ("x-hikyaku-rejected-from", text(&world.queues.name(from))),
        ]);
        world.publish("rejected", format!("body {n}").as_bytes(), why.with_message_id(n.to_string().into())).await;
    }
    for command in ["requeue", "purge"] {
        world.home.cli(&["rejected", command]).await.failed(2, &["--reason", "--all"]);
        world.home.cli(&["rejected", command, "--all", "--id", "x"]).await.failed(2, &["not both"]);
        let none = world.home.cli(&["rejected", command, "--id", "absent"]).await.ok();
        assert!(none.starts_with("0 rejected messages"), "{none}");
        let dry = world.home.cli(&["rejected", command, "--all", "--dry-run"]).await.ok();
        assert!(dry.starts_with("2000 rejected messages would be"), "{dry}");
    }
    let purged = world.home.cli(&["rejected", "purge", "--from", "retry", "--reason", "Reason 3"]).await.ok();
    assert_eq!(purged, "100 rejected messages deleted\n");
    let shown_id = world.list().await[0]["id"].as_str().expect("an id").to_owned();
    let purged = world.home.cli(&["rejected", "purge", "--id", "1", "--id", &shown_id]).await.ok();
    assert_eq!(purged, "2 rejected messages deleted\n");
    let left = world.list().await;
    let expected: Vec<Value> =
        (2..2000).filter(|n| n % 4 != 0 || n % 5 != 3).map(|n| json!(format!("body {n}"))).collect();
    let left: Vec<Value> = left.iter().map(|message| message["body"].clone()).collect();
    let first_wrong = left.iter().zip(&expected).find(|(left, expected)| left != expected);
    assert_eq!((first_wrong, left.len()), (None, expected.len()));
    assert_eq!(world.home.cli(&["rejected", "purge", "--all"]).await.ok(), "1898 rejected messages deleted\n");
    assert_eq!(world.list().await, [] as [Value; 0]);
}

#[tokio::test]
async fn ten_thousand_bad_messages_among_good_ones_are_put_away_and_the_good_ones_flow() {
    let world = World::new().await;
    let program = world.home.serve().await;
    let began = Instant::now();
    for batch in 0..100 {
        let world = &world;
        let sent = (0..101).map(|n| async move {
            let body = if n == 100 { good(&format!("good{batch}")) } else { format!("bad {batch} {n}").into_bytes() };
            world.publish("events", &body, plain()).await;
        });
        futures_util::future::join_all(sent).await;
    }
    world.receiver.until_distinct(100).await;
    let queue = world.queues.name("rejected");
    let all = async || (world.stranger.depth(&queue).await == Some(10_000)).then_some(());
    until("10,000 messages are put away", all).await;
    assert!(began.elapsed() < Duration::from_secs(120));
    assert_eq!(world.receiver.book().arrived.len(), 100);
    let purged = world.home.cli(&["rejected", "purge", "--reason", "not JSON"]).await.ok();
    assert_eq!(purged, "10000 rejected messages deleted\n");
    program.stop().await;
}

#[tokio::test]
async fn a_file_as_queue_has_nothing_rejected_and_says_so() {
    let home = Home::new("");
    for command in [&["list"][..], &["list", "--json"], &["requeue", "--all"], &["purge", "--all"]] {
        let command: Vec<&str> = ["rejected"].into_iter().chain(command.iter().copied()).collect();
        home.cli(&command).await.failed(2, &["no queue of rejected messages", "queue.db", "amqp://"]);
    }
    assert!(!home.path("queue.db").exists(), "asking makes no file");
}

#[tokio::test]
async fn without_a_broker_the_commands_fail_in_words() {
    // Port 1 of this machine: nobody listens.
    let home = Home::new("queue.url = \"amqp://u:hunter2@127.0.0.1:1\"\nqueue.single_host = true\n");
    for command in [&["list"][..], &["requeue", "--all"], &["purge", "--reason", "x"]] {
        let command: Vec<&str> = ["rejected"].into_iter().chain(command.iter().copied()).collect();
        let ways_out = ["queue.url names the right host, port and user", "`hikyaku check`"];
        let words = home
            .cli(&command)
            .await
            .failed(1, &["RabbitMQ cannot be reached", "127.0.0.1:1", ways_out[0], ways_out[1]]);
        assert!(!words.contains("hunter2"), "{words}");
    }
}

#[tokio::test]
async fn a_requeue_that_is_killed_loses_nothing_and_done_again_beside_a_worker_does_the_rest() {
    const MESSAGES: u32 = 5000;
    /// What may be published and not yet acknowledged: under way, and one window of what is confirmed.
    const REPEATS_MAX: usize = 256 + 32;
    let world = World::new().await;
    let program = world.home.serve().await;
    for batch in 0..10 {
        let world = &world;
        let sent = (0..MESSAGES / 10).map(|n| async move {
            let why = headers(&[
                ("x-hikyaku-rejected-because", text("poison")),
                ("x-hikyaku-rejected-from", text(&world.queues.name("work"))),
            ]);
            world.publish("rejected", &good(&format!("e{batch}-{n}")), why).await;
        });
        futures_util::future::join_all(sent).await;
    }
    let requeue = world.home.start(&["rejected", "requeue", "--all"]);
    world.receiver.until_distinct(300).await;
    requeue.kill().await;
    let queue = world.queues.name("rejected");
    let left = world.stranger.depth(&queue).await;
    assert!(left > Some(0), "it was killed amid its work");
    // What the killed one held is there again when RabbitMQ has noticed, which may be during the next or after it.
    let rest = async || {
        let told = world.home.cli(&["rejected", "requeue", "--reason", "poison"]).await.ok();
        assert!(told.ends_with(" put back\n"), "{told}");
        program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
        (world.receiver.book().distinct() == MESSAGES as usize).then_some(())
    };
    until("the rest is put back and delivered", rest).await;
    let repeats = world.receiver.book().repeats();
    assert!(repeats <= REPEATS_MAX, "{repeats} repeats");
    program.stop().await;
}
