#![forbid(unsafe_code)]
//! hikyaku: durable webhook delivery beside a Misskey server.

pub mod clock;
pub mod model;
pub mod record;
pub mod registry;
pub mod sqlite;
