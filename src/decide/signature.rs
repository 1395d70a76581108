//! The signatures of Standard Webhooks 1.0.0 over `{webhook-id}.{webhook-timestamp}.{body}`: `v1` is HMAC-SHA256, `v1a`
//! ed25519 (RFC 8032). Which secrets and keys sign is decided here too, by the moment of the attempt.
//!
//! The body is signed in the pieces it is sent in, so the signature is over exactly the bytes sent.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::model::{Signing, SigningKey, Timestamp};

/// A signing secret that is none; registration checks secrets, so this is a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing secret is not `whsec_` followed by base64")]
pub struct SignatureError;

/// The value of the header `webhook-signature`: one signature for each secret and key that signs at `now`, separated by spaces,
/// secrets first and the current ones before the earlier; none when there are none.
///
/// `id` is the delivery id, `now` the moment of the attempt, `body` the request's body in order.
///
/// # Errors
/// When a secret is none.
pub fn signatures(
    signing: &Signing,
    id: &str,
    now: Timestamp,
    body: &[&[u8]],
) -> Result<Option<String>, SignatureError> {
    let timestamp_s = now.as_millis().div_euclid(1000);
    let mut all = Vec::new();
    for secret in signing.secret.at(now) {
        all.push(sign_v1(secret.expose(), id, timestamp_s, body)?);
    }
    all.extend(signing.key.at(now).map(|key| sign_v1a(key, id, timestamp_s, body)));
    Ok(Some(all.join(" ")).filter(|text| !text.is_empty()))
}

/// The `v1` signature, as it stands in the header `webhook-signature`.
///
/// `secret` is `whsec_` and base64; `id` is the delivery id; `timestamp_s` counts seconds since 1970; `body` is the request's
/// body in order.
///
/// # Errors
/// When `secret` is not that.
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

/// The `v1a` signature, as it stands in the header `webhook-signature`. Arguments are those of [`sign_v1`].
pub fn sign_v1a(key: &SigningKey, id: &str, timestamp_s: i64, body: &[&[u8]]) -> String {
    // Ed25519 goes over the content twice (RFC 8032, section 5.1.6), so it has to lie there in one piece.
    let mut content = format!("{id}.{timestamp_s}.").into_bytes();
    body.iter().for_each(|piece| content.extend_from_slice(piece));
    format!("v1a,{}", data_encoding::BASE64.encode(&key.sign(&content)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use data_encoding::{BASE64, HEXLOWER};
    use proptest::prelude::{Strategy, any, prop};
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;
    use crate::model::{Secret, SigningChange};

    /// Those of the reference libraries and of Svix, whose signatures Standard Webhooks' are.
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

    fn public_key(key: &SigningKey) -> UnparsedPublicKey<Vec<u8>> {
        let public = key.public();
        let public = BASE64.decode(public.strip_prefix("whpk_").expect("whpk_").as_bytes());
        UnparsedPublicKey::new(&ED25519, public.expect("base64"))
    }

    #[test]
    fn a_key_signs_as_rfc_8032_says() {
        // RFC 8032, section 7.1: seed, public key, message and signature of the tests 1, 2 and 3.
        for [seed, public, message, signature] in [
            [
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ],
            [
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ],
            [
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ],
        ] {
            let bytes = |hex: &str| HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal");
            let key = SigningKey::of_seed(&bytes(seed).try_into().expect("32 bytes"));
            assert_eq!(key.public(), format!("whpk_{}", BASE64.encode(&bytes(public))));
            assert_eq!(HEXLOWER.encode(&key.sign(&bytes(message))), signature);
        }
    }

    #[test]
    fn every_secret_and_key_that_signs_now_has_a_signature_and_no_other() {
        let secret = |byte| Secret::new(&format!("whsec_{}", BASE64.encode(&[byte; 24])));
        let key = |byte| SigningKey::of_seed(&[byte; 32]);
        let now = Timestamp::from_millis(1_614_265_330_999);
        let change = |byte| SigningChange {
            secret: Some(Some(secret(byte))),
            key: Some(Some(key(byte))),
            grace: Some(Duration::from_secs(10)),
            ..SigningChange::default()
        };
        let mut signing = Signing::default();
        assert_eq!(signatures(&signing, "id", now, &[b"{}"]), Ok(None));
        signing.change(&change(1), now);
        signing.change(&change(2), now);
        let v1 = |byte, s| sign_v1(secret(byte).expose(), "id", s, &[b"{}"]).expect("signed");
        let v1a = |byte, s| sign_v1a(&key(byte), "id", s, &[b"{}"]);
        let both = |s| [v1(2, s), v1(1, s), v1a(2, s), v1a(1, s)].join(" ");
        assert_eq!(signatures(&signing, "id", now, &[b"{}"]), Ok(Some(both(1_614_265_330))));
        let later = now.plus(Duration::from_millis(9999));
        assert_eq!(signatures(&signing, "id", later, &[b"{}"]), Ok(Some(both(1_614_265_340))));
        let over = now.plus(Duration::from_secs(10));
        let one = [v1(2, 1_614_265_340), v1a(2, 1_614_265_340)].join(" ");
        assert_eq!(signatures(&signing, "id", over, &[b"{}"]), Ok(Some(one)));
    }

    #[test]
    fn a_secret_that_is_none_is_an_error() {
        assert_eq!(sign_v1("plain", "id", 0, &[]), Err(SignatureError));
        assert_eq!(sign_v1("whsec_???", "id", 0, &[]), Err(SignatureError));
    }

    /// A body in pieces.
    fn body() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)
    }

    proptest::proptest! {
        #[test]
        fn a_v1a_signature_is_over_the_content_and_no_other(
            seed in any::<[u8; 32]>(), id in "msg_[a-z2-7]{32}", timestamp_s in 0..i64::from(u32::MAX), body in body(),
            at in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            let key = SigningKey::of_seed(&seed);
            let pieces: Vec<&[u8]> = body.iter().map(Vec::as_slice).collect();
            let signed = sign_v1a(&key, &id, timestamp_s, &pieces);
            let mut signature = BASE64.decode(signed.strip_prefix("v1a,").expect("v1a").as_bytes()).expect("base64");
            let mut content = [format!("{id}.{timestamp_s}.").as_bytes(), &body.concat()].concat();
            let public = public_key(&key);
            proptest::prop_assert!(public.verify(&content, &signature).is_ok());
            let length = content.len();
            content[at.index(length)] ^= 1 << bit;
            proptest::prop_assert!(public.verify(&content, &signature).is_err());
            content[at.index(length)] ^= 1 << bit;
            signature[at.index(64)] ^= 1 << bit;
            proptest::prop_assert!(public.verify(&content, &signature).is_err());
        }
    }
}
