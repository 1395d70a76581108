//! TLS with receivers: whom we trust.

use hikyaku::decide::{Step, Wait};
use hikyaku::model::{LastFailure, Outcome};
use hikyaku::outbound::{Authorities, Outlet};

use crate::support::broker::Authority;
use crate::support::tls_receiver::TlsReceiver;
use crate::support::world::{Setup, World};

/// A setup that trusts `authority` beside the system's.
fn trusting(authority: &Authority) -> Setup {
    let pem = std::fs::read(&authority.certificate).expect("readable");
    let outlet = Outlet { authorities: Authorities::read(&pem).expect("a certificate") };
    Setup { outlet, ..Setup::default() }
}

/// What an event's first attempt at `url` comes to.
async fn first_step(world: &mut World, url: &str) -> Step {
    world.hook("wh1", url).await;
    let event = world.note().await;
    world.step(&event, "wh1", 1).await
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
