//! The history in a file of its own: one that was removed or replaced is made anew, and one that is locked, full or damaged is
//! tried again.

mod bodies;
mod forgetting;
mod marks;
mod packs;
mod place;
mod read;
mod retention;
mod row;
mod schema;
mod write;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use self::forgetting::ForgottenInFile;
pub(super) use self::read::SqliteReader;
use self::retention::{Progress, prune_step};
pub(super) use self::schema::STEPS;
use self::schema::open_to_write;
use self::write::write;
use super::entry::Entry;
use super::sink::{Pace, Pruned, Rows, Sink};
use crate::model::Timestamp;
use crate::record::RecordError;
use crate::sqlite::{self, FileIdentity, SqliteError};

/// The file that is written.
pub(super) struct SqliteSink {
    path: PathBuf,
    file: Option<File>,
    forgotten: ForgottenInFile,
}

/// The open file.
struct File {
    connection: Connection,
    identity: FileIdentity,
    progress: Progress,
}

impl SqliteSink {
    /// The file at `path`, made if it is absent when it is used, and who is forgotten, by the file `store`.
    pub(super) fn of(path: &Path, store: &Path) -> Self {
        Self { path: path.to_owned(), file: None, forgotten: ForgottenInFile::of(store) }
    }

    /// The open file, opened anew if it was removed or replaced.
    fn open<'a>(path: &Path, file: &'a mut Option<File>) -> Result<&'a mut File, SqliteError> {
        let open = match file.take() {
            Some(open) if open.identity.check().is_ok() => open,
            replaced => {
                // Closed first, so that nothing is written any more to what was removed.
                drop(replaced);
                let connection = open_to_write(path)?;
                File { connection, identity: FileIdentity::of(path), progress: Progress::default() }
            }
        };
        Ok(file.insert(open))
    }

    fn run<T>(&mut self, job: impl FnOnce(&mut File) -> rusqlite::Result<T>) -> Result<T, RecordError> {
        let done = job(Self::open(&self.path, &mut self.file)?);
        Ok(done.map_err(|error| SqliteError::new(&self.path, error))?)
    }
}

impl Sink for SqliteSink {
    fn pace(&self) -> Pace {
        Pace::FILE
    }

    fn ready(&mut self) -> Result<(), RecordError> {
        Ok(Self::open(&self.path, &mut self.file).map(drop)?)
    }

    fn write(&mut self, entries: &[Entry], worker: &str) -> Result<Rows, RecordError> {
        let Self { path, file, forgotten } = self;
        let file = Self::open(path, file)?;
        let written = write(&mut file.connection, &mut file.progress, || forgotten.look(), entries, worker);
        Ok(written.map_err(|error| SqliteError::new(path, error))?)
    }

    fn prune(&mut self, oldest: Timestamp, count_max: u64) -> Result<Pruned, RecordError> {
        self.run(|file| prune_step(&mut file.connection, &mut file.progress, oldest, count_max))
    }

    fn prune_bodies(&mut self, oldest: Timestamp, bytes_max: u64) -> Result<u64, RecordError> {
        self.run(|file| {
            // Who wants none kept any more wants none in free pages.
            sqlite::overwrite_what_is_deleted(&file.connection, bytes_max == 0)?;
            let gone = bodies::prune_step(&mut file.connection, oldest, bytes_max);
            sqlite::overwrite_what_is_deleted(&file.connection, false)?;
            gone
        })
    }
}
