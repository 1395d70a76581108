//! TLS with receivers: whom we trust, and who we say we are.

use std::time::Duration;

use hikyaku::decide::{Step, Wait};
use hikyaku::model::{ClientCertificate, LastFailure, Options, Outcome};
use hikyaku::outbound::{Authorities, Outlet};

use crate::support::broker::{Authority, Issued};
use crate::support::tls_receiver::TlsReceiver;
use crate::support::world::{BEGIN, HookSetup, Setup, World};

/// A setup that trusts `authority` beside the system's.
fn trusting(authority: &Authority) -> Setup {
    let pem = std::fs::read(&authority.certificate).expect("readable");
    let outlet = Outlet { authorities: Authorities::read(&pem).expect("a certificate"), ..Outlet::default() };
    Setup { outlet, ..Setup::default() }
}

/// What an event's first attempt at `url` comes to.
async fn first_step(world: &mut World, url: &str) -> Step {
    world.hook("wh1", url).await;
    let event = world.note().await;
    world.step(&event, "wh1", 1).await
}

/// A webhook that presents `issued`.
fn presenting(issued: &Issued) -> HookSetup<'static> {
    let [chain, key] = [&issued.certificate, &issued.key].map(|file| std::fs::read_to_string(file).expect("readable"));
    let certificate = ClientCertificate::new(&chain, &key).expect("a certificate and its key");
    let options = Options { client_certificate: Some(certificate), ..Options::default() };
    HookSetup { options, ..HookSetup::default() }
}

/// The failure for which the delivery is tried again.
#[track_caller]
fn failure(step: &Step) -> &LastFailure {
    match step {
        Step::Later { delivery, wait: Wait::Retry, .. } => delivery.last.as_ref().expect("a failure"),
        step => panic!("no retry: {step:?}"),
    }
}

#[tokio::test]
async fn a_receiver_of_an_authority_of_the_settings_is_trusted_and_asked_for_by_its_name() {
    let authority = Authority::new();
    let receiver = TlsReceiver::start(&authority.issue("localhost"), None).await;
    let mut world = World::start(trusting(&authority)).await;

    assert_eq!(first_step(&mut world, &receiver.url()).await, Step::Done);

    let came = receiver.came();
    assert_eq!(came.len(), 1);
    assert_eq!((came[0].asked_for.as_deref(), &came[0].certificate), (Some("localhost"), &None));
    assert!(came[0].head.starts_with("POST /hook HTTP/1.1\r\n"), "{}", came[0].head);
    world.came_elsewhere(receiver.ids());
    world.finish().await;
}

#[tokio::test]
async fn a_receiver_of_an_authority_that_nobody_named_gets_no_request() {
    let (authority, other) = (Authority::new(), Authority::new());
    let receiver = TlsReceiver::start(&authority.issue("localhost"), None).await;
    for setup in [Setup::default(), trusting(&other)] {
        let mut world = World::start(setup).await;
        let step = first_step(&mut world, &receiver.url()).await;
        let failure = failure(&step);
        assert_eq!(failure.outcome, Outcome::Tls, "{failure:?}");
        assert!(failure.error.contains("UnknownIssuer"), "{failure:?}");
        assert!(failure.error.contains("nor in outbound.ca_files"), "{failure:?}");
        world.finish().await;
    }
    assert_eq!(receiver.came(), []);
}

#[tokio::test]
async fn a_receiver_with_a_certificate_for_another_name_gets_no_request() {
    let authority = Authority::new();
    let receiver = TlsReceiver::start(&authority.issue("elsewhere.example"), None).await;
    let mut world = World::start(trusting(&authority)).await;
    let step = first_step(&mut world, &receiver.url()).await;
    assert_eq!(failure(&step).outcome, Outcome::Tls, "{step:?}");
    assert_eq!(receiver.came(), []);
    world.finish().await;
}

#[tokio::test]
async fn a_receiver_that_wants_a_client_certificate_gets_each_webhooks_own() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let receiver = TlsReceiver::start(&authority.issue("localhost"), Some(&clients.certificate)).await;
    let mut world = World::start(trusting(&authority)).await;
    let issued = [clients.issue("one"), clients.issue_rsa("two")];
    for (id, issued) in ["wh1", "wh2"].into_iter().zip(&issued) {
        world.hook_with(id, &receiver.url(), presenting(issued)).await;
    }
    for _ in 0..2 {
        let event = world.note().await;
        for id in ["wh1", "wh2"] {
            assert_eq!(world.step(&event, id, 1).await, Step::Done);
        }
    }
    // Each request has the certificate of its webhook, whichever connections were there before.
    let came = receiver.came();
    for (id, issued) in ["wh1", "wh2"].into_iter().zip(&issued) {
        let of_webhook = came.iter().filter(|came| came.head.contains(&format!("x-misskey-hook-id: {id}\r\n")));
        let presented: Vec<_> = of_webhook.map(|came| came.certificate.clone()).collect();
        assert_eq!(presented, vec![Some(issued.der()); 2], "{id}");
    }
    world.came_elsewhere(receiver.ids());
    world.finish().await;
}

#[tokio::test]
async fn a_receiver_that_wants_a_client_certificate_answers_neither_none_nor_a_strangers() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let receiver = TlsReceiver::start(&authority.issue("localhost"), Some(&clients.certificate)).await;
    let mut world = World::start(trusting(&authority)).await;
    world.hook("none", &receiver.url()).await;
    world.hook_with("strangers", &receiver.url(), presenting(&authority.issue("stranger"))).await;
    let event = world.note().await;
    for id in ["none", "strangers"] {
        let step = world.step(&event, id, 1).await;
        assert_eq!(failure(&step).outcome, Outcome::Tls, "{id}: {step:?}");
    }
    assert_eq!(receiver.came(), []);
    world.finish().await;
}

#[tokio::test]
async fn a_failure_with_a_client_certificate_that_has_expired_says_so() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let receiver = TlsReceiver::start(&authority.issue("localhost"), Some(&clients.certificate)).await;
    let mut world = World::start(trusting(&authority)).await;
    let hook = presenting(&clients.issue_expired("late"));
    let until = hook.options.client_certificate.as_ref().expect("there").expires_at();
    // Past it, whatever time it is: time is held, and the certificate is of yesterday.
    world.pass(until.since(BEGIN) + Duration::from_secs(1));
    world.hook_with("wh1", &receiver.url(), hook).await;
    let event = world.note().await;
    let step = world.step(&event, "wh1", 1).await;
    let failure = failure(&step);
    assert_eq!(failure.outcome, Outcome::Tls, "{failure:?}");
    assert!(
        failure.error.contains(&format!("client certificate has expired on {}", until.to_rfc3339())),
        "{failure:?}"
    );
    world.finish().await;
}
