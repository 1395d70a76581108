//! How our texts and numbers look in JSON, for the OpenAPI document: one description of each, of the code that reads it.

use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};

use super::{DeathReason, DeliveryState, ID_BYTES_MAX, Outcome, ReplayKind};

/// No control characters, as in every id.
pub const NO_CONTROL: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

fn text(words: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(words))
}

fn one_of(words: &str, names: Vec<&'static str>) -> Object {
    text(words).enum_values(Some(names)).build()
}

/// The id of an event or a user, an event's type, a source: at most 128 bytes.
pub fn id() -> Object {
    text("An id or a name: at most 128 bytes, no control characters.")
        .min_length(Some(1))
        .max_length(Some(ID_BYTES_MAX))
        .pattern(Some(NO_CONTROL))
        .build()
}

/// A webhook's id, or an operator's name.
pub fn token() -> Object {
    text("An id or a name: at most 128 letters, digits, '-', '_' and '.'.")
        .min_length(Some(1))
        .max_length(Some(ID_BYTES_MAX))
        .pattern(Some("^[A-Za-z0-9_.-]+$"))
        .build()
}

/// A delivery's id.
pub fn delivery_id() -> Object {
    text("A delivery's id, the same after every retry and replay; its receiver gets it as `webhook-id`.")
        .pattern(Some("^msg_[a-z2-7]{32}$"))
        .examples(["msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg"])
        .build()
}

/// Some of them.
pub fn delivery_ids() -> Object {
    text("Deliveries' ids, with commas between.").pattern(Some("^msg_[a-z2-7]{32}(,msg_[a-z2-7]{32}){0,99}$")).build()
}

/// A moment that we tell.
pub fn moment() -> Object {
    text("A moment, in UTC.").format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).build()
}

/// The same, or null.
pub fn moment_or_null() -> Object {
    let types = [Type::String, Type::Null];
    ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::SchemaType::from_iter(types))
        .description(Some("A moment, in UTC; null where there is none."))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .build()
}

/// A moment that somebody asks by: in UTC, or an age.
pub fn moment_or_age() -> Object {
    // From 1970 on. A 29th of February is let through by `hikyaku`, and not by this.
    let day =
        "(((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01]))|((0[469]|11)-(0[1-9]|[12][0-9]|30))|(02-(0[1-9]|1[0-9]|2[0-8])))";
    let time = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?Z";
    let moment = format!("(19[7-9][0-9]|[2-9][0-9]{{3}})-{day}T{time}");
    let age = "[1-9][0-9]{0,3}(s|m|h|days)";
    text("A moment in UTC, or an age.")
        .pattern(Some(format!("^({moment}|{age})$")))
        .examples(["2026-11-22T10:00:00Z", "2h", "3days"])
        .build()
}

/// How many of a listing.
pub fn limit() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(1000))
        .default(Some(100.into()))
        .build()
}

/// The place in a listing of deliveries.
pub fn delivery_cursor() -> Object {
    text("A place in the listing.")
        .pattern(Some(r"^(0|[1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,17}|[1-8][0-9]{18})$"))
        .examples(["1774960496789.81234"])
        .build()
}

/// The place in a listing of dead letters.
pub fn letter_cursor() -> Object {
    text("A place in the listing.")
        .pattern(Some(r"^(0|[1-9][0-9]{0,14})\.msg_[a-z2-7]{32}$"))
        .examples(["1774960496842.msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg"])
        .build()
}

/// An HTTP status that an answer may have.
pub fn status() -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(100)).maximum(Some(999)).build()
}

/// How a delivery was put back to work.
pub fn replay_kind() -> Object {
    one_of("How a delivery was put back to work.", ReplayKind::ALL.iter().map(|kind| kind.as_str()).collect())
}

/// How far a delivery has come.
pub fn delivery_state() -> Object {
    one_of("How far a delivery has come.", DeliveryState::ALL.iter().map(|state| state.as_str()).collect())
}

/// What an attempt came to.
pub fn outcome() -> Object {
    one_of("What an attempt came to.", Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect())
}

/// Why a delivery was given up.
pub fn death_reason() -> Object {
    one_of("Why a delivery was given up.", DeathReason::ALL.iter().map(|reason| reason.as_str()).collect())
}

/// True or false.
pub fn flag() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).build()
}
