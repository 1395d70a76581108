//! Misskey's own API, asked by `hikyaku::misskey`, and answered by the stand-in of `support::misskey`.

mod calls;
mod tokens;

use hikyaku::misskey::Misskey as Client;
use hikyaku::model::Secret;
use hikyaku::outbound::Authorities;

use crate::support::misskey::Misskey;

/// A person of the stand-in's.
pub(crate) const ALICE: &str = "9ks5o1w5k3x90001";

/// The client for a stand-in.
pub(crate) fn client(misskey: &Misskey) -> Client {
    Client::new(&misskey.url().parse().expect("a URL"), &Authorities::default()).expect("a client")
}

/// A token.
pub(crate) fn secret(token: &str) -> Secret {
    Secret::new(token)
}
