//! The example in Rust of `docs/signatures.md`, as it stands there.

#![expect(unreachable_pub, reason = "it stands on the page as a module of anybody's")]

use axum::http::HeaderMap;

/// `v1`, by the signing secret (`whsec_...`).
pub fn is_genuine(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    standardwebhooks::Webhook::new(secret).is_ok_and(|webhook| webhook.verify(body, headers).is_ok())
}

/// `v1a`, by the public key (`whpk_...`); `now_s` counts seconds since 1970.
pub fn is_genuine_by_key(public_key: &str, headers: &HeaderMap, body: &[u8], now_s: u64) -> bool {
    let base64 = |text: &str| data_encoding::BASE64.decode(text.as_bytes()).ok();
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(key) = public_key.strip_prefix("whpk_").and_then(base64) else { return false };
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key);
    let timestamp = header("webhook-timestamp");
    if !timestamp.parse().is_ok_and(|sent_s: u64| now_s.abs_diff(sent_s) <= 300) {
        return false;
    }
    let signed = [format!("{}.{timestamp}.", header("webhook-id")).as_bytes(), body].concat();
    let signatures = header("webhook-signature").split(' ').filter_map(|one| one.strip_prefix("v1a,"));
    signatures.filter_map(base64).any(|signature| key.verify(&signed, &signature).is_ok())
}
