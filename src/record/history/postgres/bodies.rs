//! Bodies of events, in a table of their own: what a delivery can be sent again with. One for each event, named by it, since several
//! workers write at the same time.

use std::collections::{BTreeMap, HashMap};

use super::{BEGIN, natural};
use crate::model::{Body, Event, EventId, Timestamp};
use crate::postgres::{PostgresError, Row, Session, Statements};
use crate::record::history::sink::STEP_ROWS;
use crate::record::history::{Entry, KeptBody, KeptDelivery};
use crate::record::postgres::{read_column, read_moment};

/// The step of the schema.
pub(super) const STEP: &str = r#"
    CREATE TABLE bodies (
        event_id TEXT COLLATE "C" PRIMARY KEY,
        user_id TEXT COLLATE "C",
        source TEXT COLLATE "C" NOT NULL,
        server TEXT COLLATE "C",
        created_at BIGINT NOT NULL,
        kept_at BIGINT NOT NULL,
        body BYTEA NOT NULL
    );
    CREATE INDEX bodies_by_time ON bodies (kept_at);
    ALTER TABLE history_rows ADD COLUMN body_bytes BIGINT NOT NULL DEFAULT 0;
"#;

const PUT: &str = "
    WITH put AS (
        INSERT INTO bodies (event_id, user_id, source, server, created_at, kept_at, body)
        SELECT * FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], $7::BYTEA[])
        ON CONFLICT (event_id) DO NOTHING
        RETURNING octet_length(body) AS bytes
    )
    SELECT coalesce(sum(bytes), 0)::BIGINT FROM put
";

const ADD_BYTES: &str = "UPDATE history_rows SET body_bytes = greatest(body_bytes + $1, 0)";

/// The advisory lock of whoever prunes bodies: "hikb" in ASCII, and the schema's hash.
const TURN: &str =
    "SELECT pg_try_advisory_xact_lock(1751739234, hashtext(current_schema())), body_bytes FROM history_rows";

/// $1: what was kept before this goes; $2: so many bytes are too many; $3: rows looked at.
const PRUNE: &str = "
    WITH oldest AS MATERIALIZED (
        SELECT event_id, kept_at, octet_length(body) AS bytes FROM bodies ORDER BY kept_at LIMIT $3::BIGINT FOR UPDATE SKIP LOCKED
    ), summed AS (
        SELECT event_id, kept_at,
            coalesce(sum(bytes) OVER (ORDER BY kept_at, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
        FROM oldest
    ), gone AS (
        DELETE FROM bodies WHERE event_id IN (SELECT event_id FROM summed WHERE kept_at < $1::BIGINT OR before < $2::BIGINT)
        RETURNING octet_length(body) AS bytes
    )
    SELECT count(*), coalesce(sum(bytes), 0)::BIGINT FROM gone
";

/// $1 and $2: events, and when they were taken in, of which deliveries went.
const LEAVE: &str = "
    WITH given AS (
        SELECT DISTINCT * FROM unnest($1::TEXT[], $2::BIGINT[]) AS given (event_id, accepted_at)
    ), gone AS (
        DELETE FROM bodies USING given WHERE bodies.event_id = given.event_id
            AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.accepted_at = given.accepted_at AND d.event_id = given.event_id)
        RETURNING octet_length(body) AS bytes
    )
    SELECT coalesce(sum(bytes), 0)::BIGINT FROM gone
";

/// Deliveries of those events are gone: the bodies of events that have no other go too. Tells how many bytes these had.
pub(super) async fn leave(
    statements: &mut Statements,
    events: Vec<&str>,
    accepted_at: Vec<i64>,
) -> Result<i64, PostgresError> {
    let row = statements.query_opt(LEAVE, &[&events, &accepted_at]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

/// Writes the bodies that `entries` have, those that are not there. Tells how many bytes these have, which are not counted yet.
pub(super) async fn put(statements: &mut Statements, entries: &[Entry]) -> Result<i64, PostgresError> {
    // In the order of their ids, each once.
    let of_entry = |entry| Some((body_of(entry)?.0, (entry, body_of(entry)?.1)));
    let bodies: BTreeMap<&str, (&Entry, &KeptBody)> = entries.iter().filter_map(of_entry).collect();
    if bodies.is_empty() {
        return Ok(0);
    }
    let each = || bodies.values();
    let ids: Vec<&str> = bodies.keys().copied().collect();
    let users: Vec<Option<&str>> = each().map(|(entry, _)| entry.names.user()).collect();
    let sources: Vec<&str> = each().map(|(entry, _)| entry.names.source()).collect();
    let servers: Vec<Option<&str>> = each().map(|(_, body)| body.server.as_deref()).collect();
    let created: Vec<i64> = each().map(|(_, body)| body.created_at.as_millis()).collect();
    let kept: Vec<i64> = each().map(|(entry, _)| entry.changed_at.as_millis()).collect();
    let bytes: Vec<&[u8]> = each().map(|(_, body)| &body.bytes[..]).collect();
    let row = statements.query_opt(PUT, &[&ids, &users, &sources, &servers, &created, &kept, &bytes]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

fn body_of(entry: &Entry) -> Option<(&str, &KeptBody)> {
    entry.body.as_ref().map(|body| (entry.names.event(), &**body))
}

/// Removes of the bodies that were kept first at most [`STEP_ROWS`]: those from before `oldest`, and while all take more than
/// `bytes_max`. None while another process is at it.
pub(super) async fn prune_step(session: &mut Session, oldest: Timestamp, bytes_max: u64) -> Result<u64, PostgresError> {
    let mut transaction = session.transaction().await?;
    transaction.batch(BEGIN).await?;
    let row = transaction.query_opt(TURN, &[]).await?;
    let (is_our_turn, held): (bool, i64) = row.map_or((false, 0), |row| (row.get(0), row.get(1)));
    let mut removed = 0;
    if is_our_turn {
        let excess = (held - i64::try_from(bytes_max).unwrap_or(i64::MAX)).max(0);
        let rows_max = i64::try_from(STEP_ROWS).unwrap_or(i64::MAX);
        let row = transaction.query_opt(PRUNE, &[&oldest.as_millis(), &excess, &rows_max]).await?;
        let (gone, bytes): (i64, i64) = row.map_or((0, 0), |row| (row.get(0), row.get(1)));
        removed = natural(gone);
        if gone > 0 {
            transaction.execute(ADD_BYTES, &[&-bytes]).await?;
        }
    }
    transaction.commit().await?;
    Ok(removed)
}

/// How many bytes the bodies of those events have.
pub(super) async fn bytes_of(statements: &mut Statements, events: &[&str]) -> Result<u64, PostgresError> {
    let sql = "SELECT coalesce(sum(octet_length(body)), 0)::BIGINT FROM bodies WHERE event_id = ANY ($1)";
    Ok(statements.query_opt(sql, &[&events]).await?.map_or(0, |row| natural(row.get(0))))
}

/// What an event has beside what its delivery has.
pub(super) struct Rest {
    server: Option<String>,
    created_at: Timestamp,
    body: Body,
}

/// The bodies of those events that are there.
pub(super) async fn of_events(
    statements: &mut Statements,
    events: &[&str],
) -> Result<HashMap<EventId, Rest>, PostgresError> {
    let sql = "SELECT event_id, server, created_at, body FROM bodies WHERE event_id = ANY ($1)";
    let rows = statements.query(sql, &[&events]).await?;
    Ok(rows.iter().filter_map(|row| read(row).ok()).collect())
}

fn read(row: &Row) -> Result<(EventId, Rest), String> {
    let id = EventId::new(read_column(row, 0)?).map_err(|error| error.to_string())?;
    let body = Body::from_checked(bytes::Bytes::from(read_column::<Vec<u8>>(row, 3)?));
    Ok((id, Rest { server: read_column(row, 1)?, created_at: read_moment(row, 2)?, body }))
}

/// The event of a delivery.
pub(super) fn event_of(kept: &KeptDelivery, rest: &Rest) -> Event {
    Event {
        id: kept.event.clone(),
        kind: kept.kind.clone(),
        user: kept.user.clone(),
        source: kept.source.clone(),
        server: rest.server.clone(),
        created_at: rest.created_at,
        accepted_at: kept.accepted_at,
        trace: None,
        body: rest.body.clone(),
    }
}
