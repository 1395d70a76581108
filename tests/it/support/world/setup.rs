//! How a world, and a webhook in it, are made.

use std::sync::Arc;
use std::time::Duration;

use hikyaku::model::Options;
use hikyaku::outbound::{Names, Outlet, SystemNames};

/// The user of the plain webhook and the plain event.
pub(crate) const USER: &str = "u1";

/// How a world is made.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Whether time stands still until the test moves it.
    pub(crate) held: bool,
    pub(crate) schedule: Vec<Duration>,
    pub(crate) max_age: Duration,
    pub(crate) retry_after_max: Duration,
    pub(crate) deactivate_after: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) slots_per_webhook: usize,
    pub(crate) connections_per_host: usize,
    pub(crate) breaker_failures: u32,
    pub(crate) concurrency: usize,
    pub(crate) patience: Duration,
    pub(crate) foresight: bool,
    pub(crate) prefetch: usize,
    pub(crate) grace: Duration,
    /// Networks that the address guard lets through, as an admin writes them.
    pub(crate) allowed: Vec<String>,
    /// Who knows names.
    pub(crate) names: Arc<dyn Names>,
    /// How requests leave.
    pub(crate) outlet: Outlet,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            held: true,
            schedule: [5, 30, 120].map(Duration::from_secs).to_vec(),
            max_age: Duration::from_secs(4 * 86400),
            retry_after_max: Duration::from_secs(3600),
            deactivate_after: Some(Duration::from_secs(5 * 86400)),
            timeout: Duration::from_secs(10),
            slots_per_webhook: 64,
            connections_per_host: 128,
            breaker_failures: 10,
            concurrency: 256,
            patience: Duration::from_millis(200),
            foresight: true,
            prefetch: 512,
            grace: Duration::from_secs(10),
            // Where the receivers of tests are.
            allowed: vec!["127.0.0.1/32".to_owned()],
            names: Arc::new(SystemNames),
            outlet: Outlet::default(),
        }
    }
}

/// A webhook to be made; the plain one belongs to [`USER`] and wants `note`.
#[derive(Clone, Debug)]
pub(crate) struct HookSetup<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) source: &'a str,
    pub(crate) on: &'a [&'a str],
    pub(crate) secret: &'a str,
    pub(crate) options: Options,
}

impl Default for HookSetup<'_> {
    fn default() -> Self {
        Self { user: Some(USER), source: "default", on: &["note"], secret: "s3cr3t", options: Options::default() }
    }
}
