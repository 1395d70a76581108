//! One event's trace from its producer to its end, over RabbitMQ and two processes.

use std::time::Duration;

use lapin::types::AMQPValue;
use serde_json::{Value, json};

use super::{SPAN, TRACE, attribute, traceparent};
use crate::support::amqp::{Queues, Stranger, headers};
use crate::support::collector::Collector;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event};

#[tokio::test]
async fn an_event_that_fails_once_is_one_trace_from_its_producer_to_the_second_attempt() {
    let (collector, receiver) =
        (Collector::start().await, Receiver::start(Behaviour::FailFirst(503, Duration::ZERO)).await);
    let queues = Queues::own().await;
    let hook = declared("hook", &receiver.url("/a-secret?token=hunter2"), "note");
    let settings = format!("delivery.retry_schedule_s = [1]\n{}{}{hook}", collector.settings(), queues.settings());
    let home = Home::new(&settings);
    let (ingest, worker) = (home.serve_as("ingest").await, home.serve_as("worker").await);
    ingest.metric_is("hikyaku_broker_connected", 1.0).await;

    let asked = ingest.producer().header("traceparent", traceparent()).header("x-request-id", "mine");
    let answer = asked.body(event("note", "e1")).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);

    let attempts = collector.until("POST", 2).await;
    let again = collector.until("process delay", 1).await.remove(0);
    let settled = collector.until("settle", 2).await;
    let taken_in = collector.until("POST /v1/events", 1).await.remove(0);
    let published = collector.until("publish work", 1).await.remove(0);
    let fresh = collector.until("process work", 1).await.remove(0);
    let delivers = collector.until("deliver", 2).await;
    assert_eq!(taken_in["parent"], SPAN);
    assert_eq!(published["parent"], taken_in["span"]);
    for taken in [&fresh, &again] {
        assert_eq!(taken["parent"], published["span"], "whenever it is taken, it comes after what stored the event");
    }
    for ((attempt, deliver), (settle, taken)) in
        attempts.iter().zip(&delivers).zip(settled.iter().zip([&fresh, &again]))
    {
        assert_eq!((&attempt["parent"], &deliver["parent"]), (&deliver["span"], &taken["span"]));
        assert_eq!(settle["parent"], taken["span"]);
    }
    let all = collector.spans().clone();
    assert!(all.iter().all(|span| span["trace"] == TRACE && span["flags"] == 1), "{all:#?}");
    let kinds: Vec<&Value> = [&taken_in, &published, &fresh, &delivers[0], &attempts[0], &settled[0]]
        .map(|span| &span["kind"])
        .into_iter()
        .collect();
    assert_eq!(kinds, ["server", "producer", "consumer", "internal", "client", "client"]);

    assert_eq!(attribute(&taken_in, "hikyaku.request.id"), "mine");
    assert_eq!(attribute(&taken_in, "http.response.status_code"), 200);
    assert_eq!(attribute(&published, "messaging.system"), "rabbitmq");
    for span in [&published, &fresh, &again, &attempts[0]] {
        assert_eq!(attribute(span, "hikyaku.event.id"), "e1");
        assert_eq!(attribute(span, "hikyaku.event.type"), "note");
    }
    let told = |span: &Value| {
        ["http.response.status_code", "hikyaku.attempt.outcome", "hikyaku.delivery.attempt", "hikyaku.webhook.id"]
            .map(|name| attribute(span, name).clone())
    };
    assert_eq!(told(&attempts[0]), [json!(503), json!("server_error"), json!(1), json!("hook")]);
    assert_eq!(told(&attempts[1]), [json!(200), json!("delivered"), json!(2), json!("hook")]);
    assert_eq!((&attempts[0]["failed"], &attempts[1]["failed"]), (&json!(true), &json!(false)));
    let steps: Vec<&Value> = delivers.iter().map(|span| attribute(span, "hikyaku.delivery.step")).collect();
    assert_eq!(steps, ["retry", "delivered"]);
    let waited_ms = attribute(&again, "hikyaku.event.since_accepted_ms").as_i64().expect("a number");
    assert!(waited_ms >= 500, "the wait for the retry is to be seen: {waited_ms}");
    assert_eq!(taken_in["resource"]["service.name"], "hikyaku");
    assert_ne!(taken_in["resource"]["service.instance.id"], fresh["resource"]["service.instance.id"], "two processes");

    let text = serde_json::to_string(&all).expect("JSON");
    for secret in ["hunter2", "a-secret", "\"is\"", "a-token-for-journeys"] {
        assert!(!text.contains(secret), "{secret} is told: {text}");
    }
    for arrived in &receiver.book().arrived {
        assert_eq!(arrived.header("traceparent"), "", "receivers are strangers");
    }
    for program in [ingest, worker] {
        assert_eq!(program.metric("hikyaku_trace_spans_total{result=\"dropped\"}").await, 0.0);
        program.stop().await;
    }
}

#[tokio::test]
async fn an_event_of_an_amqp_producer_that_is_given_up_is_in_its_trace_to_the_dead_letter() {
    let (collector, receiver) = (Collector::start().await, Receiver::start(Behaviour::Answer(400)).await);
    let queues = Queues::own().await;
    let hook = declared("hook", &receiver.url("/"), "note");
    let home = Home::new(&format!("{}{}{hook}", collector.settings(), queues.settings()));
    let program = home.serve().await;
    program.metric_is("hikyaku_broker_connected", 1.0).await;

    let producer = Stranger::connect(&queues.url).await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    for (id, header) in [("e1", text(&traceparent())), ("e2", text("nonsense")), ("e3", AMQPValue::LongLongInt(5))] {
        let properties = headers(&[("traceparent", header)]);
        producer.publish(&queues.name("events"), "note", event("note", id).as_bytes(), properties).await;
    }

    let dead = collector.until("process dead", 3).await;
    let of = |id: &str| dead.iter().find(|span| attribute(span, "hikyaku.event.id") == id).expect("a dead letter");
    assert_eq!((&of("e1")["trace"], &of("e1")["parent"]), (&json!(TRACE), &json!(SPAN)));
    for id in ["e2", "e3"] {
        // What is no context is nobody's fault: its trace begins where the event is taken.
        let taken = collector.named("process work");
        let taken = taken.iter().find(|span| attribute(span, "hikyaku.event.id") == id).expect("it was taken");
        assert_eq!(taken["parent"], "");
        assert_eq!((&of(id)["trace"], &of(id)["parent"]), (&taken["trace"], &taken["span"]));
        assert_ne!(taken["trace"], TRACE);
    }
    program.stop().await;
}

#[tokio::test]
async fn what_waits_from_the_start_has_its_step_right_after_what_stored_it() {
    let (collector, receiver) = (Collector::start().await, Receiver::start(Behaviour::Answer(503)).await);
    let hook = declared("hook", &receiver.url("/"), "note");
    let settings = format!("delivery.breaker_failures = 1\n{}{hook}", collector.settings());
    let home = Home::new(&settings);
    let program = home.serve().await;
    // The first fails, upon which the webhook is left alone, and the second is to see whether it is well.
    for (number, id) in ["e1", "e2"].iter().enumerate() {
        assert_eq!(program.post(event("note", id)).await.0, 200);
        collector.until("deliver", number + 1).await;
    }

    assert_eq!(program.post(event("note", "e3")).await.0, 200);

    let delivers = collector.until("deliver", 3).await;
    let published = collector.until("publish work", 3).await;
    assert_eq!((&delivers[2]["parent"], &delivers[2]["trace"]), (&published[2]["span"], &published[2]["trace"]));
    let told = ["hikyaku.delivery.step", "hikyaku.delivery.reason", "hikyaku.webhook.id"];
    assert_eq!(told.map(|name| attribute(&delivers[2], name)), ["parked", "breaker_open", "hook"]);
    assert_eq!(collector.named("process work").len(), 2, "no worker has taken it");
    program.stop().await;
}
