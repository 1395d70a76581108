//! Which webhooks are deleted, for a command that needs nothing else of the registry: it takes no key, and makes and changes nothing.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{postgres, sqlite};
use crate::model::WebhookId;
use crate::postgres::Postgres;
use crate::sqlite::SqliteError;
use crate::store::{Store, StoreError};

/// Those in `store`; none where nobody has made the tables.
///
/// # Errors
/// What the store says.
pub async fn tombstones(store: &Store) -> Result<HashSet<WebhookId>, StoreError> {
    match store {
        Store::Sqlite(path) => in_file(path).map_err(|error| SqliteError::new(path, error).into()),
        Store::Postgres(postgres) => in_postgres(postgres).await,
    }
}

fn in_file(path: &Path) -> rusqlite::Result<HashSet<WebhookId>> {
    if !path.exists() {
        return Ok(HashSet::new());
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(crate::sqlite::BUSY_TIMEOUT)?;
    let is_made = connection.table_exists(None, "webhook_tombstones")?;
    if is_made { sqlite::load_tombstones(&connection) } else { Ok(HashSet::new()) }
}

async fn in_postgres(postgres: &Postgres) -> Result<HashSet<WebhookId>, StoreError> {
    let mut session = postgres.session().await?;
    let is_made = session.query_opt("SELECT to_regclass('webhook_tombstones') IS NOT NULL", &[]).await?;
    if !is_made.is_some_and(|row| row.get(0)) {
        return Ok(HashSet::new());
    }
    postgres::load_tombstones(&mut session).await
}
