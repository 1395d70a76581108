//! What these tests have of those in `tests/it`: servers, receivers, the program as a child process.
#![expect(dead_code, unused_imports, reason = "the tests in tests/it use more of it")]

#[path = "../it/support/broker/mod.rs"]
pub(crate) mod broker;
#[path = "../it/support/journey_receiver.rs"]
pub(crate) mod journey_receiver;
#[path = "../it/support/postgres.rs"]
pub(crate) mod postgres;
#[path = "../it/support/program.rs"]
pub(crate) mod program;
