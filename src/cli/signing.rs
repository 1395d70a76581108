//! What signs a webhook's requests, as `webhooks create` and `update` are asked for it; made here when they ask for that.

use std::time::Duration;

use super::webhooks::{flagged, given_or_typed};
use super::{CliError, OptionArgs};
use crate::model::{SigningChange, WebhookError, check_signing_key, check_signing_secret};
use crate::registry::{RegistryError, made_signing_key, made_signing_secret};

/// What `args` change of what signs; `grace_default` is the settings'.
pub(super) fn asked(args: &OptionArgs, grace_default: Duration) -> Result<SigningChange, CliError> {
    let OptionArgs {
        signing_secret, generate_signing_secret, signing_key, generate_signing_key, signing_grace, ..
    } = args;
    Ok(SigningChange {
        secret: signer(
            "--signing-secret",
            signing_secret.as_deref(),
            check_signing_secret,
            *generate_signing_secret,
            made_signing_secret,
        )?,
        key: signer(
            "--signing-key",
            signing_key.as_deref(),
            check_signing_key,
            *generate_signing_key,
            made_signing_key,
        )?,
        grace: signing_grace.map(Duration::from_secs),
        grace_default,
    })
}

fn signer<K>(
    flag: &str,
    given: Option<&str>,
    check: fn(&str) -> Result<K, WebhookError>,
    generate: bool,
    make: fn() -> Result<K, RegistryError>,
) -> Result<Option<Option<K>>, CliError> {
    match given {
        None if generate => Ok(Some(Some(make()?))),
        None => Ok(None),
        Some("none") => Ok(Some(None)),
        Some(text) => {
            let signer = check(&given_or_typed(text)?).map_err(|error| flagged(flag, &error))?;
            Ok(Some(Some(signer)))
        }
    }
}
