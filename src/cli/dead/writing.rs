//! A file that is whole or as it was: what comes is written elsewhere in its folder, and put in its place at the end.
//!
//! Until then it has no name (`O_TMPFILE`, open(2)), so that whatever breaks it off, a kill too, leaves nothing of people's letters
//! behind. Where the file system cannot do that, it has a name of its own, which a kill leaves. Only its owner may read it. A link is
//! followed, and what is no file, such as `/dev/stdout` or a pipe, is written to as it is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;

use crate::cli::CliError;

/// A file that is being written, in the end in the place of another.
pub(in crate::cli) struct Writing<'a> {
    place: &'a Path,
    file: tokio::fs::File,
    until: Until,
}

/// Where what is written is until the end.
enum Until {
    /// Where it belongs: that is no file.
    InPlace,
    /// Nowhere, or under a name of its own; in the end it is put there.
    Apart(Option<TempPath>, PathBuf),
}

impl<'a> Writing<'a> {
    pub(in crate::cli) async fn begin(place: &'a Path) -> Result<Self, CliError> {
        let (file, until) = begin(place).map_err(|error| failed(place, error))?;
        Ok(Self { place, file: tokio::fs::File::from_std(file), until })
    }

    pub(in crate::cli) async fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.file.write_all(bytes).await.map_err(|error| failed(self.place, error))
    }

    pub(in crate::cli) async fn end(self) -> Result<(), CliError> {
        let place = self.place;
        self.put().await.map_err(|error| failed(place, error))
    }

    async fn put(mut self) -> io::Result<()> {
        self.file.flush().await?;
        let Until::Apart(named, target) = self.until else { return Ok(()) };
        self.file.sync_all().await?;
        let named = match named {
            Some(named) => named,
            None => link(&self.file, folder_of(&target))?,
        };
        named.persist(target).map_err(|error| error.error)
    }
}

fn begin(place: &Path) -> io::Result<(File, Until)> {
    let kind = std::fs::metadata(place).map(|there| there.file_type()).ok();
    if kind.is_some_and(|kind| !kind.is_file() && !kind.is_dir()) {
        return Ok((File::options().write(true).open(place)?, Until::InPlace));
    }
    let target = if kind.is_some() { std::fs::canonicalize(place)? } else { place.to_owned() };
    let (file, named) = match unnamed_in(folder_of(&target)) {
        Ok(file) => (file, None),
        Err(_) => named_in(folder_of(&target))?,
    };
    Ok((file, Until::Apart(named, target)))
}

fn folder_of(place: &Path) -> &Path {
    place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file in `folder` without a name, that can be given one.
fn unnamed_in(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?);
    // Without /proc there is no way to name it.
    std::fs::metadata(path_of(&file)).map(|_| file)
}

fn named_in(folder: &Path) -> io::Result<(File, Option<TempPath>)> {
    let (file, named) = tempfile::NamedTempFile::new_in(folder)?.into_parts();
    Ok((file, Some(named)))
}

/// Names it: a link can be made, but not in the place of another file.
fn link(file: &impl AsRawFd, folder: &Path) -> io::Result<TempPath> {
    let link = |name: &Path| Ok(linkat(CWD, path_of(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?);
    tempfile::Builder::new().make_in(folder, link).map(tempfile::NamedTempFile::into_temp_path)
}

fn path_of(file: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn failed(place: &Path, error: io::Error) -> CliError {
    CliError::Io { what: format!("the file {} cannot be written", place.display()), error }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn a_link_is_followed_and_what_is_no_file_stays_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link, pipe) = (folder.path().join("file"), folder.path().join("link"), folder.path().join("pipe"));
        std::fs::write(&file, "before").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        let mut writing = Writing::begin(&link).await.expect("begun");
        writing.write(b"after").await.expect("written");
        writing.end().await.expect("ended");
        assert_eq!((std::fs::read(&file).expect("read"), link.is_symlink()), (b"after".to_vec(), true));

        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).expect("read")
        });
        let mut writing = Writing::begin(&pipe).await.expect("begun");
        writing.write(b"through").await.expect("written");
        writing.end().await.expect("ended");
        assert_eq!(reader.join().expect("read"), b"through");
        assert_eq!(names(folder.path()).len(), 3, "nothing else is there");
    }

    #[tokio::test]
    async fn what_is_broken_off_leaves_nothing_and_the_file_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("letters.ndjson");
        std::fs::write(&place, "before").expect("written");
        let mut writing = Writing::begin(&place).await.expect("begun");
        writing.write(b"what people wrote").await.expect("written");
        writing.file.flush().await.expect("it is with the system");
        // As after a kill, nobody tidies up.
        std::mem::forget(writing);
        assert_eq!(names(folder.path()), ["letters.ndjson"]);
        assert_eq!(std::fs::read(&place).expect("read"), b"before");
    }

    #[tokio::test]
    async fn with_a_name_meanwhile_or_without_it_stands_in_its_place_at_the_end_for_its_owner_only() {
        for is_named in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let place = folder.path().join("letters.ndjson");
            for words in ["first", "second, in its place"] {
                let mut writing = Writing::begin(&place).await.expect("begun");
                if is_named {
                    let (file, named) = named_in(folder.path()).expect("made");
                    writing = Writing {
                        file: tokio::fs::File::from_std(file),
                        until: Until::Apart(named, place.clone()),
                        ..writing
                    };
                }
                writing.write(words.as_bytes()).await.expect("written");
                writing.end().await.expect("put");
                assert_eq!(std::fs::read_to_string(&place).expect("read"), words);
            }
            assert_eq!(names(folder.path()), ["letters.ndjson"]);
            let mode = std::fs::metadata(&place).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
