#![forbid(unsafe_code)]
//! hikyaku: durable webhook delivery beside a Misskey server.

pub mod clock;
pub mod config;
pub mod model;
pub mod sqlite;
