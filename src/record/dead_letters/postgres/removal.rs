//! Removes the first letters of a walk. What was changed meanwhile is another letter, and stays.

use super::listing::Terms;
use crate::model::Timestamp;
use crate::postgres::{PostgresError, Statements};
use crate::record::dead_letters::Cursor;

/// Which end of the listing a walk begins at.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Newest,
    Oldest,
}

/// What a step of a large removal did.
pub(super) struct Step {
    pub(super) chosen: u64,
    pub(super) removed: u64,
    pub(super) last: Option<Cursor>,
}

/// Removes at most `rows` letters of those that `terms` let through, the first ones.
pub(super) async fn remove_first(
    statements: &mut Statements,
    terms: &Terms,
    from: End,
    rows: u64,
) -> Result<Step, PostgresError> {
    let (onward, back) = match from {
        End::Newest => ("DESC", "ASC"),
        End::Oldest => ("ASC", "DESC"),
    };
    // Locked by their ids, as everyone does who changes several.
    let sql = format!(
        "WITH chosen AS MATERIALIZED (
            SELECT number, died_at, delivery_id FROM dead_letters WHERE {}
            ORDER BY died_at {onward}, delivery_id {onward} LIMIT {rows}
        ), held AS MATERIALIZED (
            SELECT number, delivery_id FROM dead_letters WHERE delivery_id IN (SELECT delivery_id FROM chosen)
            ORDER BY delivery_id FOR UPDATE
        ), removed AS (
            DELETE FROM dead_letters USING held, chosen WHERE dead_letters.delivery_id = held.delivery_id
                AND held.number = chosen.number AND dead_letters.number = chosen.number RETURNING 1
        )
        SELECT (SELECT count(*) FROM chosen), (SELECT count(*) FROM removed), died_at, delivery_id
        FROM chosen ORDER BY died_at {back}, delivery_id {back} LIMIT 1",
        terms.sql()
    );
    let row = statements.query_opt(&sql, &terms.values()).await?;
    Ok(row.map_or(Step { chosen: 0, removed: 0, last: None }, |row| Step {
        chosen: natural(row.get(0)),
        removed: natural(row.get(1)),
        last: Some(Cursor { died_at: Timestamp::from_millis(row.get(2)), id: row.get(3) }),
    }))
}

/// A count of PostgreSQL's.
pub(super) fn natural(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
