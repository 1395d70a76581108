//! RabbitMQ over TLS: whom we trust, who we are, and what is said when it does not fit. The broker wants a certificate of
//! its clients.

use std::path::Path;

use hikyaku::queue::{Access, BrokerError, Lane, QueueError};
use tokio::sync::OnceCell;

use super::{PREFETCH, fresh, next, open, try_open};
use crate::support::broker::{self, Authority, Broker};

struct Tls {
    authority: Authority,
    node: Broker,
}

static TLS: OnceCell<Tls> = OnceCell::const_new();

async fn shared() -> &'static Tls {
    let start = async || {
        let authority = Authority::new();
        let node = Broker::start_with_tls(&authority).await;
        Tls { authority, node }
    };
    TLS.get_or_init(start).await
}

/// The options of a URL.
fn files(ca: &Path, client: Option<(&Path, &Path)>) -> String {
    let client = client.map(|(cert, key)| format!("&certfile={}&keyfile={}", cert.display(), key.display()));
    format!("cacertfile={}{}", ca.display(), client.unwrap_or_default())
}

/// The words with which opening fails; none that RabbitMQ is away, which is waited for.
async fn refused(url: &str) -> String {
    let error = try_open(url, &broker::own_prefix(), Access::Worker).await.expect_err("it must not work");
    let is_plain = matches!(error, QueueError::Broker(BrokerError::Tls { .. } | BrokerError::File { .. }));
    assert!(is_plain, "{error:?}");
    error.to_string()
}

/// The words of a worker that cannot connect. RabbitMQ hangs up right behind its complaint about a client's certificate, so
/// that it depends on the network whether that is still read; if not, it is waited for.
async fn said(url: &str) -> String {
    match try_open(url, &broker::own_prefix(), Access::Worker).await {
        Ok(queue) => queue.health().concat(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_authority_of_ones_own_and_a_client_certificate_events_go_through_tls() {
    let Tls { authority, node } = shared().await;
    let (ec, rsa) = (authority.issue("worker"), authority.issue_rsa("worker"));
    let (sec1, pkcs1) = (authority.traditional(&ec.key), authority.traditional(&rsa.key));
    for (file, head) in [(&ec.key, "PRIVATE KEY"), (&sec1, "EC PRIVATE KEY"), (&pkcs1, "RSA PRIVATE KEY")] {
        let text = std::fs::read_to_string(file).expect("readable");
        assert!(text.starts_with(&format!("-----BEGIN {head}-----")), "{text}");
    }
    let prefix = broker::own_prefix();
    for (cert, key) in [(&ec.certificate, &ec.key), (&ec.certificate, &sec1), (&rsa.certificate, &pkcs1)] {
        let url = node.tls_url("localhost", &files(&authority.certificate, Some((cert, key))));
        let queue = open(&url, &prefix).await;
        queue.publish(vec![fresh("e")]).await.expect("published");
        let mut work = queue.consume(Lane::Work, PREFETCH).await.expect("consumed");
        next(&mut work, "the event").await.settle(&[]).await.expect("settled");
        queue.close().await;
    }
    let seen = node.control(&["-q", "list_connections", "ssl"]).await;
    assert!(!seen.contains("false"), "nothing of ours came without TLS: {seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_another_authority_or_another_name_is_not_trusted() {
    let Tls { authority, node } = shared().await;
    let client = authority.issue("worker-of-names");
    let client = Some((&*client.certificate, &*client.key));
    let other = Authority::new();
    let words = refused(&node.tls_url("localhost", &files(&other.certificate, client))).await;
    assert!(words.contains("UnknownIssuer") && words.contains("cacertfile"), "{words}");
    let words = refused(&node.tls_url("localhost", "")).await;
    assert!(words.contains("UnknownIssuer"), "the system does not know our authority: {words}");
    let words = refused(&node.tls_url("127.0.0.1", &files(&authority.certificate, client))).await;
    assert!(words.to_lowercase().contains("not valid for name"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_client_certificate_is_wanted_one_that_is_missing_or_strange_is_said() {
    let Tls { authority, node } = shared().await;
    let words = said(&node.tls_url("localhost", &files(&authority.certificate, None))).await;
    assert!(words.contains("client's certificate"), "{words}");
    let other = Authority::new();
    let strange = other.issue("worker");
    let client = Some((&*strange.certificate, &*strange.key));
    let words = said(&node.tls_url("localhost", &files(&authority.certificate, client))).await;
    assert!(words.contains("client's certificate"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_is_named_with_what_is_wrong() {
    let Tls { authority, node } = shared().await;
    let (ours, others) = (authority.issue("worker-of-files"), authority.issue("another"));
    let encrypted = authority.encrypted(&ours.key);
    let (ca, cert, key) = (&*authority.certificate, &*ours.certificate, &*ours.key);
    let missing = Path::new("/nowhere/at-all.pem");
    for (ca, cert, key, parts) in [
        (missing, cert, key, ["/nowhere/at-all.pem", "No such file"]),
        (ca, missing, key, ["/nowhere/at-all.pem", "No such file"]),
        (ca, cert, missing, ["/nowhere/at-all.pem", "No such file"]),
        (key, cert, key, ["worker-of-files-ec-key.pem", "no certificate in PEM"]),
        (ca, cert, cert, ["worker-of-files-ec.pem", "no private key in PEM"]),
        (ca, cert, &*encrypted, ["encrypted.pem", "an encrypted one cannot be read"]),
        (ca, cert, &*others.key, ["another-ec-key.pem", "KeyMismatch"]),
    ] {
        let words = refused(&node.tls_url("localhost", &files(ca, Some((cert, key))))).await;
        assert!(parts.iter().all(|part| words.contains(part)), "{parts:?}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_does_not_speak_tls_is_said() {
    let Tls { authority, node } = shared().await;
    let plain = node.url().replace("amqp://", "amqps://").replace("127.0.0.1", "localhost");
    let words = refused(&format!("{plain}/?{}", files(&authority.certificate, None))).await;
    assert!(words.contains("the port is the one for TLS"), "{words}");
}
