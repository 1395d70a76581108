//! misskey-js, the client that Misskey itself and many bots use, unchanged from npm: `tests/misskey-js` has it with its lock
//! file and a script that makes the calls it is given. It is installed once, below `target`.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::npm::Package;
use super::patience::soon;

static PACKAGE: Package = Package::new("misskey-js", &["drive.mjs"]);

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
            .current_dir(PACKAGE.installed().await)
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
