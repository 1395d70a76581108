//! What operators do with the program: look whether it is well, and what is wrong. The real binary, real servers; nothing of the library
//! is linked, so that this is built in seconds.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

mod checked;
mod checked_on_servers;
mod drained;
mod health;
mod logged;
mod reloaded;
mod shells;
mod support;
