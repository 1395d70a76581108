//! What the tests of the service share: the files of the tree, tools run to their end, the program as a child process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hikyaku");
/// How long anything that must happen may take, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A file or folder of the tree.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The text of a file of the tree.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name} cannot be read: {error}"))
}

/// Runs a tool to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}; tests/run installs it"))
}

/// All that a tool has said.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The program as it is started in `folder`, without settings of the tests' own environment.
pub(crate) fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        let name_shown = name.to_string_lossy();
        let is_of_a_service = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY"];
        if name_shown.starts_with("HIKYAKU__") || is_of_a_service.contains(&&*name_shown) {
            command.env_remove(name);
        }
    }
    command
}

/// A child that is killed when it is dropped, so that a test that panics leaves nothing running.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = run(Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]));
        assert!(sent.status.success(), "{}", said(&sent));
    }

    /// Waits for its end, and tells its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("its status") {
                return status.code();
            }
            assert!(began.elapsed() < PATIENCE, "it did not end within {PATIENCE:?}");
            #[expect(clippy::disallowed_methods, reason = "nobody tells of a child's end, and this one has a limit")]
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _gone = self.0.wait();
    }
}
