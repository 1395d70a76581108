//! What `POST /v1/events` takes and answers, for the OpenAPI document. `model::parse` reads it, `http` writes it.

use serde_json::{Map, Value};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::model::{ID_BYTES_MAX, SERVER_BYTES_MAX, described};

/// An event. Keys that are not known pass, and are not sent on.
#[derive(ToSchema)]
#[schema(as = Event)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it is only described")]
pub(super) struct EventShape {
    /// What happened. Unknown types pass.
    #[schema(schema_with = described::id)]
    r#type: String,
    /// What it was. Its bytes are sent on as they are.
    body: Map<String, Value>,
    /// Whose event it is; none: a system event.
    #[schema(schema_with = id_or_null, required = false)]
    user_id: Option<String>,
    /// Its id; none: a new one, which the answer tells.
    #[schema(schema_with = id_or_null, required = false)]
    event_id: Option<String>,
    /// When it happened, in milliseconds since 1970; none: now.
    #[schema(schema_with = millis_or_null, required = false)]
    created_at: Option<i64>,
    /// The Misskey that receivers are told it is of; none: the one beside hikyaku.
    #[schema(schema_with = server_or_null, required = false)]
    server: Option<String>,
    /// Which Misskey it came from, as webhooks name it; none: `default`.
    #[schema(schema_with = id_or_null, required = false)]
    source: Option<String>,
}

/// One event, or several.
#[derive(ToSchema)]
#[schema(as = Events)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only described")]
pub(super) enum EventsShape {
    /// One event.
    One(EventShape),
    /// Several; the valid ones are stored all or none.
    Several(SeveralShape),
}

/// Several events.
pub(super) struct SeveralShape;

impl PartialSchema for SeveralShape {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new().items(Ref::from_schema_name("Event")).min_items(Some(1)).build().into()
    }
}

impl ToSchema for SeveralShape {}

/// What became of the events of a request.
#[derive(ToSchema)]
#[schema(as = EventsReport)]
#[expect(dead_code, reason = "it is only described")]
pub(super) struct ReportShape {
    /// Events that are stored.
    accepted: usize,
    /// Items that are no events.
    refused: usize,
    /// Of each item, in their order.
    results: Vec<ResultShape>,
}

/// What became of an item.
#[derive(ToSchema)]
#[schema(as = EventResult)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only described")]
pub(super) enum ResultShape {
    /// It is stored.
    Accepted {
        /// `accepted`.
        status: String,
        /// The event's id.
        #[serde(rename = "eventId")]
        event_id: String,
    },
    /// It is no event.
    Refused {
        /// `refused`.
        status: String,
        /// Which field is at fault; null when no one is.
        #[schema(required)]
        field: Option<String>,
        /// Why, in words.
        error: String,
    },
}

fn text_or_null(words: &str, length_max: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some(words))
        .min_length(Some(1))
        .max_length(Some(length_max))
        .pattern(Some(described::NO_CONTROL))
        .build()
}

fn id_or_null() -> Object {
    text_or_null(
        "An id or a name of at most 128 bytes, without control characters; null as if it were absent.",
        ID_BYTES_MAX,
    )
}

fn server_or_null() -> Object {
    text_or_null(
        "The Misskey that receivers are told it is of; absent or null: the one beside hikyaku.",
        SERVER_BYTES_MAX,
    )
}

fn millis_or_null() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
        .description(Some("When it happened, in milliseconds since 1970; absent or null: now."))
        .minimum(Some(0))
        .maximum(Some(8_640_000_000_000_000_i64))
        .build()
}
