//! What signs a declared webhook's requests: `signing_secret` and `signing_key`, and those before them.
//!
//! A declared earlier one has no end: it signs until it is taken out of the file.

use crate::model::{
    PREVIOUS_SIGNING_MAX, Previous, Signers, Signing, WebhookError, check_signing_key, check_signing_secret,
};

use super::reader::Section;
use super::values;
use super::webhooks::bare_words;

pub(super) fn read(section: &mut Section<'_, '_>) -> Signing {
    Signing {
        secret: signers(section, "signing_secret", "previous_signing_secrets", check_signing_secret),
        key: signers(section, "signing_key", "previous_signing_keys", check_signing_key),
    }
}

fn signers<K>(
    section: &mut Section<'_, '_>,
    current: &str,
    previous: &str,
    check: fn(&str) -> Result<K, WebhookError>,
) -> Signers<K> {
    let checked = |text: &str| check(text).map_err(|error| bare_words(&error));
    let earlier = section.list(previous, PREVIOUS_SIGNING_MAX, |value| checked(values::text(value)?));
    let earlier = earlier.unwrap_or_default();
    if !earlier.is_empty() && !section.has(current) {
        section.problem(previous, format!("there is none that came after: set {current}, or leave this out"));
    }
    Signers {
        current: section.text(current, checked),
        previous: earlier.into_iter().map(|signer| Previous { signer, until: None }).collect(),
    }
}
