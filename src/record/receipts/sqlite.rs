//! The receipts in a SQLite file: a connection that reads, and one that writes what waits together.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::model::{ReceiptKey, Timestamp};
use crate::sqlite::receipts::{RECEIPTS_MAX, RECEIPTS_SCHEMA, has_receipt, note_receipt, prune_receipts};
use crate::sqlite::{self, JoinedThread, SqliteError, SqliteThread, WriteTurns, gather};

pub(super) const STEPS: &[&str] = &[RECEIPTS_SCHEMA];
/// Receipts noted in one transaction at most.
const GROUP_MAX: usize = 512;
/// Receipts that may wait to be noted; who has more waits.
const WAITING_MAX: usize = 1024;

/// The table in a file.
#[derive(Debug)]
pub(super) struct SqliteReceipts {
    reader: SqliteThread,
    writer: JoinedThread<Noting>,
    path: PathBuf,
}

/// A receipt to note.
struct Noting {
    key: ReceiptKey,
    now: Timestamp,
    answer: oneshot::Sender<Result<(), SqliteError>>,
}

impl SqliteReceipts {
    /// Opens the file, making it and the table where they are absent.
    pub(super) fn open(path: &Path) -> Result<Self, SqliteError> {
        let mut write = sqlite::open(path)?;
        sqlite::migrate(&mut write, path, "receipts", STEPS)?;
        let reader = SqliteThread::start("receipts-read", path, sqlite::open(path)?)?;
        let writing = Writing { connection: write, path: path.to_owned(), turns: WriteTurns::of(path) };
        let writer = JoinedThread::start("receipts-write", WAITING_MAX, move |waiting| writing.run(waiting));
        let writer =
            writer.map_err(|error| SqliteError::Other { path: path.to_owned(), why: format!("no thread: {error}") })?;
        Ok(Self { reader, writer, path: path.to_owned() })
    }

    pub(super) async fn knows(&self, key: ReceiptKey, now: Timestamp) -> Result<bool, SqliteError> {
        self.reader.call(move |connection| has_receipt(connection, &key, now)).await
    }

    pub(super) async fn note(&self, key: ReceiptKey, now: Timestamp) -> Result<(), SqliteError> {
        let (answer, answered) = oneshot::channel();
        let closed = || SqliteError::Closed { path: self.path.clone() };
        self.writer.send(Noting { key, now, answer }).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

/// The writer's thread.
struct Writing {
    connection: Connection,
    path: PathBuf,
    turns: WriteTurns,
}

impl Writing {
    fn run(mut self, mut waiting: mpsc::Receiver<Noting>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while gather(&mut waiting, &mut group, GROUP_MAX) {
            let written = self.write(&group).map_err(|error| SqliteError::new(&self.path, error));
            for noting in group.drain(..) {
                let _asker_may_be_gone = noting.answer.send(written.clone());
            }
        }
    }

    fn write(&mut self, group: &[Noting]) -> rusqlite::Result<()> {
        let _turn = self.turns.wait();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for noting in group {
            note_receipt(&transaction, &noting.key, noting.now)?;
        }
        if let Some(last) = group.last() {
            prune_receipts(&transaction, group.len() as u64, last.now, RECEIPTS_MAX)?;
        }
        transaction.commit()
    }
}
