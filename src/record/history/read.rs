//! Reading the history, in the process that writes it or in another.
//!
//! A page walks the index of that filter which leaves the fewest, and looks at the others row by row. It looks at no more than
//! [`EXAMINED_MAX`] rows, whatever is asked for, so that every page is soon there: one of few among many is short, or empty, and
//! tells where to go on.

use std::path::Path;
use std::sync::Arc;

use super::postgres::PostgresReader;
use super::sqlite::SqliteReader;
use super::waiting::Waiting;
use super::{History, HistoryCursor, HistoryFilter, HistoryPage, KeptAttempt, KeptDelivery};
use crate::model::{DeliveryId, Event, Source, UserId};
use crate::postgres::Postgres;
use crate::record::RecordError;

/// Deliveries of one page at most, whatever is asked for.
pub const HISTORY_PAGE_MAX: u32 = 1000;
/// Attempts of one delivery that are shown, the latest.
pub const ATTEMPTS_MAX: u32 = 1000;
/// Rows that are looked at for one page.
pub(super) const EXAMINED_MAX: u32 = 10_000;

/// A delivery of a listing, with its latest attempt.
pub(super) type Found = (KeptDelivery, Option<KeptAttempt>);

/// A delivery with its event, if that has its body yet.
pub type WithEvent = (KeptDelivery, Option<Event>);

/// What was removed of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Deliveries.
    pub deliveries: u64,
    /// Their attempts.
    pub attempts: u64,
    /// Events' bodies.
    pub bodies: u64,
}

/// Bytes of bodies after which a page ends.
pub(super) const PAGE_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A delivery with its attempts, or why it cannot be read.
pub(super) type Shown = Result<(KeptDelivery, Vec<KeptAttempt>), String>;

/// Where it lies.
#[derive(Debug)]
enum Backend {
    Sqlite(SqliteReader),
    Postgres(PostgresReader),
}

/// Reads the history.
#[derive(Debug)]
pub struct HistoryReader {
    store: Backend,
    /// What waits to be written by this process.
    waiting: Option<Arc<Waiting>>,
}

impl HistoryReader {
    /// A reader of the file at `path`, which it opens when it is asked for something.
    pub fn of(path: &Path) -> Self {
        Self { store: Backend::Sqlite(SqliteReader::of(path)), waiting: None }
    }

    /// A reader of what is in PostgreSQL.
    pub fn of_postgres(postgres: &Postgres) -> Self {
        Self { store: Backend::Postgres(PostgresReader::of(postgres)), waiting: None }
    }

    /// The same in the process that writes the history as `writer`, and knows why it is not brought up to date, if it is not.
    #[must_use]
    pub fn beside(self, writer: &History) -> Self {
        Self { waiting: Some(Arc::clone(&writer.waiting)), ..self }
    }

    /// What was answered; of tables of an older hikyaku, why they are, if that is known.
    fn told<T>(&self, answer: Result<T, RecordError>) -> Result<T, RecordError> {
        answer.map_err(|error| match self.waiting.as_ref().and_then(|waiting| waiting.trouble().0) {
            Some(why) if error.is_older() => RecordError::OldHistory { why },
            _ => error,
        })
    }

    /// Whether it can be read; also when nobody has written one.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn check(&self) -> Result<(), RecordError> {
        match self.told(ask!(self.store => check())) {
            Ok(()) | Err(RecordError::NoHistory { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether there is one, as far as can be told now.
    pub async fn is_there(&self) -> bool {
        ask!(self.store => check()).is_ok()
    }

    /// A page of what `filter` lets through, those taken in last first, each with its latest attempt: at most `limit` and
    /// [`HISTORY_PAGE_MAX`] deliveries, those after `after`. The page's `next` leads on; none: this was the last.
    ///
    /// # Errors
    /// [`RecordError::NoHistory`] when nobody has written one, or what the store says.
    pub async fn list(
        &self,
        filter: &HistoryFilter,
        limit: u32,
        after: Option<HistoryCursor>,
    ) -> Result<HistoryPage<(KeptDelivery, Option<KeptAttempt>)>, RecordError> {
        self.told(ask!(self.store => list(filter.clone(), limit.clamp(1, HISTORY_PAGE_MAX), after)))
    }

    /// As [`Self::list`], each delivery with its event, if the body is kept; a page also ends once its bodies exceed 16 MiB.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn read(
        &self,
        filter: &HistoryFilter,
        limit: u32,
        after: Option<HistoryCursor>,
    ) -> Result<HistoryPage<WithEvent>, RecordError> {
        self.told(ask!(self.store => read(filter.clone(), limit.clamp(1, HISTORY_PAGE_MAX), after)))
    }

    /// Removes what there is of a person, in steps, and tells how much; the one thing that is changed here.
    ///
    /// # Errors
    /// What the store says; a part may be removed.
    pub async fn forget(&self, source: &Source, user: &UserId) -> Result<Erased, RecordError> {
        self.told(ask!(self.store => forget(source, user)))
    }

    /// The delivery `id` with its event, if the body is kept.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub async fn with_event(&self, id: &DeliveryId) -> Result<Option<WithEvent>, RecordError> {
        let found = self.told(ask!(self.store => with_event(id)))?.transpose();
        found.map_err(|why| RecordError::Damaged { what: "delivery", id: id.clone(), why })
    }

    /// The delivery `id` with its attempts, the first one first; of more than [`ATTEMPTS_MAX`] the latest.
    ///
    /// # Errors
    /// [`RecordError::NoHistory`] when nobody has written one, [`RecordError::Damaged`], or what the store says.
    pub async fn show(&self, id: &DeliveryId) -> Result<Option<(KeptDelivery, Vec<KeptAttempt>)>, RecordError> {
        let found = self.told(ask!(self.store => show(id)))?.transpose();
        found.map_err(|why| RecordError::Damaged { what: "delivery", id: id.clone(), why })
    }
}
