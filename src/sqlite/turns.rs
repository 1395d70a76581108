//! Whose turn it is to write to a file, among the connections of this process.
//!
//! SQLite lets one connection write at a time. One that finds another at it looks again now and then, up to a tenth of a second
//! apart, and whoever looks at the right moment is next: so one that writes without a pause, on a slow disk, keeps another out
//! until that gives up ([`super::BUSY_TIMEOUT`]) and blames another process. Here they go in the order in which they come,
//! however long each takes; the file's own lock is then only waited for while another process has it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use tokio::sync::MutexGuard;

use super::identity::device_and_inode;

/// The turns of each file that is open, by device and inode, as SQLite tells files apart.
type Files = HashMap<(u64, u64), Weak<Line>>;

static FILES: LazyLock<Mutex<Files>> = LazyLock::new(Mutex::default);

/// Who comes first goes first: tokio's promise.
type Line = tokio::sync::Mutex<()>;

/// The turns of one file; clones share them, and so do all that this process asks for of the same file.
#[derive(Clone, Debug)]
pub struct WriteTurns(Arc<Line>);

/// A turn, until this is dropped.
#[derive(Debug)]
pub struct WriteTurn<'a>(#[expect(dead_code, reason = "to hold it is the turn")] MutexGuard<'a, ()>);

impl WriteTurns {
    /// Those of the file at `path`, which is there.
    pub fn of(path: &Path) -> Self {
        let Some(file) = device_and_inode(path) else { return Self(Arc::default()) };
        let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = files.get(&file).and_then(Weak::upgrade) {
            return Self(line);
        }
        files.retain(|_, line| line.strong_count() > 0);
        let line = Arc::default();
        files.insert(file, Arc::downgrade(&line));
        Self(line)
    }

    /// Waits for a turn, on a thread of the caller's own, never on one that runs async code.
    pub fn wait(&self) -> WriteTurn<'_> {
        WriteTurn(self.0.blocking_lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_opens_a_file_under_whatever_name_waits_for_the_turn_of_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link, other) = (folder.path().join("a"), folder.path().join("l"), folder.path().join("b"));
        for file in [&file, &other] {
            std::fs::write(file, "").expect("written");
        }
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        let held = WriteTurns::of(&file);
        let turn = held.wait();
        assert!(WriteTurns::of(&link).0.try_lock().is_err());
        assert!(WriteTurns::of(&other).0.try_lock().is_ok(), "another file's");
        drop(turn);
        assert!(WriteTurns::of(&link).0.try_lock().is_ok());
    }
}
