//! A request's body in the form that its webhook wants (`docs/formats.md` shows one of each).
//!
//! From an event and its webhook alone, so that the bytes are the same at every attempt. `misskey` and `cloudevents` put the
//! event's own bytes into a frame. `discord` and `slack` read them ([`look`]) and tell what happened ([`story`]) in their
//! manner, within the chat's limits ([`fit`]). What is missing or odd is left out, and of a type that is not known the
//! message says that there was such an event: nothing here can fail.

mod cloudevents;
mod discord;
mod fit;
mod json;
mod look;
mod misskey;
mod slack;
mod story;

use bytes::Bytes;
use serde::Serialize;

use super::pieces::Pieces;
use crate::model::{Event, Format, Webhook};

/// The body of a request about `event` to `webhook`.
pub(super) fn body(event: &Event, webhook: &Webhook) -> Pieces {
    match webhook.options.format {
        Format::Misskey => misskey::body(event, webhook),
        Format::CloudEvents => cloudevents::body(event),
        Format::Discord => discord::body(event),
        Format::Slack => slack::body(event),
    }
}

/// A message in one piece.
#[expect(clippy::expect_used, reason = "texts, numbers and lists under fixed names always are JSON")]
fn message(message: &impl Serialize) -> Pieces {
    let json = serde_json::to_vec(message).expect("a message is JSON");
    Pieces::new(json, Bytes::new(), Bytes::new())
}

#[cfg(test)]
mod tests;
