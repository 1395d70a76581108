//! `hikyaku misskey secret`: what a Misskey's own webhook that points here has as its secret.

use super::{CliError, ConnectArgs, Output};
use crate::decide::{Credential, derived_secret};
use crate::model::{Source, UserId};

/// What to do about Misskey's own webhooks that point here.
#[derive(Debug, clap::Subcommand)]
pub enum MisskeyCommand {
    /// Print the secret of a user's webhook at Misskey, computed from the `master` of [[misskey.ingest]]
    Secret {
        /// The user's id at Misskey
        #[arg(long, value_name = "ID")]
        user: String,
        /// Which Misskey
        #[arg(long, default_value = "default")]
        source: String,
    },
    /// Walk a person through pointing a webhook here: makes or repairs it, and takes over others
    Connect(ConnectArgs),
}

/// `hikyaku misskey secret`: prints the secret of `user`'s webhook, by the first master of `source` among `credentials`.
///
/// # Errors
/// When the arguments or the settings do not lead to an answer.
pub fn misskey_secret(
    user: &str,
    source: &str,
    credentials: &[(Source, Credential)],
    output: &mut Output,
) -> Result<(), CliError> {
    let user = UserId::new(user).map_err(|error| CliError::Usage(format!("--user {user:?}: {error}")))?;
    let source = Source::new(source).map_err(|error| CliError::Usage(format!("--source {source:?}: {error}")))?;
    let masters = credentials.iter().filter(|(of, _)| *of == source).filter_map(|(_, credential)| match credential {
        Credential::Master(master) => Some(master),
        Credential::Secret { .. } => None,
    });
    let masters: Vec<_> = masters.collect();
    let Some(master) = masters.first() else {
        return Err(CliError::Usage(format!(
            "no [[misskey.ingest]] of the source {source} has a `master`, from which users' secrets are computed; set one"
        )));
    };
    if masters.len() > 1 {
        output.note(&format!("{} masters are set for this source; this is of the first", masters.len()));
    }
    output.line(derived_secret(master, &source, &user).expose())
}
