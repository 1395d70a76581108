//! Receivers that mean harm: each costs the one slot it has for at most the deadline, and nobody else anything.

use std::time::{Duration, Instant};

use hikyaku::decide::{Step, Wait};
use hikyaku::model::{DeathReason, LastFailure, Outcome};

use crate::support::hostile::{Harm, Hostile, never_accepting};
use crate::support::receiver::Answer;
use crate::support::world::{HookSetup, Setup, USER, World, webhook};

/// For those whose attempts end at it.
const DEADLINE: Duration = Duration::from_millis(500);
/// For those whose attempts must end before it, also on a busy machine.
const FAR_DEADLINE: Duration = Duration::from_secs(30);
/// What a busy machine may need besides.
const BESIDES: Duration = Duration::from_secs(15);

/// How the attempts at a hostile receiver went.
struct Harmed {
    world: World,
    first: Step,
}

impl Harmed {
    /// The failure for which the delivery is tried again.
    #[track_caller]
    fn failure(&self) -> &LastFailure {
        match &self.first {
            Step::Later { delivery, wait: Wait::Retry, .. } if delivery.attempts == 1 => {
                delivery.last.as_ref().expect("a failure")
            }
            step => panic!("no first retry: {step:?}"),
        }
    }
}

/// Sends two events with `body` to `url`, whose webhook has one slot, and ten to a healthy webhook, and sees to it that the
/// slot is free again in time for the second, and that the healthy one has all of its events before that.
async fn harmed_by(url: &str, body: &str, deadline: Duration) -> Harmed {
    let setup = Setup { held: false, timeout: deadline, slots_per_webhook: 1, patience: BESIDES, ..Setup::default() };
    let mut world = World::start(setup).await;
    let healthy = world.answering(&[Answer::Status(200)]).await;
    world.hook("hostile", url).await;
    world.hook_with("healthy", &healthy.url(), HookSetup { user: Some("u2"), ..HookSetup::default() }).await;
    let began = Instant::now();
    let json = format!(r#"{{"type":"note","userId":"{USER}","body":{body}}}"#);
    let events = [world.publish(&json).await, world.publish(&json).await];
    for _ in 0..10 {
        world.publish(r#"{"type":"note","userId":"u2","body":{}}"#).await;
    }
    world.steps(10, |told| told.webhook == webhook("healthy") && told.step == Step::Done).await;
    let first = world.step(&events[0], "hostile", 1).await;
    world.step(&events[1], "hostile", 1).await;
    assert!(began.elapsed() < (2 * deadline + BESIDES).min(FAR_DEADLINE), "{:?}", began.elapsed());
    Harmed { world, first }
}

/// As [`harmed_by`], with a small body and a receiver that does `harm`.
async fn harmed(harm: Harm) -> Harmed {
    let hostile = Hostile::start(harm).await;
    harmed_by(&hostile.url(), "{}", FAR_DEADLINE).await
}

/// What each of `harms` comes to, over one connection for each attempt; they are named for the message.
async fn all_fail_with(outcome: Outcome, harms: impl IntoIterator<Item = (&'static str, Harm)>) {
    let deadline = if outcome == Outcome::Timeout { DEADLINE } else { FAR_DEADLINE };
    for (name, harm) in harms {
        let hostile = Hostile::start(harm).await;
        let harmed = harmed_by(&hostile.url(), "{}", deadline).await;
        assert_eq!((harmed.failure().outcome, harmed.failure().status), (outcome, None), "{name}: {:?}", harmed.first);
        assert_eq!(hostile.connections(), 2, "{name}: attempts that nobody counts");
        harmed.world.finish().await;
    }
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[tokio::test]
async fn one_that_never_accepts_a_connection_costs_its_deadline() {
    let (address, _backlog) = never_accepting().await;
    let harmed = harmed_by(&format!("http://{address}/hook"), "{}", DEADLINE).await;
    assert_eq!(harmed.failure().outcome, Outcome::Timeout, "{:?}", harmed.first);
    harmed.world.finish().await;
}

#[tokio::test]
async fn one_that_never_shakes_hands_for_tls_costs_its_deadline() {
    let hostile = Hostile::start(Harm::Says(Vec::new())).await;
    let harmed = harmed_by(&hostile.tls_url(), "{}", DEADLINE).await;
    assert_eq!(harmed.failure().outcome, Outcome::Timeout, "{:?}", harmed.first);
    harmed.world.finish().await;
}

#[tokio::test]
async fn one_that_speaks_plainly_where_tls_is_expected_is_told_so() {
    let hostile = Hostile::start(Harm::SaysAndCloses(bytes("HTTP/1.1 400 Bad Request\r\n\r\n"))).await;
    let harmed = harmed_by(&hostile.tls_url(), "{}", FAR_DEADLINE).await;
    assert_eq!(harmed.failure().outcome, Outcome::Tls, "{:?}", harmed.first);
    harmed.world.finish().await;
}

#[tokio::test]
async fn one_that_lets_its_answer_drip_costs_its_deadline_wherever_it_drips() {
    let begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let drips = [
        ("the head, byte by byte", "HTTP/1.1 200 OK\r\nX-Long: ", "x"),
        ("interim answers", "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        ("chunks", begun, "1\r\nx\r\n"),
        ("a chunk's extension", &format!("{begun}1;"), "x"),
        ("trailers", &format!("{begun}0\r\nX-Long: "), "x"),
    ];
    let harm = |(name, first, again): (&'static str, &str, &str)| (name, Harm::Drips(bytes(first), bytes(again)));
    all_fail_with(Outcome::Timeout, drips.map(harm)).await;
}

#[tokio::test]
async fn one_that_takes_no_large_body_costs_its_deadline() {
    let hostile = Hostile::start(Harm::ReadsNoBody).await;
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 20));
    // More than loopback keeps on its way.
    let body = format!(r#"{{"a":{large}}}"#);
    let harmed = harmed_by(&hostile.url(), &body, DEADLINE).await;
    assert_eq!(harmed.failure().outcome, Outcome::Timeout, "{:?}", harmed.first);
    harmed.world.finish().await;
}

#[tokio::test]
async fn one_whose_head_or_framing_has_no_end_is_left_at_a_limit() {
    let begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let floods = [
        ("headers", "HTTP/1.1 200 OK\r\n", "X-Another: one\r\n"),
        ("one header", "HTTP/1.1 200 OK\r\nX-Long: ", "x"),
        ("the status line", "HTTP/1.1 200 ", "x"),
        ("a chunk's extension", &format!("{begun}1;"), "x"),
        ("trailers", &format!("{begun}0\r\n"), "X-Another: one\r\n"),
        ("interim answers", "", "HTTP/1.1 103 Early Hints\r\n\r\n"),
    ];
    let harm = |(name, first, again): (&'static str, &str, &str)| (name, Harm::Floods(bytes(first), bytes(again)));
    all_fail_with(Outcome::Connection, floods.map(harm)).await;
}

#[tokio::test]
async fn one_that_hangs_up_or_speaks_something_else_is_no_answer() {
    // RFC 9113 section 3.4: an HTTP/2 server begins with SETTINGS; and a GOAWAY.
    let http2 = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let length = "Content-Length: ";
    let harms = [
        ("reset at once", Harm::Resets),
        ("closed at once", Harm::SaysAndCloses(Vec::new())),
        ("HTTP/2 that nobody asked for", Harm::Says(http2)),
        ("HTTP/2's version in a status line", Harm::Says(bytes("HTTP/2 200 OK\r\n\r\n"))),
        ("no HTTP", Harm::Says(bytes("+OK ready\r\n"))),
        ("two lengths", Harm::Says(bytes(&format!("HTTP/1.1 200 OK\r\n{length}1\r\n{length}2\r\n\r\nxx")))),
        ("a negative length", Harm::Says(bytes(&format!("HTTP/1.1 200 OK\r\n{length}-1\r\n\r\n")))),
        ("a chunk of no size", Harm::Says(bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"))),
        (
            "a chunk of more than there are numbers",
            Harm::Says(bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n")),
        ),
    ];
    all_fail_with(Outcome::Connection, harms).await;
}

#[tokio::test]
async fn interim_answers_are_skipped_up_to_a_limit_and_beyond_it_the_connection_is_given_up() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let answer = "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let some = harmed(Harm::Says(bytes(&(interim.repeat(100) + answer)))).await;
    assert_eq!(some.failure().status, Some(500), "{:?}", some.first);
    some.world.finish().await;
    // No answer follows: what has come is all that there will be.
    let many = harmed(Harm::Says(bytes(&interim.repeat(101)))).await;
    assert_eq!(many.failure().outcome, Outcome::Connection, "{:?}", many.first);
    assert_eq!(many.failure().error, "more than 100 interim answers (1xx) and no answer");
    many.world.finish().await;
}

#[tokio::test]
async fn the_head_of_an_answer_may_have_64_kib_and_100_headers_and_not_twice_as_many() {
    let answer = |headers: String| bytes(&format!("HTTP/1.1 500 No\r\nContent-Length: 0\r\n{headers}\r\n"));
    let long = |kib: usize| format!("X-Long: {}\r\n", "x".repeat(kib * 1024));
    let many = |count: usize| "X-Another: one\r\n".repeat(count);
    for (headers, status, outcome) in [
        (long(63), Some(500), Outcome::ServerError),
        (long(129), None, Outcome::Connection),
        // One is the length.
        (many(99), Some(500), Outcome::ServerError),
        (many(199), None, Outcome::Connection),
    ] {
        let length = headers.len();
        let harmed = harmed(Harm::SaysAndCloses(answer(headers))).await;
        assert_eq!((harmed.failure().outcome, harmed.failure().status), (outcome, status), "{length}");
        harmed.world.finish().await;
    }
}

#[tokio::test]
async fn a_switch_to_another_protocol_is_not_followed() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
    let harmed = harmed(Harm::Says(bytes(switch))).await;
    assert_eq!(harmed.failure().status, Some(101), "{:?}", harmed.first);
    harmed.world.finish().await;
}

#[tokio::test]
async fn what_says_that_it_is_compressed_is_not_unpacked() {
    let answer =
        "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 11\r\n\r\nplain words";
    let harmed = harmed(Harm::Says(bytes(answer))).await;
    assert_eq!((harmed.failure().outcome, harmed.failure().status), (Outcome::ServerError, Some(500)));
    assert!(harmed.failure().error.contains("plain words"), "{:?}", harmed.first);
    harmed.world.finish().await;
}

#[tokio::test]
async fn a_gzip_bomb_is_left_as_it_is() {
    // 64 KiB of `x` in 96 bytes, and that 600 times: 38 MiB in 56 KiB.
    let member = [
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff, 0xed, 0xc1, 1, 1, 0, 0].as_slice(),
        &[0, 0x80, 0x90, 0xdb, 0xcd, 0xef, 8, 0x0a],
        &[0; 60],
        &[0, 0, 0, 0x6a, 0x9a, 0x58, 0xb4, 0x2c, 0, 0, 1, 0],
    ]
    .concat();
    assert_eq!(member.len(), 96);
    let bomb = member.repeat(600);
    let head = format!(
        "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    let harmed = harmed(Harm::Says([head.as_bytes(), &bomb].concat())).await;
    assert_eq!(harmed.failure().status, Some(500), "{:?}", harmed.first);
    let words = &harmed.failure().error;
    assert!(words.contains('\u{fffd}') && !words.contains("xx"), "{words:?}");
    harmed.world.finish().await;
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_read_counts() {
    let hostile =
        Hostile::start(Harm::Says(bytes("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")))
            .await;
    let body = format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 20));
    let harmed = harmed_by(&hostile.url(), &body, FAR_DEADLINE).await;
    assert!(matches!(harmed.first, Step::Dead { reason: DeathReason::Refused, .. }), "{:?}", harmed.first);
    harmed.world.finish().await;
}
