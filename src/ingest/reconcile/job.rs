//! One failed job: back to the bytes that Misskey would have sent, and through the gate.

use std::fmt::Write;

use bytes::Bytes;

use super::Reconciler;
use crate::decide::Admission;
use crate::ingest::new_event_id;
use crate::misskey::FailedJob;
use crate::model::{Arrival, Draft, Event, EventError, ReceiptKey, Source};
use crate::outbound::one_line;

/// Bytes of an id of a stranger's that are shown.
const SHOWN_BYTES_MAX: usize = 64;

/// A delivery that was addressed to us and may not come in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedJob {
    /// The webhook on Misskey. Like the other ids a stranger's text, cut to be shown.
    pub hook_id: String,
    /// Whose webhook it is; none: a system webhook.
    pub user_id: Option<String>,
    /// The event.
    pub event_id: String,
    /// Why, in words.
    pub why: String,
}

/// Why an event may not come in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("no [[misskey.ingest]] in the settings has the source {:?}", .0.as_str())]
    UnknownSource(Source),
    #[error("its webhook's secret is none of those of the source, or another user's")]
    WrongSecret,
    #[error("its webhook's secret does not cover such events")]
    OutOfScope,
    #[error("it is no event: {0}")]
    NotAnEvent(#[from] EventError),
}

impl RefusedJob {
    pub(super) fn new(job: &FailedJob, why: &Refused) -> Self {
        Self {
            hook_id: shown(&job.hook_id),
            user_id: job.user_id.as_deref().map(shown),
            event_id: shown(&job.event_id),
            why: why.to_string(),
        }
    }
}

fn shown(text: &str) -> String {
    one_line(&text.as_bytes()[..text.floor_char_boundary(SHOWN_BYTES_MAX)])
}

impl Reconciler {
    /// The event of `job`, sent to `source`, if its secret may bring it, and what names it among all that Misskey sends.
    pub(super) fn admitted(&self, job: &FailedJob, source: Source) -> Result<(Event, Option<ReceiptKey>), Refused> {
        let Some(gate) = self.gates.get(&source) else { return Err(Refused::UnknownSource(source)) };
        let event_bytes_max = self.ingest.policy.event_bytes_max;
        let bytes = as_sent(job, &self.misskey.origin());
        let draft = Draft::find(&bytes, event_bytes_max)?;
        match gate.admits(job.secret.expose().as_bytes(), draft.user()?.as_ref()) {
            Admission::Admitted => {}
            Admission::WrongSecret => return Err(Refused::WrongSecret),
            Admission::OutOfScope => return Err(Refused::OutOfScope),
        }
        let receipt = draft.receipt(&source);
        let arrival =
            Arrival { now: self.ingest.clock.now(), event_id: new_event_id(), event_bytes_max, source: Some(source) };
        Ok((draft.read(arrival)?, receipt))
    }
}

/// The body of the request that Misskey would have made, in its order of keys.
fn as_sent(job: &FailedJob, server: &str) -> Bytes {
    let mut json = Vec::with_capacity(job.body.len() + 512);
    let mut head = String::from("{");
    let mut put = |key: &str, text: &str| {
        let _never_fails = write!(head, "\"{key}\":{},", serde_json::to_string(text).unwrap_or_default());
    };
    put("server", server);
    put("hookId", &job.hook_id);
    if let Some(user) = &job.user_id {
        put("userId", user);
    }
    put("eventId", &job.event_id);
    let _never_fails = write!(head, "\"createdAt\":{},", job.created_at_ms);
    let _never_fails = write!(head, "\"type\":{},\"body\":", serde_json::to_string(&job.kind).unwrap_or_default());
    json.extend_from_slice(head.as_bytes());
    json.extend_from_slice(&job.body);
    json.push(b'}');
    json.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    #[test]
    fn a_job_becomes_the_bytes_that_misskey_would_have_sent() {
        let mut job = FailedJob {
            id: "1".to_owned(),
            kind: "note".to_owned(),
            hook_id: "h".to_owned(),
            user_id: Some("u".to_owned()),
            to: "http://h.example/ingest/misskey".to_owned(),
            secret: Secret::new("s"),
            event_id: "e".to_owned(),
            created_at_ms: 1_774_960_496_789,
            body: Bytes::from_static(br#"{"z":1.0,"a":"\ud800"}"#),
        };
        let sent = as_sent(&job, "https://misskey.example");
        let expected = r#"{"server":"https://misskey.example","hookId":"h","userId":"u","eventId":"e","createdAt":1774960496789,"type":"note","body":{"z":1.0,"a":"\ud800"}}"#;
        assert_eq!(sent, expected);
        job.user_id = None;
        let sent = as_sent(&job, "https://misskey.example");
        assert_eq!(sent, expected.replace(r#""userId":"u","#, ""));
    }
}
