//! `hikyaku reconcile`: fetches from Misskey what it gave up sending here, and tells what came of it.

use serde_json::{Value, json};

use super::webhooks::given_or_typed;
use super::{CliError, Output};
use crate::ingest::{Reconciled, Reconciler, RefusedJob};
use crate::misskey::JobQueue;
use crate::model::Secret;

/// Arguments of `reconcile`.
#[derive(Debug, clap::Args)]
pub struct ReconcileArgs {
    /// Only tell what would be taken in
    #[arg(long)]
    pub dry_run: bool,
    /// A moderator's token on Misskey, instead of misskey.token; only `-`, which reads it from standard input
    #[arg(long, value_name = "-")]
    pub token: Option<String>,
    /// Print a JSON document
    #[arg(long)]
    pub json: bool,
}

/// The token that `args` give, if any.
///
/// # Errors
/// When it is not read from standard input: an argument is seen by everyone on the machine.
pub fn token_of(args: &ReconcileArgs) -> Result<Option<Secret>, CliError> {
    match args.token.as_deref() {
        None => Ok(None),
        Some("-") => Ok(Some(Secret::new(given_or_typed("-")?.trim()))),
        Some(_) => Err(CliError::Usage(
            "--token takes only `-`, which reads the token from standard input, so that no `ps` shows it".to_owned(),
        )),
    }
}

/// Does it once.
///
/// # Errors
/// When Misskey's lists cannot be read, or an event is not stored; doing it again goes on where it stopped.
pub async fn reconcile(args: &ReconcileArgs, reconciler: &Reconciler, output: &mut Output) -> Result<(), CliError> {
    let done = reconciler.run(args.dry_run).await?;
    if args.json {
        return output.line(&document(&done, args.dry_run).to_string());
    }
    let Reconciled { found, unreadable, ours, taken_in, known, refused, full } = done;
    let (would, would_be) = if args.dry_run { ("would be ", "would be ") } else { ("", "") };
    output.line(&format!(
        "{found} deliveries that Misskey gave up, {ours} of them to here: {would}{taken_in} taken in, {known} known already, \
         {would_be}{} refused",
        refused.len()
    ))?;
    for RefusedJob { hook_id, user_id, event_id, why } in &refused {
        let whose = user_id.as_ref().map_or_else(|| "the system's".to_owned(), |user| format!("of user {user}"));
        output.note(&format!("refused: event {event_id} of webhook {hook_id} {whose}: {why}"));
    }
    if unreadable > 0 {
        output.note(&format!("{unreadable} of Misskey's list are none that we can read, and were left alone"));
    }
    for queue in full {
        output.note(&format!(
            "Misskey's list {} is full: it keeps the latest 100 of all its people, so it may have lost older ones",
            queue.as_str()
        ));
    }
    Ok(())
}

fn document(done: &Reconciled, dry_run: bool) -> Value {
    let refused = |job: &RefusedJob| json!({"hookId": job.hook_id, "userId": job.user_id, "eventId": job.event_id, "why": job.why});
    json!({
        "dryRun": dry_run,
        "found": done.found,
        "unreadable": done.unreadable,
        "ours": done.ours,
        "takenIn": done.taken_in,
        "known": done.known,
        "refused": done.refused.iter().map(refused).collect::<Vec<_>>(),
        "fullLists": done.full.iter().copied().map(JobQueue::as_str).collect::<Vec<_>>(),
    })
}
