//! MiAuth: the person opens an address on Misskey and agrees, and we fetch the token.
//!
//! A session is a UUID made here; who knows it can fetch the token once the person has agreed, so it is shown to the person
//! alone. Nobody tells us of the agreement, so Misskey is asked each second, within a limit.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::{CliError, Output};
use crate::misskey::{Granted, Misskey, MisskeyError};

/// What the person sees as who is asking.
const APP: &str = "hikyaku";
/// What managing a person's webhooks needs.
const PERMISSIONS: [&str; 2] = ["read:account", "write:account"];
/// How often Misskey is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Shows the person where to agree, and waits for that up to `wait_s` seconds.
///
/// # Errors
/// When the person has not agreed by then, or Misskey is not as we know it.
pub(super) async fn wait_for_person(misskey: &Misskey, wait_s: u32, output: &mut Output) -> Result<Granted, CliError> {
    let session = uuid::Uuid::new_v4().to_string();
    output.line("Open this where you are logged in to Misskey, and allow hikyaku to read and edit your account:")?;
    output.line(&format!("  {}", misskey.miauth_address(&session, APP, &PERMISSIONS)))?;
    output.line(&format!(
        "It needs that for your webhooks, and for this run only. Waiting up to {wait_s} s; Ctrl-C ends it."
    ))?;
    let until = Instant::now() + Duration::from_secs(u64::from(wait_s));
    let mut away: Option<MisskeyError> = None;
    loop {
        match misskey.miauth_check(&session).await {
            Ok(Some(granted)) => return Ok(granted),
            Ok(None) => away = None,
            Err(error @ MisskeyError::Away { .. }) => {
                if away.is_none() {
                    output.note(&format!("{error}; asking on"));
                }
                away = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(away.map_or(CliError::NotAgreed { wait_s }, CliError::from));
        }
        sleep(left.min(ASK_EVERY)).await;
    }
}
