//! Debian's Python, with the modules that `tests/run` installs, and the example producer that the documentation shows.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, Command};

/// Debian's.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The YAML file at `path` of the repository as JSON.
pub(crate) fn yaml(path: &str) -> serde_json::Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = std::process::Command::new(PYTHON)
        .args(["-c", script])
        .arg(repository(path))
        .output()
        .expect("python3; tests/run installs it");
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What a JSON Schema of its own (draft 2020-12) has against each instance, in words.
pub(crate) fn faults_of(cases: &[(serde_json::Value, serde_json::Value)]) -> Vec<Vec<String>> {
    let script = "import json, sys\nfrom jsonschema import Draft202012Validator as V\n\
        print(json.dumps([[e.message for e in V(schema).iter_errors(it)] for schema, it in json.loads(sys.argv[1])]))";
    let cases = serde_json::to_string(cases).expect("JSON");
    let output = std::process::Command::new(PYTHON).args(["-c", script, &cases]).output();
    let output = output.expect("python3; tests/run installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// `deploy/examples/producer.py`, running; killed when dropped.
pub(crate) struct Producer {
    child: Child,
}

impl Producer {
    /// Starts it, to publish to `exchange` of the broker at `url`.
    pub(crate) fn start(url: &str, exchange: &str) -> Self {
        let child = Command::new(PYTHON)
            .arg(repository("deploy/examples/producer.py"))
            .env("AMQP_URL", url)
            .env("EXCHANGE", exchange)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3; tests/run installs it");
        Self { child }
    }

    /// Where it reads events.
    pub(crate) fn stdin(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().expect("piped and open")
    }

    /// Waits until it has said `part`, and tells everything that it has said.
    pub(crate) async fn says(&mut self, part: &str) -> String {
        let stderr = self.child.stderr.as_mut().expect("piped");
        let mut said = Vec::new();
        loop {
            let words = String::from_utf8_lossy(&said).into_owned();
            if words.contains(part) {
                return words;
            }
            let read = stderr.read_buf(&mut said).await.expect("read");
            assert!(read > 0, "it ended without saying {part:?}; it said:\n{words}");
        }
    }

    /// Gives it nothing more, and waits until all is confirmed.
    pub(crate) async fn finish(self) {
        let (code, said) = self.end().await;
        assert_eq!(code, Some(0), "{said}");
    }

    /// Gives it nothing more, and waits for its end: its code, and what it has said.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let output = self.child.wait_with_output().await.expect("its end");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
