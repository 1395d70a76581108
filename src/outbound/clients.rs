//! The client for a webhook: the one that all share, or one that presents the webhook's certificate.
//!
//! A connection belongs to whom it was made as, so each certificate has a client of its own, with its own connections and the
//! same guard, trust and limits. Such clients are made when first needed and kept while they are used: at most
//! [`CERTIFIED_MAX`], the one that was used longest ago goes first, and none stays for more than [`UNUSED_MAX`] beside others'
//! requests. A certificate that was changed is another one, so its webhook has another client from then on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::ClientError;
use super::guard::Guarded;
use super::names::Names;
use super::proxy::Proxy;
use super::tls::Trust;
use crate::decide::AddressPolicy;
use crate::model::ClientCertificate;

/// Clients with a certificate. More of them are in use at a time only with more such webhooks; those then shake hands more often.
const CERTIFIED_MAX: usize = 256;
/// How long one is kept that is not used.
const UNUSED_MAX: Duration = Duration::from_secs(600);

/// What every client is made of.
#[derive(Clone, Debug)]
pub(super) struct Make {
    pub(super) user_agent: String,
    pub(super) policy: Arc<AddressPolicy>,
    pub(super) names: Arc<dyn Names>,
    pub(super) trust: Trust,
    pub(super) proxy: Option<Arc<Proxy>>,
}

/// Every client. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    plain: Arc<Guarded>,
    make: Arc<Make>,
    certified: Arc<Mutex<HashMap<[u8; 32], Certified>>>,
}

#[derive(Debug)]
struct Certified {
    client: Arc<Guarded>,
    used: Instant,
}

impl Clients {
    pub(super) fn new(make: Make) -> Result<Self, ClientError> {
        let plain = Arc::new(Guarded::by_policy(&make, None)?);
        Ok(Self { plain, make: Arc::new(make), certified: Arc::default() })
    }

    /// The client that presents `certificate`.
    ///
    /// # Errors
    /// When there cannot be one.
    pub(super) fn presenting(&self, certificate: Option<&ClientCertificate>) -> Result<Arc<Guarded>, ClientError> {
        let Some(certificate) = certificate else { return Ok(Arc::clone(&self.plain)) };
        let now = Instant::now();
        // Whoever panicked has left a map that is whole.
        let mut certified = self.certified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = certified.get_mut(&certificate.identity()) {
            known.used = now;
            return Ok(Arc::clone(&known.client));
        }
        let client = Arc::new(Guarded::by_policy(&self.make, Some(certificate))?);
        certified.retain(|_, known| now.duration_since(known.used) < UNUSED_MAX);
        if certified.len() >= CERTIFIED_MAX
            && let Some(oldest) = certified.iter().min_by_key(|(_, known)| known.used).map(|(identity, _)| *identity)
        {
            certified.remove(&oldest);
        }
        certified.insert(certificate.identity(), Certified { client: Arc::clone(&client), used: now });
        Ok(client)
    }
}
