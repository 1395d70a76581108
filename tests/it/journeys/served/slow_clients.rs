//! Clients that hold connections: bounded in number and time, and others go on being served meanwhile.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{SECRET, server};
use crate::support::program::{PATIENCE, Program, TOKEN, event, events};
use crate::support::raw::{Raw, status};

/// How long a Misskey waits for an answer to its webhook.
const MISSKEYS_PATIENCE: Duration = Duration::from_secs(5);
/// Connections that are held at a time.
const CONNECTIONS_MAX: usize = 1024;

/// Lets this process have as many connections as it needs.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum.map(|most| most.min(8192)).or(Some(8192)), ..limit };
    if limit.current.is_some_and(|current| current < 8192) {
        setrlimit(Resource::Nofile, raised).expect("raised");
    }
}

/// A Misskey's webhook, as it comes on a connection of its own, is answered; tells how soon.
async fn served(program: &Program, id: &str) -> Duration {
    let began = Instant::now();
    let body = event("note", id);
    let head = format!(
        "POST /ingest/misskey HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-misskey-hook-secret: {SECRET}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = Raw::sending(program, head + &body).await.rest().await;
    assert_eq!(status(&answer), 204, "{answer}");
    began.elapsed()
}

/// Holds more connections than there may be, each of which has sent `idle`, and tells the longest that others waited meanwhile.
async fn waited_beside(program: &Program, idle: &str) -> Duration {
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX + 76 {
        held.push(Raw::sending(program, idle).await);
    }
    let mut longest = Duration::ZERO;
    for number in 0..5 {
        longest = longest.max(served(program, &format!("{}-{number}", idle.len())).await);
    }
    longest
}

#[tokio::test]
async fn ever_so_many_connections_that_send_no_whole_head_keep_nobody_waiting() {
    raise_file_limit();
    let (_home, program) = server("").await;
    for idle in
        ["", "POST /ingest/misskey HTTP/1.1\r\nhost: a\r\nx-misskey-hook-", "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"]
    {
        // Were they not closed for others, these would wait for the first of them to be given up, after 10 s. How fast it all goes
        // the machine decides, so one round of several is enough.
        let mut rounds = Vec::new();
        while rounds.last().is_none_or(|waited| *waited >= MISSKEYS_PATIENCE) {
            assert!(rounds.len() < 3, "beside idle connections that sent {idle:?}, others waited {rounds:?}");
            rounds.push(waited_beside(&program, idle).await);
        }
    }
    program.stop().await;
}

#[tokio::test]
async fn bodies_that_drip_are_given_up_in_time_and_others_are_served_meanwhile() {
    let (_home, program) = server("").await;
    let ways = [
        (format!("/ingest/misskey HTTP/1.1\r\nx-misskey-hook-secret: {SECRET}"), 503),
        ("/ingest/misskey HTTP/1.1".to_owned(), 401),
        ("/api/i/webhooks/list HTTP/1.1".to_owned(), 408),
        ("/v1/events HTTP/1.1".to_owned(), 401),
    ];
    let began = Instant::now();
    let drips = ways.iter().flat_map(|way| std::iter::repeat_n(way, 40)).map(async |(way, expected)| {
        let head = format!("POST {way}\r\nhost: a\r\ncontent-length: 60000\r\n\r\n");
        let mut raw = Raw::sending(&program, head).await;
        while !raw.has_something().await && raw.send(" ").await.is_ok() {}
        let answer = raw.rest().await;
        assert_eq!(status(&answer), *expected, "{way}: {answer}");
    });
    let others = async {
        for number in 0..10 {
            assert!(served(&program, &format!("e{number}")).await < PATIENCE / 2);
            assert_eq!(program.post(event("note", &format!("p{number}"))).await.0, 200);
        }
    };
    futures_util::future::join(join_all(drips), others).await;
    // The longest is the way to the API: 10 s for the body, and 5 s for what is left of it; more for a busy machine.
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    program.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_closed_and_the_others_are_served() {
    let (_home, program) = server("").await;
    let mut raw = Raw::to(&program).await;
    // Each answer has some kilobytes; so many requests, and their answers, that no buffer of the system holds them.
    let requests = b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    let flood = raw.flood(&requests);
    let others = async {
        for number in 0..10 {
            assert!(served(&program, &format!("e{number}")).await < PATIENCE / 2);
        }
    };
    futures_util::future::join(flood, others).await;
    program.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_as_long_as_its_answers_say_and_is_then_closed() {
    let (_home, program) = server("").await;
    let mut raw = Raw::sending(&program, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answered = Instant::now();
    assert!(raw.head().await.contains("\r\nkeep-alive: timeout=10\r\n"));
    assert_eq!(raw.rest().await, "ok\n");
    let kept = answered.elapsed();
    assert!(kept >= Duration::from_secs(9) && kept < PATIENCE, "{kept:?}");
    program.stop().await;
}

#[tokio::test]
async fn a_path_that_is_longer_than_documented_is_414_without_a_body() {
    let (_home, program) = server("").await;
    for (bytes, answered) in [(65_534, 200), (65_535, 414)] {
        let path = format!("/healthz?{}", "x".repeat(bytes - "/healthz?".len()));
        let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = Raw::sending(&program, head).await.rest().await;
        assert_eq!(status(&answer), answered, "{bytes}: {answer}");
        assert!(answered == 200 || answer.ends_with("\r\n\r\n"), "{answer}");
    }
    program.stop().await;
}

#[tokio::test]
async fn what_is_announced_too_large_is_refused_before_a_byte_of_it_is_sent() {
    let (_home, program) = server("").await;
    for (way, lengths) in [
        (format!("/ingest/misskey HTTP/1.1\r\nx-misskey-hook-secret: {SECRET}"), ["1048577", "18446744073709551615"]),
        (format!("/v1/events HTTP/1.1\r\nauthorization: Bearer {TOKEN}"), ["16777217", "18446744073709551615"]),
        ("/api/i/webhooks/list HTTP/1.1".to_owned(), ["65537", "9999999999999999999"]),
    ] {
        for length in lengths {
            let head = format!("POST {way}\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
            let answer = Raw::sending(&program, head).await.rest().await;
            assert!([413, 431].contains(&status(&answer)), "{way} {length}: {answer}");
        }
    }
    assert_eq!(program.post(events("note", "e", 3)).await.0, 200);
    program.stop().await;
}
