//! The event types that a person at a shell names in `--on`, held against those that a registration by API may name: a slip
//! of the pen would make a webhook that never gets anything.

use super::{CliError, Output};
use crate::model::{EventType, Owner, Subscribable, each_once};

/// Whether types may be named that are not known.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct AnyTypeArgs {
    /// Take event types in --on that are not known here, as those of a newer Misskey
    #[arg(long)]
    pub any_type: bool,
}

/// The types in `texts`, for a webhook of `owner`.
///
/// # Errors
/// When one is none, or not known; unless `any` lets it pass.
pub(super) fn event_types(
    texts: &[String],
    owner: &Owner,
    types: &Subscribable,
    any: AnyTypeArgs,
    output: &mut Output,
) -> Result<Vec<EventType>, CliError> {
    let mut found = Vec::with_capacity(texts.len());
    for text in texts {
        let kind = EventType::new(text.trim()).map_err(|error| CliError::Usage(format!("--on: {error}")))?;
        if !any.any_type && !types.has(owner, kind.as_str()) {
            match types.of_others(owner, kind.as_str()) {
                Some(others) => output.note(&format!(
                    "note: Misskey sends {kind} to {others} webhooks only, and this is none; it gets such events from other \
                     producers"
                )),
                None => {
                    let words = types.unknown(owner, kind.as_str());
                    return Err(CliError::Usage(format!("--on: {words}. --any-type takes it all the same")));
                }
            }
        }
        found.push(kind);
    }
    Ok(each_once(found))
}
