//! `hikyaku misskey connect`: walks a person through pointing a Misskey webhook here.
//!
//! The person allows it on Misskey (MiAuth, [`authorize`]); with the token that gives, the person's own webhook that points
//! here is made or repaired ([`own_webhook`]), and the other webhooks are taken over if wanted ([`takeover`]): each becomes
//! one here, and is, if that is wanted too, switched off on Misskey. Running it again changes only what is not as it
//! should be.
//!
//! The token lives in this process's memory for one run. It is written nowhere and told to nobody; Misskey lets no app give
//! it back (`i/revoke-token` is for a login's own token), so the person is told where to.
//!
//! Asks are for a terminal only ([`Choices`]); without one and without flags, nothing is taken over.

mod authorize;
mod choices;
mod own_webhook;
mod takeover;

use url::Url;

use super::{CliError, Output};
use crate::decide::{AddressPolicy, Credential, IngestScope, derived_secret};
use crate::misskey::{Granted, Misskey};
use crate::model::{Secret, Source, UserId};
use crate::registry::Registry;

pub use choices::Choices;

/// Arguments of `misskey connect`.
#[derive(Debug, clap::Args)]
pub struct ConnectArgs {
    /// Take over the other webhooks that the person has on Misskey [default: ask]
    #[arg(long, conflicts_with = "no_import")]
    pub import: bool,
    /// Leave them where they are
    #[arg(long)]
    pub no_import: bool,
    /// Switch off on Misskey what was taken over, so that receivers do not get everything twice [default: ask]
    #[arg(long, conflicts_with = "no_pause")]
    pub pause: bool,
    /// Leave it switched on on Misskey too
    #[arg(long)]
    pub no_pause: bool,
    /// Yes to what would be asked
    #[arg(long)]
    pub yes: bool,
    /// Seconds that the person has to agree on Misskey
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub wait: u32,
}

/// What `connect` works with.
#[derive(Debug)]
pub struct Connecting<'a> {
    /// The person's Misskey.
    pub misskey: &'a Misskey,
    /// Where its webhooks to us point (`misskey.ingest_url`).
    pub here: &'a Url,
    /// The source of what comes in there.
    pub source: &'a Source,
    /// What opens the way in, of every source, in the order of the settings.
    pub credentials: &'a [(Source, Credential)],
    /// The webhooks here.
    pub registry: &'a Registry,
    /// Webhooks that a person may have here.
    pub webhook_limit: usize,
    /// The addresses that a webhook's URL may have as its host.
    pub addresses: &'a AddressPolicy,
}

/// Connects one person.
///
/// # Errors
/// When the settings have no secret for a person, the person does not agree in time, or Misskey does not do its part; what
/// was done before has been told, and running it again goes on from there.
pub async fn connect(
    args: &ConnectArgs,
    with: &Connecting<'_>,
    choices: &Choices,
    output: &mut Output,
) -> Result<(), CliError> {
    with.check_credentials()?;
    let granted = authorize::wait_for_person(with.misskey, args.wait, output).await?;
    let connected = with.connect(&granted, choices, output).await;
    drop(granted);
    output.line(&format!(
        "The access is thrown away. Misskey lists it until you remove it there, at {}/settings/apps.",
        with.misskey.origin()
    ))?;
    connected
}

impl Connecting<'_> {
    async fn connect(&self, granted: &Granted, choices: &Choices, output: &mut Output) -> Result<(), CliError> {
        let Granted { token, account } = granted;
        output.line(&format!("Connected as @{} ({}).", account.username, account.id))?;
        let secret = self.secret_of(&account.id)?;
        let webhooks = self.misskey.webhooks(token).await?;
        own_webhook::repair(self, granted, &webhooks, &secret, output).await?;
        takeover::offer(self, granted, &webhooks, choices, output).await?;
        self.tell_what_is_next(&account.id, output)
    }

    /// Says at once when nobody could be connected.
    fn check_credentials(&self) -> Result<(), CliError> {
        let is_for_a_person =
            |credential: &Credential| !matches!(credential, Credential::Secret { scope: IngestScope::System, .. });
        if of_source(self.credentials, self.source).any(is_for_a_person) {
            return Ok(());
        }
        Err(CliError::Usage(format!(
            "no [[misskey.ingest]] of the source {} lets a person's events in; set one with a `master`, from which each \
             person's secret is computed",
            self.source
        )))
    }

    fn secret_of(&self, user: &UserId) -> Result<Secret, CliError> {
        secret_of(self.credentials, self.source, user).ok_or_else(|| {
            CliError::Usage(format!(
                "no [[misskey.ingest]] of the source {} lets events of this user in; set one with a `master`, or with a \
                 secret and scope = \"user:{user}\", and run this again",
                self.source
            ))
        })
    }

    /// Tells what is missing before anything is delivered to anybody.
    fn tell_what_is_next(&self, user: &UserId, output: &mut Output) -> Result<(), CliError> {
        if takeover::of_person(self, user).is_empty() {
            let of =
                if *self.source == Source::default() { String::new() } else { format!(" --source {}", self.source) };
            output.line("No webhook in hikyaku gets these events yet. Register one:")?;
            output.line(&format!(
                "  hikyaku webhooks create --user {user}{of} --on note,mention --url https://bot.example/hook"
            ))?;
        }
        Ok(())
    }
}

fn of_source<'a>(credentials: &'a [(Source, Credential)], source: &Source) -> impl Iterator<Item = &'a Credential> {
    credentials.iter().filter(move |(of, _)| of == source).map(|(_, credential)| credential)
}

/// The secret of `user`'s webhook: of those that bring that user's events the one that brings the least besides, and of
/// like ones the first, which is the new one while a secret is changed.
fn secret_of(credentials: &[(Source, Credential)], source: &Source, user: &UserId) -> Option<Secret> {
    let reach = |credential: &Credential| match credential {
        Credential::Secret { scope: IngestScope::User(own), .. } if own == user => Some(0),
        Credential::Master(_) => Some(1),
        Credential::Secret { scope: IngestScope::Any, .. } => Some(2),
        Credential::Secret { .. } => None,
    };
    let fitting = of_source(credentials, source).filter_map(|credential| Some((reach(credential)?, credential)));
    match fitting.min_by_key(|(reach, _)| *reach)?.1 {
        Credential::Master(master) => Some(derived_secret(master, source, user)),
        Credential::Secret { secret, .. } => Some(secret.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_secrets_that_fit_a_person_gets_the_narrowest_and_of_like_ones_the_first() {
        let (source, other) = (Source::default(), Source::new("other").expect("valid"));
        let (alice, bob) = (UserId::new("alice").expect("valid"), UserId::new("bob").expect("valid"));
        let secret = |text: &str, scope: &str| Credential::Secret {
            secret: Secret::new(text),
            scope: IngestScope::parse(scope).expect("a scope"),
        };
        let (new, old) = (Secret::new("new-master"), Secret::new("old-master"));
        let all = [
            (other, secret("other", "user:alice")),
            (source.clone(), secret("system", "system")),
            (source.clone(), secret("any", "any")),
            (source.clone(), Credential::Master(new.clone())),
            (source.clone(), Credential::Master(old)),
            (source.clone(), secret("alice", "user:alice")),
        ];
        let of =
            |credentials: &[_], user| secret_of(credentials, &source, user).map(|secret| secret.expose().to_owned());
        assert_eq!(of(&all, &alice).as_deref(), Some("alice"));
        assert_eq!(of(&all, &bob).as_deref(), Some(derived_secret(&new, &source, &bob).expose()));
        assert_eq!(of(&all[..3], &bob).as_deref(), Some("any"));
        assert_eq!(of(&all[..2], &alice), None);
    }
}
