//! From a name to its addresses: the system's resolver, with `/etc/hosts` and all that it knows.
//!
//! Tests ask a DNS server of their own instead, which may answer as a stranger's does. Nothing is checked or kept here.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

/// The addresses of a name, in the order in which they are to be tried.
pub type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Knows names.
pub trait Names: fmt::Debug + Send + Sync {
    /// Looks `name` up.
    fn look_up(&self, name: String) -> Found;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn look_up(&self, name: String) -> Found {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
