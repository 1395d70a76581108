//! The store of the settings, made once for all that keep something in it.

use std::path::Path;

use anyhow::bail;

use crate::config::{Settings, StoreUrl};
use crate::postgres::Postgres;
use crate::store::Store;
use crate::telemetry::SharedTelemetry;

/// The store of `settings`. Nothing is opened or connected to yet.
pub(super) fn store_of(settings: &Settings, telemetry: &SharedTelemetry) -> Store {
    match &settings.store.url {
        StoreUrl::Sqlite(path) => Store::Sqlite(path.clone()),
        StoreUrl::Postgres(url) => Store::Postgres(Postgres::new(url.clone(), telemetry.clone())),
    }
}

/// The file of `store`, for what is kept nowhere else.
pub(super) fn file_of<'a>(store: &'a Store, what: &str) -> anyhow::Result<&'a Path> {
    match store {
        Store::Sqlite(path) => Ok(path),
        Store::Postgres(_) => bail!(
            "{what} cannot be kept in PostgreSQL yet: set store.url to a file, such as sqlite:store.db, until a later version"
        ),
    }
}
