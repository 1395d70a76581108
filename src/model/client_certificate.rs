//! A webhook's client certificate: who we say we are to a receiver that asks for it by TLS.
//!
//! Its chain and its key come in as PEM from the store, the settings' files, the CLI or an API; each of them calls
//! [`ClientCertificate::new`], the one place that says what it may be, so that no request finds out. The key is never shown.

use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Secret, Timestamp};

/// Bytes of a chain in PEM: some times what the longest have.
pub const CLIENT_CERTIFICATE_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a key in PEM: RSA with 8,192 bits has 6,500.
pub const CLIENT_KEY_BYTES_MAX: usize = 16 * 1024;
/// Certificates of a chain.
const CHAIN_MAX: usize = 10;
/// Characters of a subject that are shown.
const SUBJECT_CHARS_MAX: usize = 200;

/// A certificate with those that lead from it to its authority, and its key. Clones share it.
#[derive(Clone)]
pub struct ClientCertificate(Arc<Parts>);

struct Parts {
    chain: String,
    key: Secret,
    subject: String,
    sha256: String,
    expires_at: Timestamp,
    identity: [u8; 32],
}

/// Refuses what is PEM itself where the path of a file is wanted: a message about the path would quote a key.
///
/// # Errors
/// When it is PEM; in words that quote nothing of it.
pub fn path_of_pem(given: &str) -> Result<&str, String> {
    if given.contains("-----BEGIN ") {
        return Err("it is PEM itself, and the path of the file that holds it is wanted here".to_owned());
    }
    Ok(given)
}

/// What is wrong with a client certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientCertificateError {
    /// With the chain.
    #[error("{0}")]
    Certificate(String),
    /// With the key.
    #[error("{0}")]
    Key(String),
}

impl ClientCertificate {
    /// The certificate whose chain, its own certificate first, is `chain`, and whose key is `key`, both in PEM; the key in
    /// PKCS#8, PKCS#1 or SEC1, not encrypted. Whether it has expired is not looked at: that is its receiver's to say.
    ///
    /// # Errors
    /// Which of the two is wrong, in words that quote nothing of it.
    pub fn new(chain: &str, key: &str) -> Result<Self, ClientCertificateError> {
        let certificates = read_chain(chain).map_err(ClientCertificateError::Certificate)?;
        let leaf = &certificates[0];
        let (_, parsed) = X509Certificate::from_der(leaf)
            .map_err(|_| ClientCertificateError::Certificate("its first certificate cannot be read".to_owned()))?;
        let subject = parsed.subject().to_string().replace(char::is_control, " ");
        let expires_at = Timestamp::from_millis(parsed.validity().not_after.timestamp().saturating_mul(1000));
        let parts = Parts {
            chain: chain.to_owned(),
            key: Secret::new(key),
            subject: subject.chars().take(SUBJECT_CHARS_MAX).collect(),
            sha256: HEXLOWER.encode(&Sha256::digest(leaf)),
            expires_at,
            identity: Sha256::new().chain_update(chain).chain_update(b"\0").chain_update(key).finalize().into(),
        };
        let certificate = Self(Arc::new(parts));
        certificate.with_key(read_key(key).map_err(ClientCertificateError::Key)?, certificates)?;
        Ok(certificate)
    }

    /// What TLS needs: the chain and its key.
    ///
    /// # Errors
    /// None that [`Self::new`] has not told.
    pub fn certified(&self) -> Result<CertifiedKey, ClientCertificateError> {
        let certificates = read_chain(self.chain()).map_err(ClientCertificateError::Certificate)?;
        let key = read_key(self.key().expose()).map_err(ClientCertificateError::Key)?;
        self.with_key(key, certificates)
    }

    fn with_key(
        &self,
        key: PrivateKeyDer<'static>,
        certificates: Vec<CertificateDer<'static>>,
    ) -> Result<CertifiedKey, ClientCertificateError> {
        let provider = rustls::crypto::ring::default_provider();
        let later: Vec<_> = certificates.iter().skip(1).cloned().collect();
        let again = key.clone_key();
        CertifiedKey::from_der(certificates, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let is_its = |certificate| CertifiedKey::from_der(vec![certificate], again.clone_key(), &provider).is_ok();
                match later.into_iter().position(is_its) {
                    Some(index) => ClientCertificateError::Certificate(format!(
                        "its certificates are in the wrong order: the key is that of number {}, which must be the first",
                        index + 2
                    )),
                    None => ClientCertificateError::Key(format!(
                        "it is not the key of the certificate ({}), which must be the first of its chain",
                        self.subject()
                    )),
                }
            }
            _ => ClientCertificateError::Key(
                "it is no key that can be used; it must be RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519"
                    .to_owned(),
            ),
        })
    }

    /// The chain in PEM, as it came in.
    pub fn chain(&self) -> &str {
        &self.0.chain
    }

    /// The key in PEM, as it came in.
    pub fn key(&self) -> &Secret {
        &self.0.key
    }

    /// Whose it is, in its own words; at most 200 characters, none of control.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The SHA-256 of the certificate, in hexadecimal digits: what `openssl x509 -fingerprint -sha256` shows.
    pub fn sha256(&self) -> &str {
        &self.0.sha256
    }

    /// Until when it is valid.
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// Tells it, with chain and key, apart from every other.
    pub fn identity(&self) -> [u8; 32] {
        self.0.identity
    }
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.identity == other.0.identity
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({})", self.sha256())
    }
}

fn read_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    if pem.len() > CLIENT_CERTIFICATE_BYTES_MAX {
        return Err(format!("it has {} bytes, and {CLIENT_CERTIFICATE_BYTES_MAX} are allowed", pem.len()));
    }
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, pem::Error>>();
    let found = found.map_err(|_| "it is no PEM that can be read".to_owned())?;
    match found.len() {
        0 if pem.contains("PRIVATE KEY-----") => Err("it is a key, and the certificate is needed here".to_owned()),
        0 => Err("it has no certificate in PEM (`-----BEGIN CERTIFICATE-----`)".to_owned()),
        // Shown and sent as it came in: a key in it would be, too.
        _ if pem.contains("PRIVATE KEY-----") => {
            Err("it has a key too; only certificates belong here, and the key has a place of its own".to_owned())
        }
        count if count > CHAIN_MAX => Err(format!("it has {count} certificates, and {CHAIN_MAX} are allowed")),
        _ => Ok(found),
    }
}

fn read_key(pem: &str) -> Result<PrivateKeyDer<'static>, String> {
    if pem.len() > CLIENT_KEY_BYTES_MAX {
        return Err(format!("it has {} bytes, and {CLIENT_KEY_BYTES_MAX} are allowed", pem.len()));
    }
    if pem.contains("ENCRYPTED") {
        return Err(
            "it is encrypted, and nobody is there to type its password; `openssl pkey -in key.pem` decrypts it"
                .to_owned(),
        );
    }
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => "it has no private key in PEM (PKCS#8, PKCS#1 or SEC1)".to_owned(),
        _ => "it is no PEM that can be read".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = include_str!("../../tests/fixtures/tls/client.pem");
    const KEY: &str = include_str!("../../tests/fixtures/tls/client-key.pem");
    const OTHER: &str = include_str!("../../tests/fixtures/tls/other.pem");
    const OTHER_KEY: &str = include_str!("../../tests/fixtures/tls/other-key.pem");
    const ENCRYPTED: &str = include_str!("../../tests/fixtures/tls/encrypted-key.pem");

    #[test]
    fn a_certificate_tells_whose_it_is_and_until_when_and_prints_no_key() {
        let certificate = ClientCertificate::new(CHAIN, KEY).expect("a certificate");
        assert_eq!(certificate.subject(), "CN=a client of tests");
        assert_eq!(certificate.sha256().len(), 64);
        assert!(certificate.expires_at().to_rfc3339().starts_with("2126-"), "{:?}", certificate.expires_at());
        let printed = format!("{certificate:?}");
        assert!(printed.contains(certificate.sha256()) && !printed.contains("PRIVATE"), "{printed}");
        assert!(certificate.certified().is_ok());
    }

    #[test]
    fn what_no_tls_can_use_is_refused_in_words_that_quote_nothing() {
        let is_certificate = |error: &ClientCertificateError| matches!(error, ClientCertificateError::Certificate(_));
        let long = format!("{}{CHAIN}", " ".repeat(CLIENT_CERTIFICATE_BYTES_MAX));
        let broken = CHAIN.replacen("MII", "!!!", 1);
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let both = format!("{CHAIN}{KEY}");
        let turned = format!("{OTHER}{CHAIN}");
        let many = CHAIN.repeat(CHAIN_MAX + 1);
        let cases = [
            ("", KEY, true, "no certificate in PEM"),
            (KEY, CHAIN, true, "it is a key, and the certificate"),
            (&both, KEY, true, "it has a key too"),
            (&broken, KEY, true, "no PEM that can be read"),
            (empty, KEY, true, "its first certificate cannot be read"),
            (&turned, KEY, true, "in the wrong order: the key is that of number 2, which must be the first"),
            (&many, KEY, true, "it has 11 certificates, and 10"),
            (&long, KEY, true, "and 32768 are allowed"),
            (CHAIN, "", false, "no private key in PEM"),
            (CHAIN, CHAIN, false, "no private key in PEM"),
            (CHAIN, OTHER_KEY, false, "not the key of the certificate (CN=a client of tests)"),
            (CHAIN, ENCRYPTED, false, "it is encrypted"),
            (CHAIN, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", false, "no key that can be used"),
        ];
        for (chain, key, of_certificate, words) in cases {
            let error = ClientCertificate::new(chain, key).expect_err(words);
            assert!(error.to_string().contains(words), "{words}: {error}");
            assert_eq!(is_certificate(&error), of_certificate, "{error}");
            assert!(!error.to_string().contains("MII") && !error.to_string().contains("MIG"), "{error}");
        }
    }
}
