//! What tests share: receivers, events, the program as a child process.

pub(crate) mod patience;
pub(crate) mod receiver;
pub(crate) mod world;
