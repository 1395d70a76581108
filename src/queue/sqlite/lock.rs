//! One worker per queue file: an advisory lock on a file beside it, freed by the system when the process ends, however it
//! ends. The lock file itself stays; removing it would let two processes lock two files of one name.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::queue::QueueError;

/// The lock, held as long as this lives.
#[derive(Debug)]
pub(super) struct WorkerLock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl WorkerLock {
    /// Takes the lock of the queue file `queue`.
    pub(super) fn take(queue: &Path) -> Result<Self, QueueError> {
        let path = beside(queue, "lock");
        let unusable = |error: &std::io::Error| QueueError::Lock {
            path: path.display().to_string(),
            why: format!("{error}. Check that its folder exists, and that hikyaku may write there"),
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| unusable(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(QueueError::WorkerPresent { path: queue.display().to_string() }),
            Err(TryLockError::Error(error)) => Err(unusable(&error)),
        }
    }
}

/// The file `queue` with `.suffix` added to its name.
pub(super) fn beside(queue: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = queue.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
