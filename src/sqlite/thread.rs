//! A connection on a thread of its own, worked by closures that async code sends and awaits.
//!
//! Jobs run in the order they were sent, one at a time. At most [`JOBS_WAITING_MAX`] wait; who sends more waits to send.
//! The thread ends when the last handle is dropped, which waits for it: so the file is closed in order, and what is in its
//! write-ahead log is brought into the file itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{SqliteError, WriteTurns};

/// Jobs that may wait for the thread.
const JOBS_WAITING_MAX: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle to the thread; clones share it.
#[derive(Clone, Debug)]
pub struct SqliteThread {
    worker: Arc<JoinedThread<Job>>,
    path: PathBuf,
    turns: WriteTurns,
}

/// A thread that works off what is sent to it. Dropping this lets it finish that, and waits for it to end.
pub struct JoinedThread<T> {
    sender: Option<mpsc::Sender<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> JoinedThread<T> {
    /// Starts a thread named `name` that runs `work` with what will be sent, at most `waiting_max` of it waiting.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        name: &str,
        waiting_max: usize,
        work: impl FnOnce(mpsc::Receiver<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, waiting) = mpsc::channel(waiting_max);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(waiting))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Sends to the thread; gives back what cannot be sent because the thread has ended.
    ///
    /// # Errors
    /// When the thread has ended.
    pub async fn send(&self, what: T) -> Result<(), T> {
        match &self.sender {
            Some(sender) => sender.send(what).await.map_err(|error| error.0),
            None => Err(what),
        }
    }
}

impl<T> std::fmt::Debug for JoinedThread<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinedThread({:?})", self.thread)
    }
}

impl<T> Drop for JoinedThread<T> {
    fn drop(&mut self) {
        self.sender = None;
        let this_thread = std::thread::current().id();
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != this_thread) {
            let _it_may_have_panicked = thread.join();
        }
    }
}

/// Waits for the next that is sent to a thread, and puts it into `group` with those that wait behind it, up to `group_max`
/// together; false when nobody can send any more.
pub fn gather<T>(waiting: &mut mpsc::Receiver<T>, group: &mut Vec<T>, group_max: usize) -> bool {
    let Some(first) = waiting.blocking_recv() else { return false };
    group.push(first);
    while group.len() < group_max
        && let Ok(next) = waiting.try_recv()
    {
        group.push(next);
    }
    true
}

impl SqliteThread {
    /// Starts a thread named `name` that owns `connection` to the file `path`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(name: &str, path: &Path, mut connection: Connection) -> Result<Self, SqliteError> {
        let work = move |mut waiting: mpsc::Receiver<Job>| {
            while let Some(job) = waiting.blocking_recv() {
                job(&mut connection);
            }
        };
        let worker = JoinedThread::start(name, JOBS_WAITING_MAX, work)
            .map_err(|error| SqliteError::Other { path: path.to_owned(), why: format!("no thread: {error}") })?;
        Ok(Self { worker: Arc::new(worker), path: path.to_owned(), turns: WriteTurns::of(path) })
    }

    /// As [`Self::call`], of a job that writes: when it is its turn among all of this process that write to the file.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let turns = self.turns.clone();
        self.call(move |connection| {
            let _turn = turns.wait();
            job(connection)
        })
        .await
    }

    /// Runs `job`, which only reads, on the thread and tells what it came to.
    ///
    /// # Errors
    /// What the job returned, named with the file; [`SqliteError::Closed`] when the thread has ended. A caller that goes
    /// away does not stop a job that was sent.
    pub async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _caller_may_be_gone = answer.send(job(connection));
        });
        let closed = || SqliteError::Closed { path: self.path.clone() };
        self.worker.send(job).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?.map_err(|error| SqliteError::new(&self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::TransactionBehavior;

    use super::*;

    #[tokio::test]
    async fn jobs_run_on_the_connection_and_their_errors_name_the_file() {
        let connection = Connection::open_in_memory().expect("open");
        let thread = SqliteThread::start("test", Path::new("some.db"), connection).expect("thread");
        let two = thread.call(|connection| connection.query_row("SELECT 2", [], |row| row.get::<_, i64>(0))).await;
        assert_eq!(two.expect("runs"), 2);
        let error = thread.call(|connection| connection.execute("NONSENSE", [])).await.expect_err("no SQL");
        assert!(error.to_string().contains("some.db"), "{error}");
    }

    #[tokio::test]
    async fn connections_of_ours_that_write_to_one_file_never_find_it_locked_by_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("some.db");
        let mut threads = Vec::new();
        for name in ["one", "other", "third"] {
            let connection = crate::sqlite::open(&path).expect("open");
            connection.execute_batch("CREATE TABLE IF NOT EXISTS a (x)").expect("made");
            // Who finds it locked does not wait, and fails.
            connection.busy_timeout(std::time::Duration::ZERO).expect("set");
            threads.push(SqliteThread::start(name, &path, connection).expect("thread"));
        }
        let write = async |thread: &SqliteThread| {
            for _ in 0..30 {
                let insert = |connection: &mut Connection| {
                    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    transaction.execute("INSERT INTO a VALUES (1)", [])?;
                    transaction.commit()
                };
                thread.write(insert).await.expect("written");
            }
        };
        tokio::join!(write(&threads[0]), write(&threads[1]), write(&threads[2]));
        let count = |connection: &mut Connection| connection.query_row("SELECT count(*) FROM a", [], |row| row.get(0));
        let rows: i64 = threads[0].call(count).await.expect("read");
        assert_eq!(rows, 90);
    }
}
