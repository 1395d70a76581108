//! What tests share: receivers, events, brokers, the program as a child process.

pub(crate) mod broker;
