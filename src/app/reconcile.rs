//! Makes a reconciler of the settings, for the command and for `serve`.

use super::service::credentials;
use crate::cli::CliError;
use crate::config::Settings;
use crate::ingest::{Ingest, MisskeyPolicy, Reach, Reconciler};
use crate::misskey::Misskey;
use crate::model::Secret;

/// The reconciler for the Misskey of `settings`, which asks it with `token`.
///
/// # Errors
/// When a setting that it needs is not set; the words name it.
pub(super) fn reconciler(settings: &Settings, token: Secret, ingest: Ingest) -> anyhow::Result<Reconciler> {
    let missing = |name: &str, what: &str| CliError::Usage(format!("misskey.{name} is not set: {what}; set it"));
    let misskey = &settings.misskey;
    let url = misskey.url.as_ref().ok_or_else(|| missing("url", "nobody knows which Misskey to ask"))?;
    let ours = misskey
        .ingest_url
        .as_ref()
        .ok_or_else(|| missing("ingest_url", "of what Misskey gave up, nobody can tell what was for us"))?;
    let reach = Reach::new(&ours.url, &ours.source);
    let policy = MisskeyPolicy { credentials: credentials(settings) };
    Ok(Reconciler::new(Misskey::new(url, &settings.outbound.authorities)?, token, reach, policy, ingest))
}
