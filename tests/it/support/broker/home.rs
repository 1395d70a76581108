//! Where throw-away nodes live: a folder, ports, a port mapper of Erlang's, and a guardian that clears all of it away.
//!
//! The guardian is a process that waits for the end of the test process, however that ends, and then kills the nodes and
//! their port mapper by their ids and removes the folder.
//!
//! `HIKYAKU_TEST_RABBITMQ_ROOT` names the root folder of another system whose RabbitMQ is used instead (`tests/run
//! --rabbitmq4`): every program then runs inside it by `chroot`, and the folder lies in there.

use std::fs::{File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// Ports of one home: the kernel gives those from 32768 on to anyone.
const BLOCK: u16 = 16;
const FIRST_PORT: u16 = 20_000;
const BLOCKS: u16 = (32_700 - FIRST_PORT) / BLOCK;

static NUMBERS: AtomicU32 = AtomicU32::new(0);

/// A folder with all that its nodes share.
pub(super) struct Home {
    root: Option<PathBuf>,
    /// Where it is in the view of the programs.
    inside: PathBuf,
    ports: u16,
    variables: Vec<(String, String)>,
    guardian: Child,
    epmd: Child,
    /// While it is held, no other test process takes the same ports.
    _claim: TcpListener,
}

impl Home {
    /// A new one, without nodes, whose programs have `variables` too.
    pub(super) fn new(variables: Vec<(String, String)>) -> Self {
        let root = std::env::var_os("HIKYAKU_TEST_RABBITMQ_ROOT").map(PathBuf::from);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("hikyaku-broker-{}-{number}", std::process::id());
        let inside = if root.is_some() { Path::new("/tmp").join(name) } else { std::env::temp_dir().join(name) };
        let folder = outside(root.as_deref(), &inside);
        std::fs::create_dir_all(&folder).expect("a folder for the nodes");
        std::fs::write(folder.join("empty-env.conf"), "").expect("write");
        std::fs::write(folder.join("enabled_plugins"), "[].").expect("write");
        let cookie = folder.join(".erlang.cookie");
        std::fs::write(&cookie, uuid::Uuid::new_v4().simple().to_string()).expect("write");
        std::fs::set_permissions(&cookie, Permissions::from_mode(0o400)).expect("a cookie of our own");
        let (claim, ports) = claim_ports();
        let epmd = program(root.as_deref(), "/usr/bin/epmd")
            .args(["-port", &ports.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Erlang's epmd; tests/run installs it");
        let last_will = r#"cat >/dev/null; kill -9 "$1"
            for pid in "$0"/*/pid; do [ -s "$pid" ] && kill -9 "$(cat "$pid")"; done; sleep 0.3; rm -rf "$0""#;
        let guardian = Command::new("setsid")
            .args(["sh", "-c", last_will])
            .arg(&folder)
            .arg(epmd.id().to_string())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a guardian");
        Self { root, inside, ports, variables, guardian, epmd, _claim: claim }
    }

    /// Where `name` in the folder is for us.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        outside(self.root.as_deref(), &self.inside.join(name))
    }

    /// Where `name` in the folder is for a program that runs there.
    pub(super) fn path_inside(&self, name: &str) -> PathBuf {
        self.inside.join(name)
    }

    /// The port at `place`, 1 to 14; the last is for TLS.
    pub(super) fn port(&self, place: u16) -> u16 {
        assert!((1..BLOCK - 1).contains(&place), "{place} is no place in the block");
        self.ports + place
    }

    /// The port for TLS, where there is one.
    pub(super) fn tls_port(&self) -> u16 {
        self.port(BLOCK - 2)
    }

    /// A program of RabbitMQ's, in the environment that all of them need.
    pub(super) fn program(&self, name: &str) -> Command {
        let path = Path::new(PROGRAMS).join(name);
        let mut command = program(self.root.as_deref(), &path.display().to_string());
        command
            // Where Erlang and Mnesia leave what they dump when they are killed.
            .current_dir(outside(self.root.as_deref(), &self.inside))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", &self.inside)
            .env("RABBITMQ_CONF_ENV_FILE", self.path_inside("empty-env.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.path_inside("enabled_plugins"))
            .env("ERL_EPMD_PORT", self.ports.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// A new log file.
    pub(super) fn log(&self, name: &str) -> File {
        File::create(self.path(name)).expect("a log")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The guardian's input ends, and with it the nodes.
        drop(self.guardian.stdin.take());
        let _gone = self.guardian.wait();
        let _gone = self.epmd.wait();
    }
}

fn outside(root: Option<&Path>, inside: &Path) -> PathBuf {
    match root {
        Some(root) => root.join(inside.strip_prefix("/").unwrap_or(inside)),
        None => inside.to_owned(),
    }
}

fn program(root: Option<&Path>, path: &str) -> Command {
    match root {
        Some(root) => {
            let mut command = Command::new("chroot");
            command.arg(root).arg(path);
            command
        }
        None => Command::new(path),
    }
}

/// A block of ports that are free, and the claim to them: a listener on the block's last port. Nodes open their own ports
/// seconds later, so that a look at each alone would let two test processes choose the same.
fn claim_ports() -> (TcpListener, u16) {
    let listen = |port| TcpListener::bind(("127.0.0.1", port));
    let first = u16::try_from(std::process::id() % u32::from(BLOCKS)).expect("a number of a block");
    (0..BLOCKS)
        .map(|n| FIRST_PORT + (first + n) % BLOCKS * BLOCK)
        .find_map(|ports| {
            let claim = listen(ports + BLOCK - 1).ok()?;
            (ports..ports + BLOCK - 1).all(|port| listen(port).is_ok()).then_some((claim, ports))
        })
        .expect("a block of free ports")
}
