#![forbid(unsafe_code)]
//! hikyaku: durable webhook delivery beside a Misskey server.

pub mod app;
pub mod clock;
pub mod model;
pub mod sqlite;
