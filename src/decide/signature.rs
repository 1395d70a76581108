//! The signature of Standard Webhooks 1.0.0: HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`, version `v1`.
//!
//! The body is signed in the pieces it is sent in, so the signature is over exactly the bytes sent.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A signing secret that is none; registration checks secrets, so this is a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing secret is not `whsec_` followed by base64")]
pub struct SignatureError;

/// The `v1` signature, as it stands in the header `webhook-signature`.
///
/// `secret` is `whsec_` and base64; `id` is the delivery id; `timestamp_s` counts seconds since 1970; `body` is the request's
/// body in order.
///
/// # Errors
/// When the secret is none.
pub fn sign_v1(secret: &str, id: &str, timestamp_s: i64, body: &[&[u8]]) -> Result<String, SignatureError> {
    let key = secret.strip_prefix("whsec_").ok_or(SignatureError)?;
    let key = data_encoding::BASE64.decode(key.as_bytes()).map_err(|_| SignatureError)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SignatureError)?;
    mac.update(format!("{id}.{timestamp_s}.").as_bytes());
    for piece in body {
        mac.update(piece);
    }
    Ok(format!("v1,{}", data_encoding::BASE64.encode(&mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_come_out() {
        let first = sign_v1(
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            &[br#"{"email":"test@example.com","#, br#""username":"test_user"}"#],
        );
        assert_eq!(first.expect("signed"), "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
        let second = sign_v1(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            &[br#"{"test": 2432232314}"#],
        );
        assert_eq!(second.expect("signed"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_none_is_an_error() {
        assert_eq!(sign_v1("plain", "id", 0, &[]), Err(SignatureError));
        assert_eq!(sign_v1("whsec_???", "id", 0, &[]), Err(SignatureError));
    }
}
