//! A collector of traces, which reads what it gets by OpenTelemetry's own definitions (`tests/otlp`).

use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::program::until;
use super::pypi::Requirements;
use super::python::repository;

static OTLP: Requirements = Requirements::new("otlp");

/// It runs until it is dropped.
pub(crate) struct Collector {
    port: u16,
    spans: Arc<Mutex<Vec<Value>>>,
    _child: Child,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let mut child = Command::new(OTLP.python().await)
            .arg(repository("tests/otlp/collector.py"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3; tests/run installs it");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.next_line().await.expect("read").expect("its port").parse().expect("a port");
        let spans = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&spans);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                told.lock().expect("whole").push(serde_json::from_str(&line).expect("JSON"));
            }
        });
        Self { port, spans, _child: child }
    }

    /// The settings that have traces sent to it.
    pub(crate) fn settings(&self) -> String {
        format!("traces.otlp_url = \"http://127.0.0.1:{}\"\n", self.port)
    }

    /// Every span that it got.
    pub(crate) fn spans(&self) -> MutexGuard<'_, Vec<Value>> {
        self.spans.lock().expect("whole")
    }

    /// Those called `name`.
    pub(crate) fn named(&self, name: &str) -> Vec<Value> {
        self.spans().iter().filter(|span| span["name"] == name).cloned().collect()
    }

    /// Those called `name`, once there are `count` of them.
    pub(crate) async fn until(&self, name: &str, count: usize) -> Vec<Value> {
        until(&format!("{count} spans `{name}`"), async || {
            let named = self.named(name);
            (named.len() >= count).then_some(named)
        })
        .await
    }
}
