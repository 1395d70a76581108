//! The Misskey beside us, asked through its own HTTP API; Misskey is not changed for it.
//!
//! [`Misskey`] makes the calls: `POST {misskey.url}/api/<endpoint>`, the token as `i` in the body, one deadline, a bounded
//! answer, no redirects. Each call is typed and stands in the file of what it is about. A call tells three ways to fail
//! apart ([`MisskeyError`]): Misskey is away, it refuses (with its own code), or what answers is not Misskey as we know it.
//!
//! [`People`] tells who a token belongs to and what it may do, by asking Misskey and remembering the answer for a minute.
//!
//! Tokens are never stored nor logged. Facts about the API were read in Misskey 2026.3.2; calls give what they need and
//! take what they know, so that other versions and forks work too.

mod about;
mod account;
mod client;
mod error;
mod jobs;
mod miauth;
mod people;
mod permissions;
mod webhooks;

pub use about::About;
pub use account::Account;
pub use client::Misskey;
pub use error::{MisskeyError, Refusal};
pub use jobs::{FailedJob, FailedJobs, JOBS_KEPT, JobQueue};
pub use miauth::Granted;
pub use people::{Need, People, PeopleError};
pub use webhooks::{MisskeyWebhook, NewWebhook, WebhookChange};
