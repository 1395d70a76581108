//! A schema of a run's own in PostgreSQL: what `--store postgres://...` means. Its name is made at random, so that a run never meets
//! a store that someone uses, and it is deleted at the end. A run that is killed leaves it behind.

use anyhow::Context;

use crate::cli::CliError;
use crate::config::{Settings, StoreUrl};
use crate::postgres::{Postgres, PostgresUrl};
use crate::telemetry::Telemetry;

/// A schema that is made to be thrown away.
pub(super) struct OwnSchema(PostgresUrl);

impl OwnSchema {
    /// One where `--store` says.
    ///
    /// # Errors
    /// When that is no URL of PostgreSQL.
    pub(super) fn of(store: &str) -> Result<Self, CliError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let behind = if store.contains('?') { '&' } else { '?' };
        // The URL is not quoted, since it may hold a password.
        let url = PostgresUrl::parse(&format!("{store}{behind}schema=hikyaku_bench_{}", &id[..8]));
        url.map(Self).map_err(|what| CliError::Usage(format!("--store: {what}")))
    }

    /// Has `settings` use it.
    pub(super) fn put_into(&self, settings: &mut Settings) {
        settings.store.url = StoreUrl::Postgres(self.0.clone());
    }

    /// Deletes it; nobody may be using it any more.
    ///
    /// # Errors
    /// When PostgreSQL does not do it.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        let schema = self.0.schema().to_owned();
        let postgres = Postgres::new(self.0, Telemetry::shared()?);
        let sql = format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE");
        let removed = async { postgres.session().await?.batch(&sql).await };
        removed.await.with_context(|| format!("the schema {schema} cannot be deleted"))
    }
}
