//! What the history has, as rows of PostgreSQL's.

use std::time::Duration;

use crate::model::{DeliveryId, DeliveryState, EventId, EventType, Outcome, Source, Timestamp, UserId, WebhookId};
use crate::postgres::Row;
use crate::record::history::{Attempted, KeptAttempt, KeptDelivery};
use crate::record::postgres::{
    read_column, read_count, read_moment, read_name, read_optional, read_status, read_text, within,
};

/// The columns of a [`KeptDelivery`].
pub(super) const DELIVERY_COLUMNS: &str = "delivery_id, event_id, type, user_id, source, webhook, accepted_at, generation, \
    attempts, state, reason, changed_at, due_at";

/// How many they are.
pub(super) const DELIVERY_COLUMNS_COUNT: usize = 13;

/// The columns of a [`KeptAttempt`].
pub(super) const ATTEMPT_COLUMNS: &str =
    "generation, attempt, started_at, took_us, outcome, status, error, response, worker";

/// Those of the latest attempt in the row of its delivery; `last_attempt` is null when none was made.
pub(super) const LATEST_COLUMNS: &str =
    "last_generation, last_attempt, started_at, took_us, outcome, status, error, response, worker";

/// Reads a row that begins with [`DELIVERY_COLUMNS`].
pub(super) fn read_delivery(row: &Row) -> Result<KeptDelivery, String> {
    let id: &str = read_column(row, 0)?;
    Ok(KeptDelivery {
        id: DeliveryId::from_text(id).map_err(|error| format!("delivery_id: {error}"))?,
        event: read_text(row, 1, EventId::new)?,
        kind: read_text(row, 2, EventType::new)?,
        user: read_optional(row, 3, UserId::new)?,
        source: read_text(row, 4, Source::new)?,
        webhook: read_text(row, 5, WebhookId::new)?,
        accepted_at: read_moment(row, 6)?,
        generation: read_count(row, 7)?,
        attempts: read_count(row, 8)?,
        state: read_name(row, 9, DeliveryState::from_name)?,
        reason: read_column(row, 10)?,
        changed_at: read_moment(row, 11)?,
        due: read_column::<Option<i64>>(row, 12)?.map(Timestamp::from_millis),
    })
}

/// Reads the columns from `first` on as [`LATEST_COLUMNS`], if an attempt was made.
pub(super) fn read_latest(row: &Row, first: usize) -> Result<Option<KeptAttempt>, String> {
    match read_column::<Option<i32>>(row, first + 1)? {
        Some(_) => read_attempt(row, first).map(Some),
        None => Ok(None),
    }
}

/// Reads the columns from `first` on as [`ATTEMPT_COLUMNS`].
pub(super) fn read_attempt(row: &Row, first: usize) -> Result<KeptAttempt, String> {
    let took_us: i64 = read_column(row, first + 3)?;
    Ok(KeptAttempt {
        generation: read_count(row, first)?,
        made: Attempted {
            number: read_count(row, first + 1)?,
            started_at: read_moment(row, first + 2)?,
            took: Duration::from_micros(within(row, first + 3, took_us)?),
            outcome: read_name(row, first + 4, Outcome::from_name)?,
            status: read_status(row, first + 5)?,
            error: read_column(row, first + 6)?,
            response: read_column(row, first + 7)?,
        },
        worker: read_column(row, first + 8)?,
    })
}
