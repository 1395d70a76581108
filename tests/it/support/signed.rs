//! Checks signatures as a receiver does (Standard Webhooks 1.0.0), with nothing of hikyaku's own code.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::Sha256;

use super::journey_receiver::Arrived;
use super::receiver::Got;

/// What is signed of a request, and its signatures.
pub(crate) struct Sent<'a> {
    pub(crate) id: &'a str,
    pub(crate) timestamp: &'a str,
    pub(crate) signatures: &'a str,
    pub(crate) body: &'a [u8],
}

impl<'a> From<&'a Arrived> for Sent<'a> {
    fn from(arrived: &'a Arrived) -> Self {
        let header = |name| arrived.header(name);
        let (timestamp, signatures) = (header("webhook-timestamp"), header("webhook-signature"));
        Self { id: arrived.id(), timestamp, signatures, body: &arrived.body }
    }
}

impl<'a> From<&'a Got> for Sent<'a> {
    fn from(got: &'a Got) -> Self {
        let header = |name| got.header(name);
        let (timestamp, signatures) = (header("webhook-timestamp"), header("webhook-signature"));
        Self { id: header("webhook-id"), timestamp, signatures, body: &got.body }
    }
}

/// By which of `known`, secrets (`whsec_`) and public keys (`whpk_`), each signature is, in their order. One that is by none is
/// a failure.
#[track_caller]
pub(crate) fn signed_by<'a>(sent: impl Into<Sent<'a>>, known: &[&str]) -> Vec<String> {
    let sent = sent.into();
    let content = [format!("{}.{}.", sent.id, sent.timestamp).as_bytes(), sent.body].concat();
    let signatures = sent.signatures.split(' ').filter(|signature| !signature.is_empty());
    let by = |signature: &str| {
        let found = known.iter().find(|known| is_by(signature, known, &content));
        (*found.unwrap_or_else(|| panic!("{signature} is by none of {known:?}"))).to_owned()
    };
    signatures.map(by).collect()
}

fn is_by(signature: &str, known: &str, content: &[u8]) -> bool {
    let bytes = |text: &str| BASE64.decode(text.as_bytes()).expect("base64");
    match (signature.split_once(',').expect("a version"), known.split_once('_').expect("a prefix")) {
        (("v1", signature), ("whsec", secret)) => {
            let mac = Hmac::<Sha256>::new_from_slice(&bytes(secret)).expect("any length");
            mac.chain_update(content).verify_slice(&bytes(signature)).is_ok()
        }
        (("v1a", signature), ("whpk", public)) => {
            UnparsedPublicKey::new(&ED25519, bytes(public)).verify(content, &bytes(signature)).is_ok()
        }
        _ => false,
    }
}
