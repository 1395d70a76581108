//! The bell: how a process that wrote to a file wakes the one that works on it, without either of them polling.
//!
//! A named pipe beside the file. Who works on the file reads it; who wrote puts one byte into it after the commit. A byte
//! that cannot be written (nobody listens, or the pipe is full of unread rings) is not needed: who starts to listen reads the
//! tables anyway, and a full pipe wakes it already. Where no named pipe can be made, listeners look now and then.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::lock::beside;

/// The listener's end; listening ends when this is dropped.
#[derive(Debug)]
pub struct Bell(JoinHandle<()>);

impl Bell {
    /// Makes the pipe of the database `file` and calls `rung` at each ring.
    ///
    /// # Errors
    /// When the pipe cannot be made or opened.
    pub fn hang(file: &Path, rung: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let path = beside(file, "bell");
        match mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // Open for writing too, so that the pipe never ends when the last ringer goes away.
        let mut pipe = pipe::OpenOptions::new().read_write(true).open_receiver(path)?;
        Ok(Self(tokio::spawn(async move {
            let mut rings = [0_u8; 512];
            while let Ok(1..) = pipe.read(&mut rings).await {
                rung();
            }
        })))
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Wakes whoever works on the database `file`, if there is someone.
pub fn ring(file: &Path) {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let pipe = std::fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(beside(file, "bell"));
    if let Ok(mut pipe) = pipe {
        let _not_needed_when_full = pipe.write(&[1]);
    }
}
