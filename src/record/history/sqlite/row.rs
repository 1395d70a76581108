//! What the history has, as rows of its file. Nobody downstream checks what is read, so it is checked here.

use std::time::Duration;

use rusqlite::Row;

use crate::model::{DeliveryId, DeliveryState, EventId, EventType, Outcome, Source, Timestamp, UserId, WebhookId};
use crate::record::history::{Attempted, KeptAttempt, KeptDelivery};
use crate::sqlite::columns::{read_column, read_moment, read_name, read_text};

/// The columns of a [`KeptDelivery`].
pub(super) const DELIVERY_COLUMNS: &str = "delivery_id, event_id, type, user_id, source, webhook, accepted_at, generation, \
    attempts, state, reason, changed_at, due_at";

/// How many they are.
pub(super) const DELIVERY_COLUMNS_COUNT: usize = 13;

/// The columns of a [`KeptAttempt`] in `attempts`.
pub(super) const ATTEMPT_COLUMNS: &str =
    "generation, attempt, started_at, took_us, outcome, status, error, response, worker";

/// Those of the latest attempt in the row of its delivery; `last_attempt` is null when none was made.
pub(super) const LATEST_COLUMNS: &str =
    "last_generation, last_attempt, started_at, took_us, outcome, status, error, response, worker";

/// Reads a row that begins with [`DELIVERY_COLUMNS`].
pub(super) fn read_delivery(row: &Row<'_>) -> Result<KeptDelivery, String> {
    let id: String = read_column(row, 0)?;
    let user: Option<String> = read_column(row, 3)?;
    Ok(KeptDelivery {
        id: DeliveryId::from_text(&id).map_err(|error| format!("delivery_id: {error}"))?,
        event: read_text(row, 1, EventId::new)?,
        kind: read_text(row, 2, EventType::new)?,
        user: user.map(|user| UserId::new(&user)).transpose().map_err(|error| format!("user_id: {error}"))?,
        source: read_text(row, 4, Source::new)?,
        webhook: read_text(row, 5, WebhookId::new)?,
        accepted_at: read_moment(row, 6)?,
        generation: read_column(row, 7)?,
        attempts: read_column(row, 8)?,
        state: read_name(row, 9, DeliveryState::from_name)?,
        reason: read_column(row, 10)?,
        changed_at: read_moment(row, 11)?,
        due: read_column::<Option<i64>>(row, 12)?.map(Timestamp::from_millis),
    })
}

/// Reads the attempt whose columns begin at `first`, if one was made.
pub(super) fn read_latest(row: &Row<'_>, first: usize) -> Result<Option<KeptAttempt>, String> {
    match read_column::<Option<u32>>(row, first + 1)? {
        Some(_) => read_attempt(row, first).map(Some),
        None => Ok(None),
    }
}

/// Reads the attempt whose columns begin at `first`.
pub(super) fn read_attempt(row: &Row<'_>, first: usize) -> Result<KeptAttempt, String> {
    Ok(KeptAttempt {
        generation: read_column(row, first)?,
        made: Attempted {
            number: read_column(row, first + 1)?,
            started_at: read_moment(row, first + 2)?,
            took: Duration::from_micros(read_column(row, first + 3)?),
            outcome: read_name(row, first + 4, Outcome::from_name)?,
            status: read_column(row, first + 5)?,
            error: read_column(row, first + 6)?,
            response: read_column(row, first + 7)?,
        },
        worker: read_column(row, first + 8)?,
    })
}
