//! Which file a path led to when it was opened: so that a file that is removed or replaced under us is noticed.
//!
//! An open file outlives its name. What is written to it then is durable for this process, and gone with it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::SqliteError;

/// A file by its device and inode.
#[derive(Clone, Debug)]
pub struct FileIdentity {
    path: PathBuf,
    device_and_inode: Option<(u64, u64)>,
}

impl FileIdentity {
    /// The file that `path` leads to now.
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), device_and_inode: device_and_inode(path) }
    }

    /// Looks whether the path still leads to it.
    ///
    /// # Errors
    /// [`SqliteError::Replaced`] when it leads to another file or to none.
    pub fn check(&self) -> Result<(), SqliteError> {
        if self.device_and_inode == device_and_inode(&self.path) {
            return Ok(());
        }
        Err(SqliteError::Replaced { path: self.path.clone() })
    }
}

pub(super) fn device_and_inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file: Metadata| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_moved_away_or_replaced_is_another_and_the_same_once_it_is_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        std::fs::write(&here, "").expect("made");
        let file = FileIdentity::of(&here);
        assert!(file.check().is_ok());
        std::fs::rename(&here, &there).expect("moved");
        assert!(matches!(file.check(), Err(SqliteError::Replaced { .. })), "it is gone");
        std::fs::write(&here, "").expect("made");
        assert!(matches!(file.check(), Err(SqliteError::Replaced { .. })), "it is another");
        std::fs::rename(&there, &here).expect("moved back");
        assert!(file.check().is_ok());
    }
}
