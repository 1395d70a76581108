//! What Misskey sends, in its key order:
//!
//! ```json
//! {"server":"https://misskey.example","hookId":"..","userId":"..","eventId":"..","createdAt":1774960496789,"type":"note","body":{..}}
//! ```
//!
//! `server` is left out when the event does not say it (older servers), `userId` for system events. The event's own bytes are
//! put in as they are.

use std::fmt::Write;

use bytes::Bytes;

use super::json::push_text;
use crate::model::{Event, Webhook};
use crate::outbound::pieces::Pieces;

/// Room for what comes before the event's own bytes: with ids as Misskey makes them it is less.
const HEAD_BYTES: usize = 256;

/// The body for `webhook`.
pub(super) fn body(event: &Event, webhook: &Webhook) -> Pieces {
    let mut head = String::with_capacity(HEAD_BYTES + Pieces::room_beside(event.body.bytes()));
    head.push('{');
    if let Some(server) = &event.server {
        push_text(&mut head, "server", server);
    }
    push_text(&mut head, "hookId", webhook.id.as_str());
    if let Some(user) = &event.user {
        push_text(&mut head, "userId", user.as_str());
    }
    push_text(&mut head, "eventId", event.id.as_str());
    let _never_fails = write!(head, "\"createdAt\":{},", event.created_at.as_millis());
    push_text(&mut head, "type", event.kind.as_str());
    head.push_str("\"body\":");
    Pieces::new(head.into_bytes(), event.body.bytes().clone(), Bytes::from_static(b"}"))
}
