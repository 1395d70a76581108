#![forbid(unsafe_code)]
//! hikyaku: durable webhook delivery beside a Misskey server.

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decide;
pub mod deliver;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod incoming;
pub mod ingest;
pub mod misskey;
pub mod model;
pub mod operate;
pub mod outbound;
pub mod postgres;
pub mod queue;
pub mod record;
pub mod registry;
pub mod shown;
pub mod sqlite;
pub mod store;
pub mod telemetry;
pub mod traces;
