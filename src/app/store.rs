//! The store of the settings, made once for all that keep something in it.
//!
//! Each of those brings its own tables up to date. So before the first of them it is looked whether any part, of the store, the
//! history or the queue's file, is of a newer version: an older program leaves all of it as it is.

use crate::clock::SharedClock;
use crate::config::{Settings, StoreUrl};
use crate::postgres::Postgres;
use crate::record::{HISTORY_SCHEMA_PART, History, HistoryPolicy, HistoryReader, RecordError, SCHEMA_PARTS};
use crate::store::{Store, StoreError};
use crate::telemetry::SharedTelemetry;
use crate::{queue, registry, sqlite};

/// The store of `settings`. Nothing is opened or connected to yet.
pub(super) fn store_of(settings: &Settings, telemetry: &SharedTelemetry) -> Store {
    match &settings.store.url {
        StoreUrl::Sqlite(path) => Store::Sqlite(path.clone()),
        StoreUrl::Postgres(url) => Store::Postgres(Postgres::new(url.clone(), telemetry.clone())),
    }
}

/// The same for a command that ends with its first error, which alone says what is wrong.
///
/// # Errors
/// As [`refuse_newer`].
pub(super) async fn store_of_a_command(settings: &Settings) -> Result<Store, StoreError> {
    let store = match &settings.store.url {
        StoreUrl::Sqlite(path) => Store::Sqlite(path.clone()),
        StoreUrl::Postgres(url) => Store::Postgres(Postgres::for_a_command(url.clone())),
    };
    refuse_newer(settings, &store).await?;
    Ok(store)
}

/// Checks that nothing that is kept, in `store`, in the history's file or in the queue's, is of a newer version.
///
/// # Errors
/// Which part is, with both versions. Nothing is changed.
pub(super) async fn refuse_newer(settings: &Settings, store: &Store) -> Result<(), StoreError> {
    if let Some(path) = settings.queue.url.file() {
        sqlite::refuse_newer(path, &[queue::FILE_SCHEMA])?;
    }
    let parts = SCHEMA_PARTS.into_iter().chain([registry::SCHEMA_PART]);
    let history = HISTORY_SCHEMA_PART;
    match store {
        Store::Sqlite(path) => {
            let beside = settings.store.url.history().unwrap_or_default();
            sqlite::refuse_newer(&beside, &[(history.name, history.file_steps)])?;
            sqlite::refuse_newer(path, &parts.map(|part| (part.name, part.file_steps)).collect::<Vec<_>>())?;
        }
        Store::Postgres(postgres) => {
            let known: Vec<_> = parts.chain([history]).map(|part| (part.name, part.postgres_steps)).collect();
            postgres.refuse_newer(&known).await?;
        }
    }
    Ok(())
}

/// Who reads the history of `settings`, which lies in `store` or, of a file, beside it.
pub(super) fn history_reader(settings: &Settings, store: &Store) -> HistoryReader {
    match store {
        Store::Sqlite(_) => HistoryReader::of(&settings.store.url.history().unwrap_or_default()),
        Store::Postgres(postgres) => HistoryReader::of_postgres(postgres),
    }
}

/// Who writes it.
///
/// # Errors
/// When what is there is of a newer version, or no thread is left.
pub(super) async fn open_history(
    settings: &Settings,
    store: &Store,
    policy: HistoryPolicy,
    clock: SharedClock,
    telemetry: SharedTelemetry,
) -> Result<History, RecordError> {
    match store {
        Store::Sqlite(path) => {
            History::open(&settings.store.url.history().unwrap_or_default(), path, policy, clock, telemetry)
        }
        Store::Postgres(postgres) => History::open_postgres(postgres, policy, clock, telemetry).await,
    }
}
