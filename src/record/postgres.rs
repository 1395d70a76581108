//! What the record's tables in PostgreSQL have in common: that they are made when they are first needed, and how a row is read.
//! Nobody downstream checks what is read, so it is checked here; what does not hold is told in words that name the column.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::model::{Event, EventId, EventType, IdError, LastFailure, Outcome, Source, Timestamp, UserId};
use crate::postgres::{FromSql, Postgres, PostgresError, Row, Session};
use crate::store::CHANGES;

/// How many columns an event is: its id, type, user, source, server, when it was created, when it was accepted, and its body.
pub(super) const EVENT_COLUMNS: usize = 8;

/// The tables of one part.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    postgres: Postgres,
    part: &'static str,
    steps: &'static [&'static str],
    made: Arc<OnceCell<()>>,
}

impl Tables {
    /// Those of `part`, which `steps` make.
    pub(super) fn of(postgres: &Postgres, part: &'static str, steps: &'static [&'static str]) -> Self {
        Self { postgres: postgres.clone(), part, steps, made: Arc::default() }
    }

    /// Makes them, or brings them up to date. While PostgreSQL is away that is left to whoever needs them next.
    ///
    /// # Errors
    /// When they are of a newer version, or PostgreSQL is there and does not do it.
    pub(super) async fn open(&self) -> Result<(), PostgresError> {
        match self.make().await {
            Err(error) if error.is_away() => Ok(()),
            made => made,
        }
    }

    async fn make(&self) -> Result<(), PostgresError> {
        self.made.get_or_try_init(|| self.postgres.migrate(self.part, self.steps)).await.copied()
    }

    /// A connection, to tables that are there.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn session(&self) -> Result<Session, PostgresError> {
        self.make().await?;
        self.postgres.session().await
    }

    /// A connection to read by; nothing when nobody has made the tables. Makes none.
    ///
    /// # Errors
    /// When they are of another version, or what PostgreSQL says.
    pub(super) async fn session_if_made(&self) -> Result<Option<Session>, PostgresError> {
        if !self.made.initialized() {
            let known = self.steps.len();
            match self.postgres.version_of(self.part).await? {
                found if found > known => {
                    let place = self.place();
                    return Err(PostgresError::Newer { place, part: self.part, found, known });
                }
                0 => return Ok(None),
                found if found < known => {
                    let place = self.place();
                    return Err(PostgresError::Older { place, part: self.part, found, known });
                }
                _ => self.made.set(()).unwrap_or_default(),
            }
        }
        self.postgres.session().await.map(Some)
    }

    /// Where they are, without the password.
    pub(super) fn place(&self) -> String {
        self.postgres.url().to_string()
    }

    /// The channel by which processes tell each other of changes.
    pub(super) fn channel(&self) -> String {
        self.postgres.channel(CHANGES)
    }

    /// The schema that they are in.
    pub(super) fn schema(&self) -> &str {
        self.postgres.url().schema()
    }
}

/// Reads the event whose columns begin at `first`; what stands in the body's place, `read_body` reads.
pub(super) fn read_event<B>(
    row: &Row,
    first: usize,
    read_body: impl FnOnce(&Row, usize) -> Result<B, String>,
) -> Result<Event<B>, String> {
    Ok(Event {
        id: read_text(row, first, EventId::new)?,
        kind: read_text(row, first + 1, EventType::new)?,
        user: read_optional(row, first + 2, UserId::new)?,
        source: read_text(row, first + 3, Source::new)?,
        server: read_column(row, first + 4)?,
        created_at: read_moment(row, first + 5)?,
        accepted_at: read_moment(row, first + 6)?,
        trace: None,
        body: read_body(row, first + 7)?,
    })
}

/// Reads what the last attempt came to: outcome, status and error, from `first` on; all null when there was none.
pub(super) fn read_failure(row: &Row, first: usize) -> Result<Option<LastFailure>, String> {
    if read_column::<Option<&str>>(row, first)?.is_none() {
        return Ok(None);
    }
    let outcome = read_name(row, first, Outcome::from_name)?;
    let error: Option<&str> = read_column(row, first + 2)?;
    Ok(Some(LastFailure::new(outcome, read_status(row, first + 1)?, error.unwrap_or_default())))
}

/// Reads an HTTP status, if there is one.
pub(super) fn read_status(row: &Row, column: usize) -> Result<Option<u16>, String> {
    read_column::<Option<i32>>(row, column)?.map(|status| within(row, column, status)).transpose()
}

/// Reads one column.
pub(super) fn read_column<'row, T: FromSql<'row>>(row: &'row Row, column: usize) -> Result<T, String> {
    row.try_get(column).map_err(|error| format!("{}: {error}", name_of(row, column)))
}

/// Reads a count.
pub(super) fn read_count(row: &Row, column: usize) -> Result<u32, String> {
    within(row, column, read_column::<i32>(row, column)?)
}

/// Reads a moment.
pub(super) fn read_moment(row: &Row, column: usize) -> Result<Timestamp, String> {
    read_column(row, column).map(Timestamp::from_millis)
}

/// Reads an id or a name that `make` checks.
pub(super) fn read_text<T>(row: &Row, column: usize, make: fn(&str) -> Result<T, IdError>) -> Result<T, String> {
    make(read_column(row, column)?).map_err(|error| format!("{}: {error}", name_of(row, column)))
}

/// The same, where there may be none.
pub(super) fn read_optional<T>(
    row: &Row,
    column: usize,
    make: fn(&str) -> Result<T, IdError>,
) -> Result<Option<T>, String> {
    let text: Option<&str> = read_column(row, column)?;
    text.map(make).transpose().map_err(|error| format!("{}: {error}", name_of(row, column)))
}

/// Reads a word of a closed list.
pub(super) fn read_name<T>(row: &Row, column: usize, find: fn(&str) -> Option<T>) -> Result<T, String> {
    let word: &str = read_column(row, column)?;
    let unknown = || format!("{}: {word:?} is unknown here; a newer hikyaku may have written it", name_of(row, column));
    find(word).ok_or_else(unknown)
}

/// A number that must fit.
pub(super) fn within<N: Copy + std::fmt::Display, T: TryFrom<N>>(
    row: &Row,
    column: usize,
    number: N,
) -> Result<T, String> {
    T::try_from(number).map_err(|_| format!("{}: {number} is out of range", name_of(row, column)))
}

fn name_of(row: &Row, column: usize) -> &str {
    row.columns().get(column).map_or("a column that is not there", |column| column.name())
}

/// A number of ours as PostgreSQL has numbers; one that is too large is the largest.
pub(super) fn integer(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A text without U+0000, which PostgreSQL does not take.
pub(super) fn without_nul(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}
