//! No request leaves for an address that policy forbids (promise 7), whatever the webhook's URL or its name's DNS server say.
//!
//! 127.0.0.1 and ::1 are the inside, where a trap listens that nobody may connect to. 127.0.0.2, which the settings of these
//! tests open, stands for an address that everyone can reach.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hikyaku::clock::SystemClock;
use hikyaku::decide::{Step, Wait};
use hikyaku::model::{DeathReason, Outcome};

use crate::support::dns::{Dns, Record, Zone, at};
use crate::support::receiver::{Answer, Receiver};
use crate::support::world::{Setup, World};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What listens inside.
struct Trap {
    listeners: Vec<TcpListener>,
    port: u16,
}

impl Trap {
    /// Listens on a port of 127.0.0.1, and on the same of ::1 where there is one.
    fn set() -> Self {
        let inside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = inside.local_addr().expect("bound").port();
        let listeners: Vec<TcpListener> =
            std::iter::once(inside).chain(TcpListener::bind((Ipv6Addr::LOCALHOST, port))).collect();
        for listener in &listeners {
            listener.set_nonblocking(true).expect("asked without waiting");
        }
        Self { listeners, port }
    }

    /// Checks that nobody has connected. Whoever did stands in the system's queue, accepted or not.
    #[track_caller]
    fn is_untouched(&self) {
        for listener in &self.listeners {
            let came = listener.accept().map(|(_, from)| from);
            assert_eq!(came.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock), "somebody came inside");
        }
    }

    /// Where a receiver outside has the same port.
    fn outside(&self) -> SocketAddr {
        (OUTSIDE, self.port).into()
    }
}

async fn world(zone: Zone) -> World {
    let names = Arc::new(Dns::start(zone).await);
    World::start(Setup { names, allowed: vec!["127.0.0.2/32".to_owned()], ..Setup::default() }).await
}

/// A receiver outside that gives these answers in turn, each the last of its connection.
async fn receiver(world: &mut World, trap: &Trap, answers: &'static [u16]) -> Arc<Receiver> {
    let script = move |before: usize, _: &_| {
        Answer::With(answers[before.min(answers.len() - 1)], "Connection", "close".to_owned())
    };
    world.receiver_at(trap.outside(), script).await
}

/// Checks that a delivery was given up at its first attempt, and that the words say so; tells them.
#[track_caller]
fn forbidden(step: &Step) -> String {
    let Step::Dead { delivery, reason: DeathReason::Forbidden } = step else { panic!("not forbidden: {step:?}") };
    let last = delivery.last.clone().expect("a failure");
    assert_eq!((last.outcome, last.status, delivery.attempts), (Outcome::Forbidden, None, 1));
    last.error
}

#[tokio::test]
async fn a_name_that_leads_inside_gets_no_connection_and_a_dead_letter_however_its_dns_says_it() {
    let tricks: [(&'static str, Vec<Record>); 12] = [
        ("a.test", vec![at("127.0.0.1")]),
        ("any.test", vec![at("0.0.0.0")]),
        ("metadata.test", vec![at("169.254.169.254")]),
        ("aaaa.test", vec![at("::1")]),
        ("unspecified.test", vec![at("::")]),
        ("mapped.test", vec![at("::ffff:127.0.0.1")]),
        ("compatible.test", vec![at("::127.0.0.1")]),
        ("nat64.test", vec![at("64:ff9b::7f00:1")]),
        ("6to4.test", vec![at("2002:7f00:1::1")]),
        ("alias.test", vec![Record::Alias("alias-of-alias.test")]),
        ("many.test", vec![at("127.0.0.1"), at("10.0.0.1"), at("::1"), at("fe80::1"), at("::ffff:127.0.0.1")]),
        ("outside-by-nat64.test", vec![at("64:ff9b::127.0.0.2")]),
    ];
    let trap = Trap::set();
    let mut zone: Zone = tricks.iter().map(|(name, records)| (*name, vec![records.clone()])).collect();
    zone.insert("alias-of-alias.test", vec![vec![Record::Alias("a.test")]]);
    let mut world = world(zone).await;
    for (name, _) in &tricks {
        world.hook(name, &format!("http://{name}:{}/hook", trap.port)).await;
    }

    let event = world.note().await;

    for (name, _) in &tricks {
        let words = forbidden(&world.step(&event, name, 1).await);
        let begins = format!("the name {name:?} leads to an address that is not allowed. ");
        assert!(words.starts_with(&begins) && words.contains(" is forbidden: "), "{words}");
    }
    trap.is_untouched();
    let letters = world.letters(12).await;
    assert!(letters.iter().all(|letter| letter.reason == DeathReason::Forbidden), "{letters:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_name_that_leads_outside_first_and_inside_next_gets_no_connection_there() {
    let trap = Trap::set();
    let turns = vec![vec![at("127.0.0.2")], vec![at("127.0.0.1")], vec![at("127.0.0.2")]];
    let mut world = world(Zone::from([("rebinding.test", turns)])).await;
    let outside = receiver(&mut world, &trap, &[503]).await;
    world.hook("wh1", &format!("http://rebinding.test:{}/hook", trap.port)).await;

    let event = world.note().await;
    let first = world.step(&event, "wh1", 1).await;
    assert!(matches!(first, Step::Later { wait: Wait::Retry, .. }), "{first:?}");
    world.pass(Duration::from_secs(5));
    let second = world.step(&event, "wh1", 2).await;

    let Step::Dead { delivery, reason: DeathReason::Forbidden } = second else { panic!("{second:?}") };
    assert_eq!(delivery.attempts, 2);
    assert_eq!(outside.count(), 1);
    trap.is_untouched();
    world.finish().await;
}

#[tokio::test]
async fn of_addresses_inside_and_outside_only_those_outside_are_connected_to() {
    let trap = Trap::set();
    let both = vec![at("127.0.0.1"), at("::1"), at("127.0.0.2"), at("::ffff:127.0.0.1")];
    let zone = Zone::from([("alias.test", vec![vec![Record::Alias("both.test")]]), ("both.test", vec![both])]);
    let mut world = world(zone).await;
    world.hook("wh1", &format!("http://alias.test:{}/hook", trap.port)).await;

    // Nobody is outside: that is a connection that fails, and no reason to look inside.
    let event = world.note().await;
    let first = world.step(&event, "wh1", 1).await;
    let Step::Later { delivery, wait: Wait::Retry, .. } = first else { panic!("{first:?}") };
    assert_eq!(delivery.last.expect("a failure").outcome, Outcome::Connection);
    trap.is_untouched();

    let outside = receiver(&mut world, &trap, &[200]).await;
    world.pass(Duration::from_secs(5));
    assert_eq!(world.step(&event, "wh1", 2).await, Step::Done);
    assert_eq!(outside.count(), 1);
    trap.is_untouched();
    world.finish().await;
}

#[tokio::test]
async fn an_address_inside_gets_no_connection_in_whatever_notation_it_stands_in_the_url() {
    let trap = Trap::set();
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.01",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "１２７。０。０。１",
        "0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
    ];
    let mut world = world(Zone::new()).await;
    for (number, host) in hosts.iter().enumerate() {
        world.hook(&format!("wh{number}"), &format!("http://{host}:{}/hook", trap.port)).await;
    }

    let event = world.note().await;

    for (number, host) in hosts.iter().enumerate() {
        let words = forbidden(&world.step(&event, &format!("wh{number}"), 1).await);
        assert!(words.contains(" is forbidden: "), "{host}: {words}");
    }
    trap.is_untouched();
    world.letters(16).await;
    world.finish().await;
}

#[tokio::test]
async fn an_address_that_is_opened_for_one_port_is_open_there_alone_by_address_and_by_name() {
    let names = Arc::new(Dns::start(Zone::from([("inside.test", vec![vec![at("127.0.0.3")]])])).await);
    let address = Ipv4Addr::new(127, 0, 0, 3);
    // Before the world, which is told its port.
    let open = Receiver::start_at((address, 0).into(), SystemClock::shared(), |_, _| Answer::Status(200)).await;
    let (open_port, open) = (open.address.port(), Arc::new(open));
    let allowed = vec![format!("{address}/32:{open_port}")];
    let mut world = World::start(Setup { names, allowed, ..Setup::default() }).await;
    world.knows(&open);
    let closed = TcpListener::bind((address, 0)).expect("a port");
    let closed_port = closed.local_addr().expect("bound").port();
    closed.set_nonblocking(true).expect("asked without waiting");
    for (id, host, port) in [
        ("open-address", "127.0.0.3", open_port),
        ("open-name", "inside.test", open_port),
        ("closed-address", "127.0.0.3", closed_port),
        ("closed-name", "inside.test", closed_port),
    ] {
        world.hook(id, &format!("http://{host}:{port}/hook")).await;
    }

    let event = world.note().await;

    for id in ["closed-address", "closed-name"] {
        let words = forbidden(&world.step(&event, id, 1).await);
        assert!(words.ends_with("opens it for other ports only"), "{words}");
    }
    for id in ["open-address", "open-name"] {
        assert_eq!(world.step(&event, id, 1).await, Step::Done);
    }
    let ids: HashSet<String> = open.got().iter().map(|got| got.header("x-misskey-hook-id").to_owned()).collect();
    assert_eq!(ids, HashSet::from(["open-address".to_owned(), "open-name".to_owned()]));
    assert!(closed.accept().is_err(), "somebody came to a port that is not open");
    world.letters(2).await;
    world.finish().await;
}

#[tokio::test]
async fn what_the_system_itself_knows_as_a_name_of_this_machine_is_forbidden_too() {
    let trap = Trap::set();
    let mut world = World::start(Setup { allowed: Vec::new(), ..Setup::default() }).await;
    world.hook("wh1", &format!("http://localhost:{}/hook", trap.port)).await;

    let event = world.note().await;

    let words = forbidden(&world.step(&event, "wh1", 1).await);
    assert!(words.contains("loopback") && words.contains("delivery.allowed_private_networks = ["), "{words}");
    trap.is_untouched();
    world.finish().await;
}

#[tokio::test]
async fn a_receiver_that_redirects_to_a_metadata_address_gets_one_request_and_its_delivery_is_dead() {
    let trap = Trap::set();
    // To the address of clouds' metadata; inside, where one can see whether somebody came; and where all may go.
    for to in [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        format!("http://127.0.0.1:{}/latest/meta-data/", trap.port),
        format!("http://127.0.0.2:{}/elsewhere", trap.port),
    ] {
        let mut world = world(Zone::new()).await;
        let elsewhere = receiver(&mut world, &trap, &[200]).await;
        let statuses = [301, 302, 303, 307, 308];
        let mut redirecting = Vec::new();
        for status in statuses {
            let answer = Answer::With(status, "Location", to.clone());
            let receiver = world.receiver_at((OUTSIDE, 0).into(), move |_, _| answer.clone()).await;
            world.hook(&status.to_string(), &receiver.url()).await;
            redirecting.push(receiver);
        }

        let event = world.note().await;

        for status in statuses {
            let step = world.step(&event, &status.to_string(), 1).await;
            let Step::Dead { delivery, reason: DeathReason::Refused } = step else { panic!("{status}: {step:?}") };
            // The receiver's own answer, and not one of whoever may answer there on this machine.
            assert_eq!(delivery.last.expect("a failure").status, Some(status), "{to}");
        }
        let letters = world.letters(statuses.len() as u64).await;
        assert!(letters.iter().all(|letter| letter.reason == DeathReason::Refused), "{letters:?}");
        assert!(redirecting.iter().all(|receiver| receiver.count() == 1), "{to}: not one request each");
        assert_eq!(elsewhere.count(), 0, "{to}: it was followed");
        trap.is_untouched();
        world.finish().await;
    }
}
