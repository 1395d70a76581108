//! Events of hikyaku's own.
//!
//! ```json
//! {"webhook":{"id":"..","name":"..","host":".."},"reason":"failing","failingSince":"..","deactivatedAt":".."}
//! ```

use super::super::look::Object;
use super::{Server, Story, Word};
use crate::model::DeactivationReason;

/// hikyaku has switched off a webhook of the owner's.
pub(super) fn deactivated(body: &Object<'_>, server: &Server) -> Option<Story> {
    let webhook = body.object("webhook", &["id", "name", "host"])?;
    let text = |key| webhook.text(key).and_then(|text| Word::theirs(&text));
    let name = text("name").or_else(|| text("id"))?;
    let reason = body.text("reason").and_then(|reason| DeactivationReason::from_name(&reason));
    let why = match reason {
        Some(DeactivationReason::Gone) => " was switched off: its receiver wants nothing more (410)",
        Some(DeactivationReason::Failing) => " was switched off: it has failed for too long without one success",
        None => " was switched off",
    };
    let since = body.text("failingSince").filter(|_| reason == Some(DeactivationReason::Failing));
    let since = since.and_then(|since| Word::theirs(&since));
    let facts = [("Host", text("host")), ("Failing since", since)];
    Some(Story {
        headline: vec![Word::ours("The webhook "), name, Word::ours(why)],
        link: server.link("Open the server", "/"),
        facts: facts.into_iter().filter_map(|(label, word)| Some((label, word?))).collect(),
        is_alarm: true,
        ..Story::default()
    })
}
