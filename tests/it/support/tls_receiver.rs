//! A receiver that speaks TLS, with rustls as most servers would: it can want a certificate of its clients, and remembers how
//! each of them presented itself.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::broker::Issued;

/// A request that came through TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// The name that the client asked for (SNI).
    pub(crate) asked_for: Option<String>,
    /// The client's certificate, if it had one.
    pub(crate) certificate: Option<Vec<u8>>,
    /// The request's head.
    pub(crate) head: String,
}

/// A running one; it ends when it is dropped.
pub(crate) struct TlsReceiver {
    port: u16,
    came: watch::Sender<Vec<Came>>,
    _tasks: JoinSet<()>,
}

impl TlsReceiver {
    /// Listens on loopback as `server`; with `clients_of`, only clients with a certificate of that authority are answered.
    pub(crate) async fn start(server: &Issued, clients_of: Option<&Path>) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, server, clients_of).await
    }

    /// The same at another address.
    pub(crate) async fn start_at(ip: Ipv4Addr, server: &Issued, clients_of: Option<&Path>) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let acceptor = TlsAcceptor::from(Arc::new(config(server, clients_of)));
        let came = watch::Sender::new(Vec::new());
        let (mut tasks, noting) = (JoinSet::new(), came.clone());
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, noting) = (acceptor.clone(), noting.clone());
                serving.spawn(async move {
                    // A client that is not trusted, or does not trust, hangs up.
                    let _hung_up = serve(&acceptor, stream, &noting).await;
                });
            }
        });
        Self { port, came, _tasks: tasks }
    }

    /// Where webhooks point: its certificate must be for `localhost`.
    pub(crate) fn url(&self) -> String {
        self.url_of("localhost")
    }

    /// The same by another name.
    pub(crate) fn url_of(&self, name: &str) -> String {
        format!("https://{name}:{}/hook", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The deliveries that have come.
    pub(crate) fn ids(&self) -> Vec<String> {
        let id = |came: Came| came.head.lines().find_map(|line| line.strip_prefix("webhook-id: ").map(str::to_owned));
        self.came().into_iter().filter_map(id).collect()
    }

    /// Every request so far.
    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.borrow().clone()
    }
}

fn config(server: &Issued, clients_of: Option<&Path>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients_of {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(authority));
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::from_pem_file(&server.key).expect("a key");
    builder.with_single_cert(certificates(&server.certificate), key).expect("a certificate and its key")
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).expect("a file").collect::<Result<_, _>>().expect("certificates")
}

/// Answers each request with 204.
async fn serve(acceptor: &TlsAcceptor, stream: TcpStream, noting: &watch::Sender<Vec<Came>>) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let session = stream.get_ref().1;
    let asked_for = session.server_name().map(str::to_owned);
    let certificate = session.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let length = head.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        stream.read_exact(&mut body).await?;
        let came = Came { asked_for: asked_for.clone(), certificate: certificate.clone(), head };
        noting.send_modify(|all| all.push(came));
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        stream.flush().await?;
    }
}
