//! What `amqps` needs: whom to trust, and who we are, from the files that the URL names.
//!
//! Files are read at each connection, so that renewed certificates are used from the next one on. An authority of one's own
//! replaces the system's. Keys may be PKCS#8, PKCS#1 or SEC1, not encrypted.

use std::path::Path;

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::BrokerError;
use super::url::BrokerUrl;

/// How to speak TLS with the nodes of `url`; nothing where it does not begin with `amqps`.
pub(super) fn connector(url: &BrokerUrl) -> Result<Option<RustlsConnector>, BrokerError> {
    if !url.tls {
        return Ok(None);
    }
    // The connector takes the process's provider; one that is there already is the same.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let trust = match &url.ca_file {
        Some(path) => RustlsConnectorConfig::default().with_parsable_certificates(certificates(path)?),
        None => RustlsConnectorConfig::new_with_native_certs()
            .map_err(|error| BrokerError::Tls { why: format!("the system's certificates cannot be read: {error}") })?,
    };
    let connector = match &url.client_files {
        Some((cert, key)) => trust.connector_with_single_cert(certificates(cert)?, private_key(key)?),
        None => trust.connector_with_no_client_auth(),
    };
    connector.map(Some).map_err(|error| {
        let files = url.client_files.as_ref().map(|(cert, key)| format!("{} and {}: ", cert.display(), key.display()));
        BrokerError::Tls { why: format!("{}{error}", files.unwrap_or_default()) }
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BrokerError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, pem::Error>>();
    match found {
        Ok(found) if found.is_empty() => Err(unusable(path, "it has no certificate in PEM (`BEGIN CERTIFICATE`)")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(path, error)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, BrokerError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            unusable(path, "it has no private key in PEM (PKCS#8, PKCS#1 or SEC1; an encrypted one cannot be read)")
        }
        other => unusable(path, other),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, BrokerError> {
    std::fs::read(path).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> BrokerError {
    BrokerError::File { path: path.display().to_string(), why: why.to_string() }
}
