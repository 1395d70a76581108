//! What tests share: receivers, events, the program as a child process.

pub(crate) mod journey_receiver;
pub(crate) mod program;
