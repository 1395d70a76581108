//! The bell: how a process that wrote to a file wakes the one that works on it, without either of them polling.
//!
//! A named pipe beside the file. Who works on the file reads it; who wrote puts one byte into it after the commit. A byte
//! that cannot be written (nobody listens, or the pipe is full of unread rings) is not needed: who starts to listen reads the
//! tables anyway, and a full pipe wakes it already. Where no named pipe can be made, listeners look now and then.
//!
//! A byte wakes one reader. A queue has one worker, and so one pipe of a known name ([`Bell::hang`], [`ring`]). A store may be
//! followed by several: each has a pipe of its own ([`Bell::hang_among`]), and whoever changed something rings all of them
//! ([`ring_all`]).

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::io::Errno;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::lock::beside;

/// What the names of the pipes of several listeners begin with, after the file's.
const AMONG: &str = "bell.";

/// The listener's end; listening ends when this is dropped.
#[derive(Debug)]
pub struct Bell {
    listening: JoinHandle<()>,
    /// A pipe that is this listener's alone, and goes with it.
    own: Option<PathBuf>,
}

impl Bell {
    /// Makes the pipe of the database `file`, which has one listener, and calls `rung` at each ring.
    ///
    /// # Errors
    /// When the pipe cannot be made or opened.
    pub fn hang(file: &Path, rung: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let path = beside(file, "bell");
        make_pipe(&path)?;
        Ok(Self { listening: listen(open_pipe(&path)?, rung), own: None })
    }

    /// Makes a pipe of the database `file` for this listener, beside those of others, and calls `rung` at each ring of all.
    ///
    /// # Errors
    /// When the pipe cannot be made or opened.
    pub fn hang_among(file: &Path, rung: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        // Takes away those of listeners that were killed; the others look once too often.
        ring_all(file);
        let name = uuid::Uuid::new_v4().simple().to_string();
        let (new, own) = (beside(file, &format!("new-bell.{name}")), beside(file, &format!("{AMONG}{name}")));
        make_pipe(&new)?;
        // It gets its name when somebody reads it: under that name, a pipe that nobody reads is taken away.
        let pipe = open_pipe(&new).and_then(|pipe| std::fs::rename(&new, &own).map(|()| pipe));
        let pipe = pipe.inspect_err(|_| drop(std::fs::remove_file(&new)))?;
        Ok(Self { listening: listen(pipe, rung), own: Some(own) })
    }
}

fn make_pipe(path: &Path) -> std::io::Result<()> {
    match mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens it for writing too, so that it never ends when the last ringer goes away.
fn open_pipe(path: &Path) -> std::io::Result<pipe::Receiver> {
    pipe::OpenOptions::new().read_write(true).open_receiver(path)
}

fn listen(mut pipe: pipe::Receiver, rung: impl Fn() + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut rings = [0_u8; 512];
        while let Ok(1..) = pipe.read(&mut rings).await {
            rung();
        }
    })
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.listening.abort();
        if let Some(own) = &self.own {
            let _who_rings_it_next_takes_it_away = std::fs::remove_file(own);
        }
    }
}

/// Wakes whoever works on the database `file`, if there is someone.
pub fn ring(file: &Path) {
    let _nobody_listens = ring_pipe(&beside(file, "bell"));
}

/// Wakes all that follow the database `file`, and takes away the pipes of those that have ended.
pub fn ring_all(file: &Path) {
    let first = beside(file, AMONG);
    let (Some(folder), Some(start)) = (first.parent(), first.file_name()) else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let is_bell = |name: &OsStr| name.as_bytes().starts_with(start.as_bytes());
    for entry in entries.flatten().filter(|entry| is_bell(&entry.file_name())) {
        if matches!(ring_pipe(&entry.path()), Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error())) {
            let _it_is_there_still_then = std::fs::remove_file(entry.path());
        }
    }
}

/// Puts a byte into a pipe.
///
/// # Errors
/// When nobody reads it, or it is not there.
fn ring_pipe(path: &Path) -> std::io::Result<()> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut pipe = std::fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(path)?;
    let _not_needed_when_full = pipe.write(&[1]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;

    fn pipes(folder: &Path) -> usize {
        let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().contains("bell")).count()
    }

    #[tokio::test]
    async fn all_that_follow_a_file_hear_each_ring_and_what_one_that_ended_left_is_taken_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("store.db");
        std::fs::write(&file, "").expect("written");
        let heard: [Arc<Notify>; 3] = std::array::from_fn(|_| Arc::default());
        let mut bells = Vec::new();
        for heard in &heard {
            let heard = Arc::clone(heard);
            bells.push(Bell::hang_among(&file, move || heard.notify_one()).expect("hung"));
        }
        for round in 0..3 {
            ring_all(&file);
            for (number, heard) in heard.iter().enumerate() {
                let ring = tokio::time::timeout(Duration::from_secs(30), heard.notified()).await;
                ring.unwrap_or_else(|_| panic!("listener {number} did not hear ring {round}"));
            }
        }
        drop(bells);
        assert_eq!(pipes(folder.path()), 0, "who ends takes its own away");
        // As a process leaves it that is killed.
        make_pipe(&beside(&file, "bell.of-the-dead")).expect("made");
        ring_all(&file);
        assert_eq!(pipes(folder.path()), 0);
    }
}
