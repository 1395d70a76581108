//! An event, and what a delivery's last attempt came to, as columns: the same ones in every table that keeps them.
//!
//! An event is eight columns in this order: its id, type, user, source, server, when it was created, when it was accepted
//! (both in milliseconds since 1970), and its body. A failure is three: outcome, status, error; all null when there was
//! none. Tables name them as they like and are read by place, since reading by name costs a search for each row. Nobody
//! downstream checks what is read, so it is checked here; what does not hold is told in words that name the column.

use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::{FromSql, ToSqlOutput, Value, ValueRef};

use crate::model::{Body, Event, EventId, EventType, IdError, LastFailure, Outcome, Source, Timestamp, UserId};

/// How many columns an event is.
pub const EVENT_COLUMNS: usize = 8;

/// An event's columns.
pub fn event_values(event: &Event) -> [ToSqlOutput<'_>; EVENT_COLUMNS] {
    [
        text(event.id.as_str()),
        text(event.kind.as_str()),
        optional(event.user.as_ref().map(UserId::as_str)),
        text(event.source.as_str()),
        optional(event.server.as_deref()),
        ToSqlOutput::from(event.created_at.as_millis()),
        ToSqlOutput::from(event.accepted_at.as_millis()),
        ToSqlOutput::Borrowed(ValueRef::Blob(event.body.bytes())),
    ]
}

/// The columns of what the last attempt came to, if there was one.
pub fn failure_values(last: Option<&LastFailure>) -> [ToSqlOutput<'_>; 3] {
    [
        optional(last.map(|last| last.outcome.as_str())),
        ToSqlOutput::Owned(last.and_then(|last| last.status).map_or(Value::Null, Value::from)),
        optional(last.map(|last| last.error.as_str())),
    ]
}

fn text(text: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
}

fn optional(value: Option<&str>) -> ToSqlOutput<'_> {
    value.map_or(ToSqlOutput::Owned(Value::Null), text)
}

/// Reads the event whose columns begin at `first`; what stands in the body's place, `read_body` reads.
///
/// # Errors
/// What does not hold, in words that name the column.
pub fn read_event<B>(
    row: &Row<'_>,
    first: usize,
    read_body: impl FnOnce(&Row<'_>, usize) -> Result<B, String>,
) -> Result<Event<B>, String> {
    let user = match row.get_ref(first + 2) {
        Ok(ValueRef::Null) => None,
        _ => Some(read_text(row, first + 2, UserId::new)?),
    };
    Ok(Event {
        id: read_text(row, first, EventId::new)?,
        kind: read_text(row, first + 1, EventType::new)?,
        user,
        source: read_text(row, first + 3, Source::new)?,
        server: read_column(row, first + 4)?,
        created_at: read_moment(row, first + 5)?,
        accepted_at: read_moment(row, first + 6)?,
        trace: None,
        body: read_body(row, first + 7)?,
    })
}

/// Reads a body, which lay in a file of ours.
///
/// # Errors
/// When the column is no blob.
pub fn read_body(row: &Row<'_>, column: usize) -> Result<Body, String> {
    Ok(Body::from_checked(Bytes::from(read_column::<Vec<u8>>(row, column)?)))
}

/// Reads what the last attempt came to, whose columns begin at `first`.
///
/// # Errors
/// What does not hold, in words that name the column.
pub fn read_failure(row: &Row<'_>, first: usize) -> Result<Option<LastFailure>, String> {
    if matches!(row.get_ref(first), Ok(ValueRef::Null)) {
        return Ok(None);
    }
    let outcome = read_name(row, first, Outcome::from_name)?;
    let error: Option<String> = read_column(row, first + 2)?;
    Ok(Some(LastFailure::new(outcome, read_column(row, first + 1)?, &error.unwrap_or_default())))
}

/// Reads one column.
///
/// # Errors
/// When it is of another kind, or there is none.
pub fn read_column<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, String> {
    row.get(column).map_err(|error| format!("{}: {error}", name_of(row, column)))
}

/// Reads a moment.
///
/// # Errors
/// When the column is no integer.
pub fn read_moment(row: &Row<'_>, column: usize) -> Result<Timestamp, String> {
    read_column(row, column).map(Timestamp::from_millis)
}

/// Reads an id or a name that `make` checks.
///
/// # Errors
/// When the column is no text, or what `make` says.
pub fn read_text<T>(row: &Row<'_>, column: usize, make: fn(&str) -> Result<T, IdError>) -> Result<T, String> {
    make(borrowed(row, column)?).map_err(|error| format!("{}: {error}", name_of(row, column)))
}

/// Reads a word of a closed list.
///
/// # Errors
/// When the column is no text, or the word is not in the list.
pub fn read_name<T>(row: &Row<'_>, column: usize, find: fn(&str) -> Option<T>) -> Result<T, String> {
    let word = borrowed(row, column)?;
    let unknown = || format!("{}: {word:?} is unknown here; a newer hikyaku may have written it", name_of(row, column));
    find(word).ok_or_else(unknown)
}

fn borrowed<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row str, String> {
    let text = row.get_ref(column).map_err(|error| error.to_string())?.as_str();
    text.map_err(|error| format!("{}: {error}", name_of(row, column)))
}

fn name_of<'row>(row: &'row Row<'_>, column: usize) -> &'row str {
    row.as_ref().column_name(column).unwrap_or("a column that is not there")
}
