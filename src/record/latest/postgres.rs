//! The latest attempts in PostgreSQL. Several workers write, as `sqlite` says; what one writes together goes in the order of the
//! webhooks, so that two never wait for each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::LatestAttempt;
use super::waiting::Noted;
use crate::model::{Streak, Timestamp, WebhookId};
use crate::postgres::{Postgres, PostgresError, Row, Statements};
use crate::record::postgres::{Tables, read_column, read_status, read_text};

pub(super) const STEPS: &[&str] = &[r#"
    CREATE TABLE webhook_latest (
        webhook TEXT COLLATE "C" PRIMARY KEY,
        sent_at BIGINT NOT NULL,
        status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 65535),
        failing_since BIGINT,
        failing_ms BIGINT
    );
"#];

/// Webhooks written by one statement at most.
const GROUP_MAX: usize = 10_000;

const COLUMNS: &str = "sent_at, status, failing_since, failing_ms, webhook";

const PUT: &str = "
    INSERT INTO webhook_latest AS kept (webhook, sent_at, status, failing_since, failing_ms)
    SELECT * FROM unnest($1::TEXT[], $2::BIGINT[], $3::INTEGER[], $4::BIGINT[], $5::BIGINT[])
    ON CONFLICT (webhook) DO UPDATE SET
        sent_at = greatest(kept.sent_at, excluded.sent_at),
        status = CASE WHEN excluded.sent_at >= kept.sent_at THEN excluded.status ELSE kept.status END,
";

/// What was known of its failing counts no more.
const ANEW: &str = "failing_since = excluded.failing_since, failing_ms = excluded.failing_ms";

/// It counts, and this after it. `greatest` passes over what is null.
const ON: &str = "failing_since = coalesce(kept.failing_since, excluded.failing_since),
        failing_ms = greatest(kept.failing_ms, excluded.failing_ms)";

/// The table in a database.
#[derive(Debug)]
pub(super) struct PostgresLatest {
    tables: Tables,
}

impl PostgresLatest {
    /// Opens the table, making it where it is absent; later, while PostgreSQL is away.
    pub(super) async fn open(postgres: &Postgres) -> Result<Self, PostgresError> {
        let tables = Tables::of(postgres, "latest", STEPS);
        tables.open().await?;
        Ok(Self { tables })
    }

    pub(super) async fn write(&self, batch: Arc<Vec<(WebhookId, Noted)>>) -> Result<(), PostgresError> {
        let mut batch: Vec<&(WebhookId, Noted)> = batch.iter().collect();
        batch.sort_unstable_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        let mut session = self.tables.session().await?;
        // What is put twice is as it was, so what comes before a failure may stay.
        for group in batch.chunks(GROUP_MAX) {
            for anew in [false, true] {
                let noted: Vec<_> = group.iter().filter(|(_, noted)| noted.anew == anew).copied().collect();
                put(&mut session, &noted, if anew { ANEW } else { ON }).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn of(&self, webhook: &WebhookId) -> Result<Option<LatestAttempt>, PostgresError> {
        let mut session = self.tables.session().await?;
        let sql = format!("SELECT {COLUMNS} FROM webhook_latest WHERE webhook = $1");
        Ok(session.query_opt(&sql, &[&webhook.as_str()]).await?.and_then(|row| read(&row).ok()))
    }

    pub(super) async fn all(&self) -> Result<HashMap<WebhookId, LatestAttempt>, PostgresError> {
        let mut session = self.tables.session().await?;
        let rows = session.query(&format!("SELECT {COLUMNS} FROM webhook_latest"), &[]).await?;
        // What is no id names no webhook, so nobody asks for it.
        Ok(rows.iter().filter_map(|row| Some((read_text(row, 4, WebhookId::new).ok()?, read(row).ok()?))).collect())
    }

    pub(super) async fn forget(&self, webhook: &WebhookId) -> Result<(), PostgresError> {
        let mut session = self.tables.session().await?;
        session.execute("DELETE FROM webhook_latest WHERE webhook = $1", &[&webhook.as_str()]).await?;
        Ok(())
    }
}

/// Puts what was `noted` over what is there; of since when it is failing as `failing` says.
async fn put(statements: &mut Statements, noted: &[&(WebhookId, Noted)], failing: &str) -> Result<(), PostgresError> {
    if noted.is_empty() {
        return Ok(());
    }
    let webhooks: Vec<&str> = noted.iter().map(|(webhook, _)| webhook.as_str()).collect();
    let sent_at: Vec<i64> = noted.iter().map(|(_, noted)| noted.sent_at.as_millis()).collect();
    let statuses: Vec<i32> = noted.iter().map(|(_, noted)| i32::from(noted.status)).collect();
    let since: Vec<Option<i64>> = noted.iter().map(|(_, noted)| Some(noted.streak?.since.as_millis())).collect();
    let lasted: Vec<Option<i64>> = noted
        .iter()
        .map(|(_, noted)| Some(i64::try_from(noted.streak?.lasted.as_millis()).unwrap_or(i64::MAX)))
        .collect();
    statements.execute(&format!("{PUT}{failing}"), &[&webhooks, &sent_at, &statuses, &since, &lasted]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<LatestAttempt, String> {
    let since = read_column::<Option<i64>>(row, 2)?.map(Timestamp::from_millis);
    let failing = since.zip(read_column::<Option<i64>>(row, 3)?);
    Ok(LatestAttempt {
        sent_at: Timestamp::from_millis(read_column(row, 0)?),
        status: read_status(row, 1)?.unwrap_or_default(),
        failing: failing
            .map(|(since, ms)| Streak { since, lasted: Duration::from_millis(u64::try_from(ms).unwrap_or(0)) }),
    })
}
