//! TLS with PostgreSQL, by rustls as everywhere: whom to trust, and who we are, from the files that the URL names.
//!
//! Trusted are the system's authorities, or those of `sslrootcert` in their place; the certificate must be for the host of the
//! URL. Files are read at each connection, so that renewed certificates are used from the next one on. Nothing is bound to the
//! channel (SCRAM-SHA-256-PLUS): the certificate is checked, which says the same.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use super::PostgresError;
use super::error::words;
use super::url::TlsOptions;

/// Makes TLS of connections.
#[derive(Clone)]
pub(super) struct Connector(TlsConnector);

impl Connector {
    /// For what the URL says.
    pub(super) fn new(options: &TlsOptions, place: &str) -> Result<Self, PostgresError> {
        let config = config(options).map_err(|why| PostgresError::Tls { place: place.to_owned(), why })?;
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

/// What it means when TLS did not come about.
pub(super) fn refused(place: &str, error: &tokio_postgres::Error) -> PostgresError {
    let said = words(error);
    if said.contains("does not support TLS") {
        let why = "the server speaks none: turn on `ssl` in its postgresql.conf, or, where the network between is yours alone, add \
                   ?sslmode=disable to store.url";
        return PostgresError::Tls { place: place.to_owned(), why: why.to_owned() };
    }
    let why = format!(
        "{said}. The server's certificate must be for the host of store.url, of an authority that this system or `sslrootcert` has; \
         where the network between is yours alone, add ?sslmode=disable"
    );
    PostgresError::Tls { place: place.to_owned(), why }
}

fn config(options: &TlsOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &options.authorities {
        Some(path) => {
            let mut authorities = RootCertStore::empty();
            for certificate in certificates(path)? {
                authorities.add(certificate).map_err(|error| unusable(path, error))?;
            }
            builder.with_root_certificates(authorities)
        }
        None => {
            let verifier = Verifier::new(provider).map_err(|error| error.to_string())?;
            // rustls calls every verifier but its own so; this one asks the system's authorities.
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    match &options.client {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let key_der = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| unusable(key, error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key_der)
                .map_err(|error| unusable(certificate, error))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    match found.map_err(|error| unusable(path, error))? {
        found if found.is_empty() => Err(unusable(path, "it has no certificate in PEM (`BEGIN CERTIFICATE`)")),
        found => Ok(found),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, why: impl Display) -> String {
    format!("the file {} of store.url cannot be used: {why}", path.display())
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Stream<S>;
    type TlsConnect = Named;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Named, Self::Error> {
        Ok(Named { connector: self.0.clone(), host: ServerName::try_from(host.to_owned())? })
    }
}

/// The same for one host.
pub(super) struct Named {
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Named {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Stream<S>>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { Ok(Stream(Box::new(self.connector.connect(self.host, stream).await?))) })
    }
}

/// What is sent and received within TLS.
pub(super) struct Stream<S>(Box<tokio_rustls::client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
