//! The registry in PostgreSQL, in tables of its own beside those of other modules: those of the SQLite file, column by column.
//!
//! Every change begins by locking the row of `registry_revision`, so that changes come one after the other, whichever process
//! makes them; it counts there, and notifies the channel, which is heard when it is committed. What is read is read in one
//! transaction that sees one moment.

mod changing;
mod deactivating;
mod sealing;

use std::collections::HashSet;
use std::sync::Arc;

use super::LOOK_WAIT_MAX;
use super::cache::{Loaded, Step, bounded};
use super::row::{self, Columns};
use super::seal::Seals;
use crate::model::{Timestamp, Webhook, WebhookId};
use crate::postgres::{FromSql, Listening, Postgres, Row, Session, Statements, Transaction};
use crate::store::{CHANGES, StoreError};

pub(super) const STEPS: &[&str] = &[r#"
    CREATE TABLE webhooks (
        id TEXT COLLATE "C" PRIMARY KEY,
        user_id TEXT COLLATE "C",
        source TEXT COLLATE "C" NOT NULL,
        name TEXT NOT NULL,
        url TEXT NOT NULL,
        secret TEXT NOT NULL,
        "on" TEXT NOT NULL,
        active BOOLEAN NOT NULL,
        options TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        sealed_by TEXT
    );
    CREATE INDEX webhooks_of_owner ON webhooks (source, user_id);
    CREATE TABLE webhook_state (
        id TEXT COLLATE "C" PRIMARY KEY,
        deactivated_reason TEXT NOT NULL,
        deactivated_at BIGINT NOT NULL,
        failing_since BIGINT
    );
    CREATE TABLE webhook_announcements (
        id TEXT COLLATE "C" NOT NULL,
        reason TEXT NOT NULL,
        at BIGINT NOT NULL,
        failing_since BIGINT,
        PRIMARY KEY (id, at)
    );
    CREATE TABLE webhook_tombstones (id TEXT COLLATE "C" PRIMARY KEY, deleted_at BIGINT NOT NULL);
    CREATE TABLE registry_revision (one BOOLEAN PRIMARY KEY CHECK (one), revision BIGINT NOT NULL);
    INSERT INTO registry_revision VALUES (true, 0);
"#];

/// The tables in a database.
#[derive(Debug)]
pub(super) struct PostgresRegistry {
    postgres: Postgres,
    seals: Arc<Seals>,
}

impl PostgresRegistry {
    pub(super) async fn open(postgres: Postgres, seals: Seals) -> Result<Self, StoreError> {
        postgres.migrate("registry", STEPS).await?;
        sealing::seal_all_anew(&postgres, &seals).await?;
        Ok(Self { postgres, seals: Arc::new(seals) })
    }

    /// Calls `heard` at each change that is committed, of whichever process.
    pub(super) fn listen(&self, heard: impl Fn() + Send + Sync + 'static) -> Listening {
        self.postgres.listen(&self.postgres.channel(CHANGES), heard)
    }

    pub(super) async fn is_at(&self, known: i64) -> Result<bool, StoreError> {
        let asked = async { revision(&mut *self.postgres.session().await?).await };
        match tokio::time::timeout(LOOK_WAIT_MAX, asked).await {
            Ok(revision) => Ok(revision? == known),
            Err(_) => Err(self.postgres.silent_for(LOOK_WAIT_MAX).into()),
        }
    }

    pub(super) async fn load_unless(&self, known: Option<i64>) -> Result<Option<Loaded>, StoreError> {
        let mut session = self.postgres.session().await?;
        if known.is_some() && known == Some(revision(&mut session).await?) {
            return Ok(None);
        }
        let mut moment = session.reading().await?;
        let now = revision(&mut moment).await?;
        let loaded = load(&mut moment, now, &self.seals).await?;
        moment.rollback().await?;
        Ok(Some(loaded))
    }

    pub(super) async fn prune_tombstones(&self, before: Timestamp) -> Result<(), StoreError> {
        let mut session = self.postgres.session().await?;
        let mut change = Changing::begin(&mut session).await?;
        let old = "DELETE FROM webhook_tombstones WHERE deleted_at < $1";
        match change.statements().execute(old, &[&before.as_millis()]).await? {
            0 => change.give_up().await,
            _ => change.finish(&self.postgres).await.map(|_step| ()),
        }
    }
}

/// One change under way: a transaction that no other change of the registry overtakes.
struct Changing<'a> {
    transaction: Transaction<'a>,
    before: i64,
}

impl<'a> Changing<'a> {
    async fn begin(session: &'a mut Session) -> Result<Self, StoreError> {
        let mut transaction = session.transaction().await?;
        let locked = transaction.query("SELECT revision FROM registry_revision FOR UPDATE", &[]).await?;
        let before = only(&locked)?;
        Ok(Self { transaction, before })
    }

    fn statements(&mut self) -> &mut Statements {
        &mut self.transaction
    }

    /// Counts the change, tells of it, and makes it last.
    async fn finish(mut self, postgres: &Postgres) -> Result<Step, StoreError> {
        let after = self.before.wrapping_add(1);
        self.transaction.execute("UPDATE registry_revision SET revision = $1", &[&after]).await?;
        self.transaction.query("SELECT pg_notify($1, '')", &[&postgres.channel(CHANGES)]).await?;
        self.transaction.commit().await?;
        Ok(Step { before: self.before, after })
    }

    /// Undoes it: nothing was to be done.
    async fn give_up(self) -> Result<(), StoreError> {
        Ok(self.transaction.rollback().await?)
    }
}

impl Columns for Row {
    fn text(&self, name: &'static str) -> Result<String, String> {
        column(self, name)
    }

    fn text_or_null(&self, name: &'static str) -> Result<Option<String>, String> {
        column(self, name)
    }

    fn millis(&self, name: &'static str) -> Result<i64, String> {
        column(self, name)
    }

    fn flag(&self, name: &'static str) -> Result<bool, String> {
        column(self, name)
    }
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, String> {
    row.try_get(name).map_err(|error| format!("{name}: {error}"))
}

async fn revision(statements: &mut Statements) -> Result<i64, StoreError> {
    only(&statements.query("SELECT revision FROM registry_revision", &[]).await?)
}

/// The row that `registry_revision` has.
fn only(rows: &[Row]) -> Result<i64, StoreError> {
    let row = rows.first().ok_or_else(|| StoreError::Unwritable("registry_revision has lost its row".to_owned()))?;
    column(row, "revision").map_err(StoreError::Unwritable)
}

async fn load(moment: &mut Statements, revision: i64, seals: &Seals) -> Result<Loaded, StoreError> {
    let mut problems = Vec::new();
    let keys_missing = sealing::keys_missing(moment, seals).await?;
    let webhooks = load_webhooks(moment, &mut problems, seals).await?;
    let deactivated = deactivating::load_states(moment, &mut problems, None).await?;
    let tombstones = load_tombstones(moment).await?;
    Ok(Loaded { revision, webhooks, deactivated, tombstones, keys_missing, problems: bounded(problems) })
}

async fn load_webhooks(
    moment: &mut Statements,
    problems: &mut Vec<String>,
    seals: &Seals,
) -> Result<Vec<Webhook>, StoreError> {
    let select = format!("SELECT {} FROM webhooks ORDER BY created_at, id", row::COLUMNS);
    let mut webhooks = Vec::new();
    for row in moment.query(&select, &[]).await? {
        match row::read(&row, seals) {
            Ok(webhook) => webhooks.push(webhook),
            Err(why) => {
                let id = row.text("id").unwrap_or_else(|_| "(whose id is no text)".to_owned());
                problems.push(row::skipped(&id, &why));
            }
        }
    }
    Ok(webhooks)
}

pub(super) async fn load_tombstones(moment: &mut Statements) -> Result<HashSet<WebhookId>, StoreError> {
    let rows = moment.query("SELECT id FROM webhook_tombstones", &[]).await?;
    // What is no id cannot be asked for.
    Ok(rows.iter().filter_map(|row| WebhookId::new(&row.text("id").ok()?).ok()).collect())
}
