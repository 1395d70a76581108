//! Deliveries through real proxies: what they are told, that the guard holds, and whose failure is whose.
//!
//! 127.0.0.2, which the settings of these tests open, stands for an address that everyone can reach; 127.0.0.1 is the inside,
//! where the proxies stand.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use hikyaku::decide::{Step, Wait};
use hikyaku::model::{DeathReason, Outcome, ParkReason};
use hikyaku::outbound::{Authorities, Outlet, Proxy as ProxySetting};

use crate::support::broker::Authority;
use crate::support::dns::{Dns, Zone, at};
use crate::support::proxies::{Kind, Proxy};
use crate::support::receiver::Answer;
use crate::support::tls_receiver::TlsReceiver;
use crate::support::world::{HookSetup, Setup, World, nobody};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn outlet(url: &str) -> Outlet {
    Outlet { proxy: Some(ProxySetting::parse(url).expect("a proxy")), ..Outlet::default() }
}

/// A world whose requests leave by `outlet`, in which `zone` says what names lead to.
async fn world(outlet: Outlet, zone: Zone) -> World {
    let names = Arc::new(Dns::start(zone).await);
    World::start(Setup { names, outlet, allowed: vec!["127.0.0.2/32".to_owned()], ..Setup::default() }).await
}

fn zone(name: &'static str, turns: &[&[&str]]) -> Zone {
    HashMap::from([(name, turns.iter().map(|turn| turn.iter().map(|address| at(address)).collect()).collect())])
}

/// Checks that a delivery waits without an attempt spent, because of us.
#[track_caller]
fn assert_ours(step: &Step) {
    match step {
        Step::Later { delivery, wait: Wait::Park(ParkReason::OurFault), .. } => assert_eq!(delivery.attempts, 0),
        other => panic!("not our fault: {other:?}"),
    }
}

#[tokio::test]
async fn through_each_proxy_deliveries_arrive_and_the_proxy_is_told_the_address_that_was_checked() {
    let authority = Authority::new();
    let tls = TlsReceiver::start_at(OUTSIDE, &authority.issue("tls.test"), None).await;
    for (kind, wants_credentials) in
        [(Kind::Tinyproxy, false), (Kind::Tinyproxy, true), (Kind::Microsocks, false), (Kind::Microsocks, true)]
    {
        let proxy = Proxy::start(kind, wants_credentials).await;
        let pem = std::fs::read(&authority.certificate).expect("readable");
        let outlet = Outlet { authorities: Authorities::read(&pem).expect("a certificate"), ..outlet(&proxy.url()) };
        let zone = zone("plain.test", &[&["127.0.0.2"]]).into_iter().chain(zone("tls.test", &[&["127.0.0.2"]]));
        let mut world = world(outlet, zone.collect()).await;
        let plain = world.receiver_at((OUTSIDE, 0).into(), |_, _| Answer::Status(200)).await;
        let plain_port = plain.address.port();
        world.hook("plain", &format!("http://plain.test:{plain_port}/hook?x=1")).await;
        world.hook("literal", &format!("http://127.0.0.2:{plain_port}/hook")).await;
        world.hook("tls", &tls.url_of("tls.test")).await;
        let before = tls.came().len();
        let event = world.note().await;
        for id in ["plain", "literal", "tls"] {
            assert_eq!(world.step(&event, id, 1).await, Step::Done, "{kind:?} {id}: {}", proxy.said());
        }
        let got = plain.got();
        let lines: Vec<&str> = got.iter().map(|got| got.line.as_str()).collect();
        assert!(lines.contains(&"POST /hook?x=1 HTTP/1.1"), "what the receiver gets is as without a proxy: {lines:?}");
        assert!(got.iter().all(|got| got.header("user-agent") == "Misskey-Hooks" && got.header("accept") == "*/*"));
        assert!(got.iter().any(|got| got.header("host") == format!("plain.test:{plain_port}")), "{got:?}");
        assert_eq!(tls.came()[before].asked_for.as_deref(), Some("tls.test"));
        proxy.was_asked_for(&format!("127.0.0.2:{plain_port}")).await;
        proxy.was_asked_for(&format!("127.0.0.2:{}", tls.port())).await;
        assert!(!proxy.said().contains(".test"), "a name was told: {}", proxy.said());
        world.came_elsewhere(tls.ids());
        world.finish().await;
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_no_address_that_is_forbidden_by_name_or_in_the_url() {
    let trap = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    trap.set_nonblocking(true).expect("asked without waiting");
    let port = trap.local_addr().expect("bound").port();
    for kind in [Kind::Tinyproxy, Kind::Microsocks] {
        let proxy = Proxy::start(kind, false).await;
        // Inside; outside at first and inside from then on; and both at once.
        let names = zone("inside.test", &[&["127.0.0.1"]])
            .into_iter()
            .chain(zone("turning.test", &[&["127.0.0.2"], &["127.0.0.1"]]))
            .chain(zone("both.test", &[&["127.0.0.1", "127.0.0.2"]]));
        let mut world = world(outlet(&proxy.url()), names.collect()).await;
        let close = |_: usize, _: &_| Answer::With(200, "Connection", "close".to_owned());
        let outside = world.receiver_at((OUTSIDE, port).into(), close).await;
        for host in ["inside.test", "turning.test", "both.test", "127.0.0.1"] {
            world.hook(host, &format!("http://{host}:{port}/hook")).await;
        }
        let events = [world.note().await, world.note().await];
        for host in ["inside.test", "127.0.0.1"] {
            let step = world.step(&events[0], host, 1).await;
            assert!(matches!(step, Step::Dead { reason: DeathReason::Forbidden, .. }), "{host}: {step:?}");
        }
        assert_eq!(world.step(&events[0], "both.test", 1).await, Step::Done);
        // Whichever of the two events asks first.
        let turned = [world.step(&events[0], "turning.test", 1).await, world.step(&events[1], "turning.test", 1).await];
        assert!(turned.contains(&Step::Done), "{turned:?}");
        let is_forbidden = |step: &Step| matches!(step, Step::Dead { reason: DeathReason::Forbidden, .. });
        assert!(turned.iter().any(is_forbidden), "{turned:?}");
        proxy.was_asked_for(&format!("127.0.0.2:{port}")).await;
        assert!(!proxy.said().contains(&format!("127.0.0.1:{port}")), "{}", proxy.said());
        let came = trap.accept().map(|(_, from)| from);
        assert_eq!(came.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock), "somebody came inside");
        world.stop_process().await;
        drop(outside);
    }
}

#[tokio::test]
async fn a_proxy_that_is_to_look_names_up_is_told_the_name_and_addresses_in_urls_are_checked_all_the_same() {
    for kind in [Kind::Tinyproxy, Kind::Microsocks] {
        let proxy = Proxy::start(kind, false).await;
        let setting = ProxySetting::parse(&proxy.url()).expect("a proxy").resolving();
        // Nobody here knows `localhost`.
        let mut world = world(Outlet { proxy: Some(setting), ..Outlet::default() }, Zone::new()).await;
        let receiver = world.receiver(|_, _| Answer::Status(200)).await;
        let port = receiver.address.port();
        world.hook("name", &format!("http://localhost:{port}/hook")).await;
        world.hook("address", &format!("http://127.0.0.1:{port}/hook")).await;
        let event = world.note().await;
        assert_eq!(world.step(&event, "name", 1).await, Step::Done, "{}", proxy.said());
        let step = world.step(&event, "address", 1).await;
        assert!(matches!(step, Step::Dead { reason: DeathReason::Forbidden, .. }), "{step:?}");
        proxy.was_asked_for(&format!("localhost:{port}")).await;
        assert_eq!(receiver.count(), 1);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_proxy_that_is_away_or_does_not_take_us_costs_no_attempt() {
    let (away, _held) = nobody();
    let mut proxies = Vec::new();
    let mut urls =
        vec![format!("http://{away}"), format!("socks5://{away}"), "http://no-such-proxy.invalid:1".to_owned()];
    for kind in [Kind::Tinyproxy, Kind::Microsocks] {
        let proxy = Proxy::start(kind, true).await;
        urls.extend([proxy.url_as(""), proxy.url_as("hikyaku:wrong@")]);
        proxies.push(proxy);
    }
    for url in urls {
        let mut world = world(outlet(&url), Zone::new()).await;
        let receiver = world.receiver_at((OUTSIDE, 0).into(), |_, _| Answer::Status(200)).await;
        world.hook("wh1", &receiver.url()).await;
        let event = world.note().await;
        assert_ours(&world.step(&event, "wh1", 1).await);
        assert_eq!(receiver.count(), 0, "{url}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_receiver_that_the_proxy_cannot_reach_costs_an_attempt() {
    let (away, _held) = nobody_at(OUTSIDE);
    for kind in [Kind::Tinyproxy, Kind::Microsocks] {
        let proxy = Proxy::start(kind, false).await;
        let mut world = world(outlet(&proxy.url()), Zone::new()).await;
        world.hook_with("wh1", &format!("http://{away}/hook"), HookSetup::default()).await;
        let event = world.note().await;
        match world.step(&event, "wh1", 1).await {
            Step::Later { delivery, wait: Wait::Retry, .. } => {
                let last = delivery.last.expect("a failure");
                assert_eq!((delivery.attempts, last.outcome), (1, Outcome::Connection), "{last:?}");
                assert!(last.error.contains("the proxy ") && last.error.contains("127.0.0.1:"), "{last:?}");
            }
            step => panic!("{kind:?}: {step:?}"),
        }
        world.finish().await;
    }
}

/// An address where nobody listens, and nobody else can while the socket lives.
fn nobody_at(ip: Ipv4Addr) -> (SocketAddr, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind((ip, 0).into()).expect("a port");
    (socket.local_addr().expect("bound"), socket)
}
