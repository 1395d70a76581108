//! The rules: who may post whose events, which events a webhook's filters let through, what an answer means, when to try
//! again, when a rate limit lets a request go, how many may be under way to one webhook, when one that fails is left alone
//! and when it is switched off, what becomes of a delivery, how a request is signed, and which addresses it may go to.
//!
//! Everything here is a plain function of its arguments: no clock, no chance, no logging, no waiting. Whoever calls it
//! fetches the inputs (the time, a number for the jitter), asks once, and does what the answer says. A delivery's fate is
//! decided by [`next_step`] alone (promise 4).

mod address;
mod breaker;
mod classify;
mod content;
mod failing;
mod filter;
mod host_backoff;
mod ingest_scope;
mod next_step;
mod rate;
mod retry;
mod signature;
mod slots;
mod turns;

pub use address::{AddressPolicy, AllowedNetwork, Forbidden, Network};
pub use breaker::{Breaker, BreakerState, Change, Ending, Leave, PROBE_WAIT_MAX, Shut, Why};
pub use classify::{Exchange, NoAnswer, Verdict, classify, without_excerpt};
pub use content::{Content, SEARCHED_BYTES_MAX};
pub use failing::{Course, after_attempt};
pub use filter::passes;
pub use host_backoff::{HostBackoff, Reached};
pub use ingest_scope::{Admission, Credential, Gate, IngestScope, IngestScopeError, derived_secret};
pub use next_step::{Comeback, Happening, Policy, SkipReason, Standing, Step, Wait, behind, next_step};
pub use rate::Bucket;
pub use retry::{
    PARK_WAIT_MAX, left_alone_wait, park_wait, parse_retry_after, probe_wait, retry_wait, token_wait, turn_wait,
};
pub use signature::{SignatureError, sign_v1, sign_v1a, signatures};
pub use slots::{Pace, SLOTS_FIRST, Share, Slots};
pub use turns::{Turns, apart, together};
