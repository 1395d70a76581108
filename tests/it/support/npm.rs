//! Packages of npm's that tests use unchanged: a folder of `tests` has each with its lock file and a script that uses it. They
//! are installed once, below `target`.

use std::path::PathBuf;

use tokio::process::Command;
use tokio::sync::OnceCell;

use super::python::repository;

/// The folder `tests/<name>`, and what it is installed as.
pub(crate) struct Package {
    name: &'static str,
    scripts: &'static [&'static str],
    installed: OnceCell<PathBuf>,
}

impl Package {
    /// The package in `tests/<name>`, with the scripts there.
    pub(crate) const fn new(name: &'static str, scripts: &'static [&'static str]) -> Self {
        Self { name, scripts, installed: OnceCell::const_new() }
    }

    /// The folder in which it is installed.
    pub(crate) async fn installed(&self) -> &PathBuf {
        self.installed.get_or_init(|| self.install()).await
    }

    async fn install(&self) -> PathBuf {
        let name = self.name;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let lock = std::fs::read(repository(&format!("tests/{name}/package-lock.json"))).expect("the lock file");
        // npm writes this one when all else is there.
        let is_there = folder.join("node_modules/.package-lock.json").exists()
            && std::fs::read(folder.join("package-lock.json")).is_ok_and(|installed| installed == lock);
        for file in ["package.json", "package-lock.json"].iter().chain(self.scripts) {
            std::fs::copy(repository(&format!("tests/{name}/{file}")), folder.join(file)).expect("copied");
        }
        if !is_there {
            let mut npm = Command::new("npm");
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
            let ran = npm.output().await.expect("npm; tests/run installs it");
            assert!(ran.status.success(), "npm ci: {}", String::from_utf8_lossy(&ran.stderr));
        }
        folder
    }
}
