//! The receipts in PostgreSQL, for several machines that take events in.
//!
//! `receipt_claims` says who is storing what at the moment. It is not logged, since it counts for half a minute: a crash of
//! PostgreSQL empties it, and costs a repeat at worst.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Claim;
use crate::model::{ReceiptKey, Timestamp};
use crate::postgres::{Postgres, PostgresError, Statements};
use crate::record::postgres::Tables;
use crate::sqlite::receipts::{RECEIPTS_MAX, REMEMBERED_FOR};

pub(super) const STEPS: &[&str] = &["
    CREATE TABLE receipts (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key BYTEA NOT NULL UNIQUE,
        noted_ms BIGINT NOT NULL
    );
    CREATE UNLOGGED TABLE receipt_claims (key BYTEA PRIMARY KEY, holder TEXT NOT NULL, until_ms BIGINT NOT NULL);
"];

/// Receipts that are noted between two prunings, each of which removes up to twice as many.
const PRUNE_EVERY: u64 = 256;

/// $1: the key, $2: who asks, $3: now, $4: until when.
const CLAIM: &str = "
    INSERT INTO receipt_claims AS held (key, holder, until_ms) VALUES ($1, $2, $4)
    ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
    WHERE held.until_ms <= $3 OR held.holder = excluded.holder
";

const KNOWS: &str = "SELECT 1 FROM receipts WHERE key = $1 AND noted_ms >= $2";

/// What does not count any more is noted anew.
const NOTE: &str = "
    WITH let_go AS (DELETE FROM receipt_claims WHERE key = $1 AND holder = $4)
    INSERT INTO receipts AS kept (key, noted_ms) VALUES ($1, $2)
    ON CONFLICT (key) DO UPDATE SET noted_ms = excluded.noted_ms WHERE kept.noted_ms < $3
";

const RENEW: &str = "UPDATE receipt_claims SET until_ms = $3 WHERE key = $1 AND holder = $2";

const LET_GO: &str = "DELETE FROM receipt_claims WHERE key = $1 AND holder = $2";

/// Of the oldest, those past their time, and those over the table's bound.
const PRUNE: &str = "
    DELETE FROM receipts WHERE id IN (
        SELECT id FROM receipts WHERE noted_ms < $1 OR id <= (SELECT max(id) FROM receipts) - $2 ORDER BY id LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
";

const PRUNE_CLAIMS: &str = "DELETE FROM receipt_claims WHERE until_ms < $1";

/// The tables in a database.
#[derive(Debug)]
pub(super) struct PostgresReceipts {
    tables: Tables,
    /// Who we are among those who claim.
    holder: String,
    noted: AtomicU64,
}

impl PostgresReceipts {
    /// Opens the tables, making them where they are absent; later, while PostgreSQL is away.
    pub(super) async fn open(postgres: &Postgres) -> Result<Self, PostgresError> {
        let tables = Tables::of(postgres, "receipts", STEPS);
        tables.open().await?;
        Ok(Self { tables, holder: uuid::Uuid::new_v4().to_string(), noted: AtomicU64::new(0) })
    }

    pub(super) async fn knows(&self, key: ReceiptKey, now: Timestamp) -> Result<bool, PostgresError> {
        let mut session = self.tables.session().await?;
        Ok(session.query_opt(KNOWS, &[&&key.bytes()[..], &oldest(now)]).await?.is_some())
    }

    pub(super) async fn claim(&self, key: ReceiptKey, now: Timestamp, lease: Duration) -> Result<Claim, PostgresError> {
        let mut session = self.tables.session().await?;
        let (now_ms, until_ms) = (now.as_millis(), now.plus(lease).as_millis());
        let is_ours = session.execute(CLAIM, &[&&key.bytes()[..], &self.holder, &now_ms, &until_ms]).await? > 0;
        // Asked afterwards: who had claimed it before may have noted it until then.
        let is_known = session.query_opt(KNOWS, &[&&key.bytes()[..], &oldest(now)]).await?.is_some();
        if is_known && is_ours {
            session.execute(LET_GO, &[&&key.bytes()[..], &self.holder]).await?;
        }
        Ok(match (is_known, is_ours) {
            (true, _) => Claim::Known,
            (false, true) => Claim::Ours,
            (false, false) => Claim::Others,
        })
    }

    pub(super) async fn renew(&self, key: ReceiptKey, now: Timestamp, lease: Duration) -> Result<(), PostgresError> {
        let until_ms = now.plus(lease).as_millis();
        self.tables.session().await?.execute(RENEW, &[&&key.bytes()[..], &self.holder, &until_ms]).await?;
        Ok(())
    }

    pub(super) async fn let_go(&self, key: ReceiptKey) -> Result<(), PostgresError> {
        self.tables.session().await?.execute(LET_GO, &[&&key.bytes()[..], &self.holder]).await?;
        Ok(())
    }

    /// Goes on to the end when the caller waits no longer.
    pub(super) async fn note(&self, key: ReceiptKey, now: Timestamp) -> Result<(), PostgresError> {
        let (tables, holder) = (self.tables.clone(), self.holder.clone());
        let prunes = self.noted.fetch_add(1, Ordering::Relaxed) % PRUNE_EVERY == PRUNE_EVERY - 1;
        let noting = tokio::spawn(async move {
            let mut session = tables.session().await?;
            session.execute(NOTE, &[&&key.bytes()[..], &now.as_millis(), &oldest(now), &holder]).await?;
            if prunes { prune(&mut session, now).await } else { Ok(()) }
        });
        let place = self.tables.place();
        noting.await.unwrap_or_else(|ended| Err(PostgresError::Other { place, why: ended.to_string() }))
    }
}

async fn prune(statements: &mut Statements, now: Timestamp) -> Result<(), PostgresError> {
    let count_max = i64::try_from(RECEIPTS_MAX).unwrap_or(i64::MAX);
    let rows_max = i64::try_from(2 * PRUNE_EVERY).unwrap_or(i64::MAX);
    statements.execute(PRUNE, &[&oldest(now), &count_max, &rows_max]).await?;
    statements.execute(PRUNE_CLAIMS, &[&now.as_millis()]).await?;
    Ok(())
}

fn oldest(now: Timestamp) -> i64 {
    now.minus(REMEMBERED_FOR).as_millis()
}
