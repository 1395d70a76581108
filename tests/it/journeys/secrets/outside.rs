//! What deliveries meet on their way out: a proxy that wants a password, and a receiver that wants a certificate.

use std::path::Path;

use super::canaries::Canaries;
use crate::support::broker::{Authority, Issued};
use crate::support::proxies::{Kind, Proxy};
use crate::support::tls_receiver::TlsReceiver;

const USER: &str = "courier";

/// All of it; it ends when it is dropped.
pub(super) struct Outside {
    pub(super) proxy: Proxy,
    pub(super) receiver: TlsReceiver,
    authority: Authority,
    clients: Authority,
    declared: Issued,
}

impl Outside {
    pub(super) async fn start(kind: Kind, canaries: &Canaries) -> Self {
        let password = canaries.text("the proxy's password", "", "");
        let (authority, clients) = (Authority::new(), Authority::new());
        let receiver = TlsReceiver::start(&authority.issue("localhost"), Some(&clients.certificate)).await;
        let proxy = Proxy::start_for(kind, Some((USER, &password))).await;
        let declared = issued(&clients, canaries, "a declared webhook");
        Self { proxy, receiver, authority, clients, declared }
    }

    /// The settings that lead deliveries there.
    pub(super) fn settings(&self) -> String {
        format!("outbound.proxy = \"{}\"\noutbound.ca_files = [{:?}]\n", self.proxy.url(), self.authority.certificate)
    }

    /// A webhook that presents a certificate, without its secrets; `key_file` is its key's, or another's.
    pub(super) fn declared(&self) -> String {
        let Issued { certificate, key } = &self.declared;
        format!(
            "[[webhooks]]\nid = \"certified\"\nurl = \"{}\"\non = [\"userCreated\"]\nclient_certificate_file = \
             {certificate:?}\nclient_key_file = {key:?}\n",
            self.receiver.url()
        )
    }

    /// A new certificate and its key, in files.
    pub(super) fn issue(&self, canaries: &Canaries, name: &str) -> Issued {
        issued(&self.clients, canaries, name)
    }

    /// The files of a certificate and of another one's key.
    pub(super) fn mismatched(&self, canaries: &Canaries) -> Issued {
        Issued { certificate: self.declared.certificate.clone(), ..self.issue(canaries, "another") }
    }

    /// The proxy's URL for who has another password.
    pub(super) fn url_with(&self, password: &str) -> String {
        self.proxy.url_as(&format!("{USER}:{password}@"))
    }

    /// Whether the receiver got a request of the declared certificate, through the proxy.
    pub(super) async fn assert_used(&self) {
        self.proxy.was_asked_for(&format!("127.0.0.1:{}", self.receiver.port())).await;
        let declared = self.declared.der();
        assert!(self.receiver.came().iter().any(|came| came.certificate.as_ref() == Some(&declared)), "nobody came");
    }
}

fn issued(clients: &Authority, canaries: &Canaries, name: &str) -> Issued {
    let issued = clients.issue(name);
    canaries.look_for_key("a client certificate's key", &text(&issued.key));
    issued
}

pub(super) fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("readable")
}
