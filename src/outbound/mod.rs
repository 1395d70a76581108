//! Requests to receivers, and calls to the Misskey of the settings: the only place from which a request leaves the program.
//!
//! [`Client::send`] makes one attempt: one POST, no redirect, one deadline over name look-up, connecting, TLS, headers and
//! body, and at most [`RESPONSE_BYTES_MAX`] of the answer. It tells how the exchange went and decides nothing; what that
//! means is `decide::classify`'s word. Connections are pooled and shared by all webhooks. Proxies of the environment are not
//! used; that of the settings is (`proxy`, `tunnel`). No request leaves for an address that policy forbids: `guard` and `resolver` see to it. What a request's body says is
//! made by `formats`. [`Caller::post`] makes a call to a server that the admin has named, on the same HTTP stack, whatever that
//! server's addresses are, and to no other.

mod call;
mod client;
mod clients;
mod excerpt;
mod failure;
mod formats;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod guard;
mod handshake;
mod http;
mod interim;
mod names;
mod pieces;
mod proxy;
mod request;
mod resolver;
mod tls;
mod tunnel;

pub use call::{Asked, CallError, Caller, Lines, Reply, Replying, Sent};
pub(crate) use client::one_line;
pub use client::{Answer, Client, ClientError, Outlet, RESPONSE_BYTES_MAX};
pub use excerpt::RESPONSE_KEPT_BYTES_MAX;
pub use names::{Found, Names, SystemNames};
pub use proxy::Proxy;
pub use request::Attempt;
pub use tls::Authorities;
