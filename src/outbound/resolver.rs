//! From a receiver's name to the addresses that may be connected to.
//!
//! The HTTP client asks it for each connection that it makes to a name, and connects to nothing else than what it gets from
//! here: every address passes the guard, and those that are forbidden are left out. A name without an address is told apart
//! from one whose addresses are all forbidden, and both from a connection that fails.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::names::Names;
use crate::decide::{AddressPolicy, Forbidden};

/// A name that has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name {name:?} cannot be resolved: {why}")]
pub(super) struct NameError {
    name: String,
    why: String,
}

/// A name that has none but forbidden addresses.
#[derive(Debug, thiserror::Error)]
#[error("the name {name:?} leads to an address that is not allowed. {forbidden}")]
pub(super) struct ForbiddenName {
    name: String,
    /// Its first address.
    forbidden: Forbidden,
}

/// How addresses are checked.
#[derive(Clone, Debug)]
pub(super) enum Checks {
    /// Not at all.
    None,
    /// For connections to `port`, or to one that is like it.
    Policy { policy: Arc<AddressPolicy>, port: u16 },
}

#[derive(Clone, Debug)]
pub(super) struct Resolver {
    names: Arc<dyn Names>,
    checks: Checks,
}

impl Resolver {
    pub(super) fn new(names: Arc<dyn Names>, checks: Checks) -> Self {
        Self { names, checks }
    }

    /// The addresses of `name` that may be connected to; at least one.
    pub(super) async fn allowed(&self, name: &str) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
        addresses(&*self.names, &self.checks, name).await
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let allowed = resolver.allowed(name.as_str()).await?;
            Ok(Box::new(allowed.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// The addresses of `name` that may be connected to; at least one.
pub(super) async fn addresses(
    names: &dyn Names,
    checks: &Checks,
    name: &str,
) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
    // The errors themselves in the box: a `Box<NameError>` made into a `Box<dyn Error>` is boxed twice, and not found again.
    let unresolved =
        |why: String| -> Box<dyn Error + Send + Sync> { Box::new(NameError { name: name.to_owned(), why }) };
    let found = names.look_up(name.to_owned()).await.map_err(|error| unresolved(error.to_string()))?;
    if found.is_empty() {
        return Err(unresolved("it has no address".to_owned()));
    }
    let forbidden =
        |forbidden| -> Box<dyn Error + Send + Sync> { Box::new(ForbiddenName { name: name.to_owned(), forbidden }) };
    checks.allowed(found).map_err(forbidden)
}

impl Checks {
    /// Those of `found`, which has some, that may be connected to, in their order; or why none may.
    pub(super) fn allowed(&self, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Forbidden> {
        let Self::Policy { policy, port } = self else { return Ok(found) };
        let mut allowed = Vec::with_capacity(found.len());
        let mut first_refusal = None;
        for address in found {
            match policy.check(address, *port) {
                Ok(()) => allowed.push(address),
                Err(forbidden) => first_refusal = first_refusal.or(Some(forbidden)),
            }
        }
        match first_refusal {
            Some(forbidden) if allowed.is_empty() => Err(forbidden),
            _ => Ok(allowed),
        }
    }
}
