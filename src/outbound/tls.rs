//! TLS with receivers and with the Misskey of the settings: whom we trust, and who we say we are.
//!
//! Trusted are the authorities of the system, as they are at the start, and beside them those of the settings. There is no
//! way to trust everyone.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::sign::SingleCertAndKey;
use rustls_platform_verifier::Verifier;

use super::client::ClientError;
use crate::model::ClientCertificate;

/// What is spoken within TLS (RFC 7301): HTTP/1.1 and nothing else.
const ALPN: &[u8] = b"http/1.1";

/// Authorities that are trusted beside those of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads a file's content: one certificate or more in PEM.
    ///
    /// # Errors
    /// What is wrong with it, in words that quote nothing of it.
    pub fn read(pem: &[u8]) -> Result<Self, String> {
        let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, pem::Error>>();
        let found = found.map_err(|error| format!("it is no PEM that can be read ({error})"))?;
        if found.is_empty() {
            return Err("it has no certificate in PEM (`-----BEGIN CERTIFICATE-----`)".to_owned());
        }
        let mut store = RootCertStore::empty();
        for (index, certificate) in found.iter().enumerate() {
            let added = store.add(certificate.clone());
            added.map_err(|error| format!("its certificate number {} cannot be used ({error})", index + 1))?;
        }
        Ok(Self(found))
    }

    /// These and those of `others`.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

/// Whom we trust. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    verifier: Arc<Verifier>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    /// The system's authorities and `authorities`.
    ///
    /// # Errors
    /// When there are none at all.
    pub(super) fn new(authorities: &Authorities) -> Result<Self, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new_with_extra_roots(authorities.0.clone(), Arc::clone(&provider))?;
        Ok(Self { verifier: Arc::new(verifier), provider })
    }

    /// How TLS is spoken by one who presents `certificate` when asked for one.
    pub(super) fn config(&self, certificate: Option<&ClientCertificate>) -> Result<ClientConfig, ClientError> {
        let verifier = Arc::clone(&self.verifier);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            // rustls calls every verifier but its own so; this one asks the system's and the settings' authorities.
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let certified = certificate.certified()?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}
