//! From a receiver's name to its addresses, by the system's resolver.
//!
//! A resolver of our own, so that a name without an address is told apart from a connection that fails, and so that every
//! address passes one place before it is connected to.

use std::error::Error;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A name that has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name {name:?} cannot be resolved: {why}")]
pub(super) struct NameError {
    name: String,
    why: String,
}

#[derive(Debug, Default)]
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_owned();
            // The error itself in the box: a `Box<NameError>` made into a `Box<dyn Error>` is boxed twice, and not found again.
            let unresolved =
                |why: String| -> Box<dyn Error + Send + Sync> { Box::new(NameError { name: name.clone(), why }) };
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let addresses: Vec<SocketAddr> = found.map_err(|error| unresolved(error.to_string()))?.collect();
            if addresses.is_empty() {
                return Err(unresolved("it has no address".to_owned()));
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
