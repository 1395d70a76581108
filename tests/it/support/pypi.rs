//! Packages of PyPI that tests use unchanged: a folder of `tests` has their `requirements.txt`, with hashes. They are installed
//! once, below `target`, beside the modules of Debian's Python.

use std::path::PathBuf;

use tokio::process::Command;
use tokio::sync::OnceCell;

use super::python::{PYTHON, repository};

/// `tests/<name>/requirements.txt`, and the environment in which it is installed.
pub(crate) struct Requirements {
    name: &'static str,
    installed: OnceCell<PathBuf>,
}

impl Requirements {
    /// Those of `tests/<name>`.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, installed: OnceCell::const_new() }
    }

    /// The Python that has them.
    pub(crate) async fn python(&self) -> PathBuf {
        self.installed.get_or_init(|| self.install()).await.join("bin/python")
    }

    async fn install(&self) -> PathBuf {
        let required = repository(&format!("tests/{}/requirements.txt", self.name));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-python", self.name));
        // Copied when all else is there.
        let mark = folder.join("requirements.txt");
        let wanted = std::fs::read(&required).expect("requirements.txt");
        if std::fs::read(&mark).is_ok_and(|installed| installed == wanted) {
            return folder;
        }
        run(Command::new(PYTHON).args(["-m", "venv", "--clear", "--system-site-packages"]).arg(&folder)).await;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--ignore-installed"]);
        run(pip.args(["--no-deps", "--require-hashes", "--requirement"]).arg(&required)).await;
        std::fs::copy(&required, &mark).expect("copied");
        folder
    }
}

async fn run(command: &mut Command) {
    let ran = command.output().await.expect("python3; tests/run installs it");
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
}
