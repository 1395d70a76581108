//! The store of the settings, made once for all that keep something in it.

use crate::clock::SharedClock;
use crate::config::{Settings, StoreUrl};
use crate::postgres::Postgres;
use crate::record::{History, HistoryPolicy, HistoryReader, RecordError};
use crate::store::Store;
use crate::telemetry::SharedTelemetry;

/// The store of `settings`. Nothing is opened or connected to yet.
pub(super) fn store_of(settings: &Settings, telemetry: &SharedTelemetry) -> Store {
    match &settings.store.url {
        StoreUrl::Sqlite(path) => Store::Sqlite(path.clone()),
        StoreUrl::Postgres(url) => Store::Postgres(Postgres::new(url.clone(), telemetry.clone())),
    }
}

/// The same for a command that ends with its first error, which alone says what is wrong.
pub(super) fn store_of_a_command(settings: &Settings) -> Store {
    match &settings.store.url {
        StoreUrl::Sqlite(path) => Store::Sqlite(path.clone()),
        StoreUrl::Postgres(url) => Store::Postgres(Postgres::for_a_command(url.clone())),
    }
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
        Store::Sqlite(_) => History::open(&settings.store.url.history().unwrap_or_default(), policy, clock, telemetry),
        Store::Postgres(postgres) => History::open_postgres(postgres, policy, clock, telemetry).await,
    }
}
