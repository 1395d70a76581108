//! `hikyaku demo`: shows the whole way of an event on this machine, without any set-up, and accounts for every delivery.
//!
//! The [`samples`] are published as events; the [`receivers`] on loopback are where the webhooks point and count for
//! themselves what reaches them; [`progress`] shows a person how far it is; the [`report`] compares what was accepted
//! with what was delivered, dead-lettered and left waiting.
//!
//! Nothing here decides a delivery's fate: the demo runs the same worker as `hikyaku serve`.

mod account;
mod contract;
pub mod progress;
pub mod receivers;
pub mod report;
mod run;
pub mod samples;
mod stage;
mod table;
mod words;

pub(super) use run::run;
pub use words::{DeliveryRef, ReceiverKind, Violations};
