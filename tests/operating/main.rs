//! What operators do with the program: look whether it is well, and what is wrong; let it idle; restart and upgrade it. The real
//! binary, real servers; nothing of the library is linked, so that this is built in seconds.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

mod checked;
mod checked_on_servers;
mod drained;
mod golden;
mod golden_in_postgresql;
mod health;
mod idle;
mod logged;
mod newer;
mod reloaded;
mod rolling;
mod servers;
mod shells;
mod support;
