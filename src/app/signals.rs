//! SIGTERM and SIGINT, which end the process, and SIGHUP, which has it read its settings again.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To end; by the signal of that name.
    End(&'static str),
    /// To read the settings again.
    Reload,
}

/// The signals that the process listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None: SIGHUP does what it does to any process, as when a terminal is closed.
    hangup: Option<Signal>,
}

impl Signals {
    /// Starts to catch those that ask the process to end.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(super) fn catch() -> std::io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: None })
    }

    /// The same, and SIGHUP. One that comes before anybody waits for it is not lost.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(super) fn catch_all() -> std::io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::catch()? })
    }

    /// Waits for the next that asks the process to end, and tells its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for the next of all.
    pub(super) async fn asked(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
            _ = hangup => Asked::Reload,
        }
    }
}
