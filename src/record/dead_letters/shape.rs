//! A dead letter as JSON: the same for the operators' API, the command line, and the files that letters are exported to and
//! imported from.
//!
//! ```json
//! {"id":"msg_..","generation":0,"webhookId":"wh1","reason":"refused","diedAt":"2026-03-31T12:34:56.789Z",
//!  "since":"2026-03-31T12:34:50.000Z","attempts":1,"lastOutcome":"refused","lastStatus":404,"lastError":"..",
//!  "eventId":"..","type":"note","userId":null,"source":"default","server":null,"createdAt":1774960490000,
//!  "acceptedAt":"2026-03-31T12:34:50.000Z","bodyBytes":17,"body":{..}}
//! ```
//!
//! A listing has no `body`. A body's bytes go in as they came, and come out again as they are; one with a line break, which a
//! line of a file cannot have, is `bodyText`, a string, in its place.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{DeadLetter, Replayed, Summary};
use crate::model::{
    Body, DeathReason, Delivery, DeliveryId, Event, EventId, EventType, LastFailure, Outcome, SERVER_BYTES_MAX, Source,
    Timestamp, UserId, WebhookId, described,
};

/// A dead letter: all of it but its body.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeadLetter)]
pub struct LetterShape {
    /// The delivery's id, which the receiver gets as `webhook-id`.
    #[schema(schema_with = described::delivery_id)]
    id: String,
    /// How often it was put back to work before.
    generation: u32,
    /// Where it was to go.
    #[schema(schema_with = described::token)]
    webhook_id: String,
    /// Why it was given up.
    #[schema(schema_with = described::death_reason)]
    reason: &'static str,
    /// When it was given up.
    #[schema(schema_with = described::moment)]
    died_at: String,
    /// When this generation began.
    #[schema(schema_with = described::moment)]
    since: String,
    /// Attempts spent in this generation.
    attempts: u32,
    /// What the last of them came to; null when none was made.
    #[schema(required)]
    last_outcome: Option<&'static str>,
    /// The HTTP status of its answer.
    #[schema(required)]
    last_status: Option<u16>,
    /// Its failure in words.
    #[schema(required)]
    last_error: Option<String>,
    /// The event that was to be delivered.
    #[schema(schema_with = described::id)]
    event_id: String,
    /// The event's type.
    #[schema(schema_with = described::id)]
    r#type: String,
    /// Whose event it is; null: a system event.
    #[schema(required)]
    user_id: Option<String>,
    /// Which Misskey the event came from.
    #[schema(schema_with = described::id)]
    source: String,
    /// That Misskey's origin.
    #[schema(required)]
    server: Option<String>,
    /// When it happened, in milliseconds since 1970, by the producer's clock.
    created_at: i64,
    /// When the event was taken in.
    #[schema(schema_with = described::moment)]
    accepted_at: String,
    /// Bytes that the event's body has.
    body_bytes: u64,
}

/// That a delivery was put back to work.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Replayed)]
pub struct ReplayedShape {
    /// The generation that began with it.
    generation: u32,
    /// `replay` of a dead letter, or `resend` of what had ended in whatever way.
    #[schema(schema_with = described::replay_kind)]
    how: &'static str,
    /// Who did it.
    by: String,
    /// When.
    #[schema(schema_with = described::moment)]
    at: String,
}

/// Why a line is no letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LetterError {
    /// It is no JSON, or a field is missing or of another kind.
    #[error("it is no dead letter as `hikyaku dead export` writes it: {0}")]
    NotALetter(String),
    /// A field does not hold.
    #[error("{field}: {why}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It tells of a letter that could not be exported.
    #[error("it is no dead letter, but tells why one could not be exported: {0}")]
    Problem(String),
}

fn shape<B>(letter: &DeadLetter<B>, body_bytes: u64) -> LetterShape {
    let DeadLetter { id, event, delivery, reason, died_at } = letter;
    let last = delivery.last.as_ref();
    LetterShape {
        id: id.to_string(),
        generation: delivery.generation,
        webhook_id: delivery.webhook.to_string(),
        reason: reason.as_str(),
        died_at: died_at.to_rfc3339(),
        since: delivery.since.to_rfc3339(),
        attempts: delivery.attempts,
        last_outcome: last.map(|last| last.outcome.as_str()),
        last_status: last.and_then(|last| last.status),
        last_error: last.map(|last| last.error.clone()),
        event_id: event.id.to_string(),
        r#type: event.kind.to_string(),
        user_id: event.user.as_ref().map(ToString::to_string),
        source: event.source.to_string(),
        server: event.server.clone(),
        created_at: event.created_at.as_millis(),
        accepted_at: event.accepted_at.to_rfc3339(),
        body_bytes,
    }
}

impl Summary {
    /// The letter as a line of a listing.
    pub fn to_shape(&self) -> LetterShape {
        shape(self, self.event.body.0)
    }
}

impl Replayed {
    /// It as JSON.
    pub fn to_shape(&self) -> ReplayedShape {
        let Self { generation, how, by, at } = self;
        ReplayedShape { generation: *generation, how: how.as_str(), by: by.clone(), at: at.to_rfc3339() }
    }
}

impl DeadLetter {
    /// All of the letter but its body.
    pub fn to_shape(&self) -> LetterShape {
        shape(self, self.event.body.bytes().len() as u64)
    }

    /// The body, as one JSON value.
    pub fn body_json(&self) -> String {
        String::from_utf8_lossy(self.event.body.bytes()).into_owned()
    }

    /// The letter with its body as one JSON document: the body goes in as it came, since it may hold what a JSON value of ours
    /// cannot.
    pub fn to_json(&self) -> String {
        self.with("body", &self.body_json())
    }

    fn with(&self, name: &str, value: &str) -> String {
        let head = serde_json::to_string(&self.to_shape()).unwrap_or_default();
        format!("{},\"{name}\":{value}}}", head.strip_suffix('}').unwrap_or(&head))
    }

    /// The letter with its body as one line of JSON, from which [`Self::parse`] makes the same letter.
    pub fn to_line(&self) -> String {
        let body = self.body_json();
        if body.contains(['\n', '\r']) {
            return self.with("bodyText", &serde_json::Value::from(body).to_string());
        }
        self.with("body", &body)
    }

    /// Reads a line that [`Self::to_line`] wrote, or a person.
    ///
    /// # Errors
    /// What is wrong with it, with the field's name.
    pub fn parse(line: &Bytes) -> Result<Self, LetterError> {
        match serde_json::from_slice::<WrittenLetter<'_>>(line) {
            Ok(written) => written.read(line),
            Err(error) => Err(match serde_json::from_slice::<WrittenProblem>(line) {
                Ok(WrittenProblem { problem }) => LetterError::Problem(problem),
                Err(_) => LetterError::NotALetter(error.to_string()),
            }),
        }
    }
}

/// What an export has in the place of a letter that cannot be read.
#[derive(Deserialize)]
struct WrittenProblem {
    problem: String,
}

/// A line's fields. What is not here is passed over: it follows from the rest, or is of a newer version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a JSON object")]
struct WrittenLetter<'a> {
    id: String,
    generation: u32,
    webhook_id: String,
    reason: String,
    died_at: String,
    since: String,
    attempts: u32,
    last_outcome: Option<String>,
    last_status: Option<u16>,
    last_error: Option<String>,
    event_id: String,
    r#type: String,
    user_id: Option<String>,
    source: String,
    server: Option<String>,
    created_at: i64,
    accepted_at: String,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    body_text: Option<String>,
}

impl WrittenLetter<'_> {
    fn read(self, line: &Bytes) -> Result<DeadLetter, LetterError> {
        let event = Event {
            id: checked("eventId", EventId::new(&self.event_id))?,
            kind: checked("type", EventType::new(&self.r#type))?,
            user: checked("userId", self.user_id.as_deref().map(UserId::new).transpose())?,
            source: checked("source", Source::new(&self.source))?,
            server: checked("server", self.server.map(check_server).transpose())?,
            created_at: Timestamp::from_millis(self.created_at),
            accepted_at: moment("acceptedAt", &self.accepted_at)?,
            trace: None,
            body: read_body(self.body, self.body_text, line)?,
        };
        let webhook = checked("webhookId", WebhookId::new(&self.webhook_id))?;
        let id = DeliveryId::of(&event.id, &webhook);
        if id.as_str() != self.id {
            return Err(wrong("id", format!("of its eventId and webhookId it would be {id}")));
        }
        let last = match self.last_outcome {
            None => None,
            Some(name) => {
                let outcome = named("lastOutcome", &name, Outcome::from_name)?;
                Some(LastFailure::new(outcome, self.last_status, &self.last_error.unwrap_or_default()))
            }
        };
        let delivery = Delivery {
            webhook,
            generation: self.generation,
            attempts: self.attempts,
            parks: 0,
            since: moment("since", &self.since)?,
            last,
        };
        Ok(DeadLetter {
            id,
            event: Arc::new(event),
            delivery,
            reason: named("reason", &self.reason, DeathReason::from_name)?,
            died_at: moment("diedAt", &self.died_at)?,
        })
    }
}

fn wrong(field: &'static str, why: String) -> LetterError {
    LetterError::Field { field, why }
}

fn checked<T, E: std::fmt::Display>(field: &'static str, result: Result<T, E>) -> Result<T, LetterError> {
    result.map_err(|error| wrong(field, error.to_string()))
}

fn moment(field: &'static str, text: &str) -> Result<Timestamp, LetterError> {
    let no_moment = || wrong(field, format!("{text:?} is no moment like 2026-11-22T10:00:00.000Z"));
    Timestamp::parse_rfc3339(text).ok_or_else(no_moment)
}

fn named<T>(field: &'static str, name: &str, find: fn(&str) -> Option<T>) -> Result<T, LetterError> {
    find(name).ok_or_else(|| wrong(field, format!("{name:?} is unknown here")))
}

fn check_server(server: String) -> Result<String, String> {
    if server.len() <= SERVER_BYTES_MAX { Ok(server) } else { Err(format!("it has over {SERVER_BYTES_MAX} bytes")) }
}

fn read_body(body: Option<&RawValue>, text: Option<String>, line: &Bytes) -> Result<Body, LetterError> {
    match (body, text) {
        (Some(body), None) if body.get().starts_with('{') => {
            Ok(Body::from_checked(line.slice_ref(body.get().as_bytes())))
        }
        (None, Some(text)) => {
            let is_object = |raw: &RawValue| raw.get().len() == text.len() && text.starts_with('{');
            match serde_json::from_str::<&RawValue>(&text) {
                Ok(raw) if is_object(raw) => Ok(Body::from_checked(Bytes::from(text))),
                _ => Err(wrong("bodyText", "it is no JSON object".to_owned())),
            }
        }
        (Some(_), None) => Err(wrong("body", "it is no JSON object".to_owned())),
        (Some(_), Some(_)) => Err(wrong("bodyText", "there is a body too; one of them is enough".to_owned())),
        (None, None) => Err(wrong("body", "it is missing".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(body: &str, last: Option<LastFailure>) -> DeadLetter {
        let event = Event {
            id: EventId::new("e \"1\"").expect("id"),
            kind: EventType::new("note").expect("type"),
            user: UserId::new("9ks5o1w5k3x90001").ok(),
            source: Source::default(),
            server: Some("https://misskey.example".to_owned()),
            created_at: Timestamp::from_millis(-5),
            accepted_at: Timestamp::from_millis(1_774_960_496_789),
            trace: None,
            body: Body::from_checked(Bytes::from(body.to_owned())),
        };
        let mut delivery = Delivery::fresh(&event, WebhookId::new("wh1").expect("id"));
        (delivery.generation, delivery.attempts, delivery.last) = (3, 11, last);
        DeadLetter {
            id: delivery.id(&event),
            event: Arc::new(event),
            delivery,
            reason: DeathReason::Exhausted,
            died_at: Timestamp::from_millis(1_774_960_496_790),
        }
    }

    #[test]
    fn a_letter_comes_out_of_its_line_as_it_went_in_whatever_its_body_looks_like() {
        let last = LastFailure::new(Outcome::ServerError, Some(503), "503 \"Service\u{7} Unavailable\"");
        for body in [
            r#"{ "n" : 12345678901234567890, "lone":"\ud800","big":1e400,"n":1.0}"#,
            "{\n \"on\": \"lines\",\r\n\t\"end\":1}",
            "{}",
        ] {
            for last in [None, Some(last.clone())] {
                let letter = letter(body, last);
                let line = letter.to_line();
                assert!(!line.contains('\n'), "{line}");
                assert_eq!(DeadLetter::parse(&Bytes::from(line)), Ok(letter));
            }
        }
    }

    #[test]
    fn of_a_line_that_is_no_letter_it_is_told_which_field_is_wrong() {
        let line = letter("{}", None).to_line();
        let id = letter("{}", None).id;
        for (from, to, words) in [
            ("\"webhookId\":\"wh1\"", "\"webhookId\":\"wh 1\"", "webhookId: it has the character ' '"),
            ("\"webhookId\":\"wh1\"", "\"webhookId\":\"wh2\"", "id: of its eventId and webhookId it would be msg_"),
            ("\"webhookId\":\"wh1\",", "", "missing field `webhookId`"),
            ("\"reason\":\"exhausted\"", "\"reason\":\"bored\"", "reason: \"bored\" is unknown here"),
            ("\"generation\":3", "\"generation\":-3", "expected u32"),
            ("\"diedAt\":\"2026", "\"diedAt\":\"later", "diedAt: \"later-"),
            ("\"body\":{}", "\"body\":[]", "body: it is no JSON object"),
            ("\"body\":{}", "\"bodyText\":\"[]\"", "bodyText: it is no JSON object"),
            (",\"body\":{}", "", "body: it is missing"),
            (line.as_str(), "{\"problem\":\"the dead letter msg_x cannot be read\"}", "msg_x cannot be read"),
            (line.as_str(), "nonsense", "no dead letter as `hikyaku dead export` writes it"),
        ] {
            let broken = line.replace(from, to);
            assert_ne!(broken, line, "{from}");
            let told = DeadLetter::parse(&Bytes::from(broken)).expect_err(words).to_string();
            assert!(told.contains(words), "{told} of {id}");
        }
    }
}
