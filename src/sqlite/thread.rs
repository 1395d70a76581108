//! A connection on a thread of its own, worked by closures that async code sends and awaits.
//!
//! Jobs run in the order they were sent, one at a time. At most [`JOBS_WAITING_MAX`] wait; who sends more waits to send.
//! The thread ends when the last handle is dropped.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::SqliteError;

/// Jobs that may wait for the thread.
const JOBS_WAITING_MAX: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle to the thread; clones share it.
#[derive(Clone, Debug)]
pub struct SqliteThread {
    jobs: mpsc::Sender<Job>,
    path: PathBuf,
}

impl SqliteThread {
    /// Starts a thread named `name` that owns `connection` to the file `path`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(name: &str, path: &Path, mut connection: Connection) -> Result<Self, SqliteError> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(JOBS_WAITING_MAX);
        let work = move || {
            while let Some(job) = waiting.blocking_recv() {
                job(&mut connection);
            }
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|error| SqliteError::Other { path: path.to_owned(), why: format!("no thread: {error}") })?;
        Ok(Self { jobs, path: path.to_owned() })
    }

    /// Runs `job` on the thread and tells what it came to.
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
        self.jobs.send(job).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?.map_err(|error| SqliteError::new(&self.path, error))
    }
}

#[cfg(test)]
mod tests {
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
}
