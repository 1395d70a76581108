//! What these tests have of those in `tests/it`: receivers, the program as a child process.
#![expect(dead_code, reason = "the tests in tests/it use more of it")]

#[path = "../it/support/journey_receiver.rs"]
pub(crate) mod journey_receiver;
#[path = "../it/support/program.rs"]
pub(crate) mod program;
