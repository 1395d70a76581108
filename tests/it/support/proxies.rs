//! Real proxies, each a child process on loopback: tinyproxy for HTTP CONNECT, microsocks for SOCKS5. Both write down where
//! they are asked to connect.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::program::until;

/// Attempts at a port that nobody else takes in between.
const PORTS_MAX: usize = 5;

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tinyproxy,
    Microsocks,
}

/// The user and the password of a proxy that wants them.
pub(crate) const CREDENTIALS: (&str, &str) = ("hikyaku", "pr0xy-s3cr3t");

/// A running proxy; killed when it is dropped.
pub(crate) struct Proxy {
    kind: Kind,
    port: u16,
    credentials: Option<(String, String)>,
    lines: Arc<Mutex<Vec<String>>>,
    _child: Child,
    _reading: JoinSet<()>,
    _folder: TempDir,
}

impl Proxy {
    /// Starts one that lets everyone through, or only who knows [`CREDENTIALS`].
    pub(crate) async fn start(kind: Kind, wants_credentials: bool) -> Self {
        Self::start_for(kind, wants_credentials.then_some(CREDENTIALS)).await
    }

    /// The same, for who knows these: a user and a password of letters and digits.
    pub(crate) async fn start_for(kind: Kind, credentials: Option<(&str, &str)>) -> Self {
        for _ in 0..PORTS_MAX {
            if let Some(proxy) = Self::try_start(kind, credentials).await {
                return proxy;
            }
        }
        panic!("{kind:?} has found no port");
    }

    async fn try_start(kind: Kind, credentials: Option<(&str, &str)>) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let mut command = match kind {
            Kind::Tinyproxy => tinyproxy(&folder, port, credentials),
            Kind::Microsocks => microsocks(port, credentials),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{kind:?}: {error}; tests/run installs it"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let mut reading = JoinSet::new();
        reading.spawn(read(child.stdout.take().expect("piped"), Arc::clone(&lines)));
        reading.spawn(read(child.stderr.take().expect("piped"), Arc::clone(&lines)));
        let listens = until("the proxy listens or has ended", || {
            let has_ended = child.try_wait().expect("asked").is_some();
            async move {
                if has_ended {
                    return Some(false);
                }
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok().then_some(true)
            }
        })
        .await;
        let credentials = credentials.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let proxy = Self { kind, port, credentials, lines, _child: child, _reading: reading, _folder: folder };
        listens.then_some(proxy)
    }

    /// What the settings call it, with its credentials if it wants some.
    pub(crate) fn url(&self) -> String {
        let known = self.credentials.as_ref().map(|(user, password)| format!("{user}:{password}@"));
        self.url_as(&known.unwrap_or_default())
    }

    /// The same for who says that he is `credentials`.
    pub(crate) fn url_as(&self, credentials: &str) -> String {
        let scheme = if self.kind == Kind::Tinyproxy { "http" } else { "socks5" };
        format!("{scheme}://{credentials}127.0.0.1:{}", self.port)
    }

    /// Everything that it has written down.
    pub(crate) fn said(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits until it has written down that it was asked to connect to `target`.
    pub(crate) async fn was_asked_for(&self, target: &str) {
        let asked = match self.kind {
            Kind::Tinyproxy => format!("CONNECT {target} HTTP/1.1"),
            Kind::Microsocks => format!("connected to {target}"),
        };
        let found = async || self.said().contains(&asked).then_some(());
        until(&format!("the proxy was asked for {target}"), found).await;
    }
}

async fn read(from: impl AsyncRead + Unpin, lines: Arc<Mutex<Vec<String>>>) {
    let mut from = BufReader::new(from).lines();
    while let Ok(Some(line)) = from.next_line().await {
        lines.lock().unwrap().push(line);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("bound").port()
}

fn tinyproxy(folder: &TempDir, port: u16, credentials: Option<(&str, &str)>) -> Command {
    let credentials = credentials.map(|(user, password)| format!("BasicAuth {user} {password}\n")).unwrap_or_default();
    let settings = format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nLogLevel Info\nAllow 127.0.0.1\n{credentials}");
    let file = folder.path().join("tinyproxy.conf");
    std::fs::write(&file, settings).expect("write");
    let mut command = Command::new("tinyproxy");
    command.arg("-d").arg("-c").arg(file);
    command
}

fn microsocks(port: u16, credentials: Option<(&str, &str)>) -> Command {
    let mut command = Command::new("microsocks");
    command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
    if let Some((user, password)) = credentials {
        command.args(["-u", user, "-P", password]);
    }
    command
}
