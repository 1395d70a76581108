//! misskey-js, the client that Misskey itself and many bots use, unchanged from npm: `tests/misskey-js` has it with its lock
//! file and a script that makes the calls it is given. It is installed once, below `target`.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::OnceCell;

use super::patience::soon;
use super::python::repository;

const FILES: [&str; 3] = ["package.json", "package-lock.json", "drive.mjs"];

static INSTALLED: OnceCell<PathBuf> = OnceCell::const_new();

/// The folder in which it is installed.
async fn installed() -> &'static PathBuf {
    INSTALLED.get_or_init(install).await
}

async fn install() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("misskey-js");
    std::fs::create_dir_all(&folder).expect("a folder");
    let lock = std::fs::read(repository("tests/misskey-js/package-lock.json")).expect("the lock file");
    // npm writes this one when all else is there.
    let is_there = folder.join("node_modules/.package-lock.json").exists()
        && std::fs::read(folder.join("package-lock.json")).is_ok_and(|installed| installed == lock);
    for file in FILES {
        std::fs::copy(repository(&format!("tests/misskey-js/{file}")), folder.join(file)).expect("copied");
    }
    if !is_there {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        let ran = npm.output().await.expect("npm; tests/run installs it");
        assert!(ran.status.success(), "npm ci: {}", String::from_utf8_lossy(&ran.stderr));
    }
    folder
}

/// A running client; killed when dropped.
pub(crate) struct MisskeyJs {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl MisskeyJs {
    /// Starts one that calls `origin` with `token`.
    pub(crate) async fn start(origin: &str, token: &str) -> Self {
        let mut child = Command::new("node")
            .arg("drive.mjs")
            .current_dir(installed().await)
            .env("ORIGIN", origin)
            .env("CREDENTIAL", token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node; tests/run installs it");
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, answers }
    }

    /// What `request(endpoint, params)` resolves to, or the API error that it rejects with.
    pub(crate) async fn request(&mut self, endpoint: &str, params: Value) -> Result<Value, Value> {
        let line = format!("{}\n", json!([endpoint, params]));
        self.child.stdin.as_mut().expect("piped").write_all(line.as_bytes()).await.expect("written");
        let answer = soon("misskey-js answers", self.answers.next_line()).await.expect("read");
        let answer = answer.unwrap_or_else(|| panic!("misskey-js ended at {endpoint}; see above for why"));
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["ok"].take()),
        }
    }
}
