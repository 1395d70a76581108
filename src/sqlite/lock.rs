//! An advisory lock on a file beside a database, freed by the system when the process ends, however it ends. The lock file
//! itself stays; removing it would let two processes lock two files of one name.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock, held as long as this lives.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl FileLock {
    /// Takes the lock `name` of the database `file`; nothing when another process has it.
    ///
    /// # Errors
    /// What the system says of the lock file, which is made if it is absent.
    pub fn take(file: &Path, name: &str) -> std::io::Result<Option<Self>> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(beside(file, name))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self(lock))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The database `file` with `.suffix` added to its name; behind a link, beside what the link leads to, so that two names of
/// one file have one lock.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mut name = real.into_os_string();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_once_under_whatever_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("queue.db"), folder.path().join("l.db"));
        std::fs::write(&file, "").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        let held = FileLock::take(&file, "lock").expect("usable").expect("free");
        assert!(FileLock::take(&file, "lock").expect("usable").is_none());
        assert!(FileLock::take(&link, "lock").expect("usable").is_none());
        assert!(FileLock::take(&file, "replay").expect("usable").is_some(), "another lock");
        drop(held);
        assert!(FileLock::take(&link, "lock").expect("usable").is_some());
    }
}
