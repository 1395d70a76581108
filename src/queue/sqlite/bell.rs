//! The bell: how a producer in another process wakes the worker, without either of them polling.
//!
//! A named pipe beside the queue file. The worker reads it; a producer writes one byte after its commit. A byte that cannot
//! be written (no worker, or the pipe is full of unread rings) is not needed: a worker that starts reads the tables anyway,
//! and a full pipe wakes it already. Where no named pipe can be made, the lanes' safety net still finds
//! what was published.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::lane::Lanes;
use super::lock::beside;
use crate::telemetry::Telemetry;

/// The worker's end; the task ends when this is dropped.
#[derive(Debug)]
pub(super) struct Bell(Option<JoinHandle<()>>);

impl Bell {
    /// Makes the pipe and listens.
    pub(super) fn hang(queue: &Path, lanes: Arc<Lanes>, telemetry: &Telemetry) -> Self {
        match open(queue) {
            Ok(receiver) => Self(Some(tokio::spawn(listen(receiver, lanes)))),
            Err(error) => {
                telemetry.trouble(
                    "the pipe that tells of events published by other processes; they are found later",
                    &error,
                );
                Self(None)
            }
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

fn open(queue: &Path) -> std::io::Result<pipe::Receiver> {
    let path = beside(queue, "bell");
    match mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    // Open for writing too, so that the pipe never ends when the last producer goes away.
    pipe::OpenOptions::new().read_write(true).open_receiver(path)
}

async fn listen(mut bell: pipe::Receiver, lanes: Arc<Lanes>) {
    let mut rings = [0_u8; 512];
    while let Ok(1..) = bell.read(&mut rings).await {
        lanes.changed_elsewhere();
    }
}

/// Wakes the worker of the queue file `queue`, if there is one.
pub(super) fn ring(queue: &Path) {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let pipe = std::fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(beside(queue, "bell"));
    if let Ok(mut pipe) = pipe {
        let _not_needed_when_full = pipe.write(&[1]);
    }
}
