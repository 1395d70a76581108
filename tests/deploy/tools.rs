//! Tools that read what lies in `deploy/`: from PyPI and npm's registry by the lock files of `tests/deploy`, installed once below
//! `target`; and from Debian 13, which `tests/run` unpacks there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{path, run, said};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What `tests/run` has put below `target`.
pub(crate) fn unpacked(name: &str) -> PathBuf {
    let file = folder(name);
    assert!(file.exists(), "{} is not there; tests/run puts it there", file.display());
    file
}

/// A program of Debian 13 that 12 lacks, or has too old.
pub(crate) fn debian13(program: &str) -> Command {
    Command::new(unpacked(&format!("debian13/usr/{program}")))
}

/// Installs, unless that was done by the same `lock` before, and tells the folder.
fn installed(name: &str, lock: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let folder = folder(name);
    let wanted = fs::read(path(lock)).unwrap_or_else(|error| panic!("{lock}: {error}"));
    // Copied when all else is there.
    let mark = folder.join("installed-by");
    if !fs::read(&mark).is_ok_and(|by| by == wanted) {
        install(&folder);
        fs::write(&mark, wanted).expect("the mark is written");
    }
    folder
}

#[track_caller]
fn must(command: &mut Command) {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", said(&output));
}

/// A program of `tests/deploy/requirements.txt`.
pub(crate) fn pypi(program: &str) -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let lock = "tests/deploy/requirements.txt";
    let folder = FOLDER.get_or_init(|| {
        installed("deploy-python", lock, |folder| {
            must(
                Command::new("/usr/bin/python3").args(["-m", "venv", "--clear", "--system-site-packages"]).arg(folder),
            );
            let mut pip = Command::new(folder.join("bin/python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--ignore-installed"]);
            must(pip.args(["--no-deps", "--require-hashes", "--requirement"]).arg(path(lock)));
        })
    });
    Command::new(folder.join("bin").join(program))
}

/// Node.js, with the packages of `tests/deploy/crds`, about to run a script of that folder.
pub(crate) fn node(script: &str) -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        installed("deploy-crds", "tests/deploy/crds/package-lock.json", |folder| {
            fs::create_dir_all(folder).expect("a folder");
            for file in ["package.json", "package-lock.json"] {
                fs::copy(path("tests/deploy/crds").join(file), folder.join(file)).expect("copied");
            }
            must(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder));
        })
    });
    fs::copy(path("tests/deploy/crds").join(script), folder.join(script)).expect("the script is copied");
    let mut node = Command::new("node");
    node.arg(folder.join(script));
    node
}
