//! PostgreSQL servers of the tests' own: started on a free port of this machine, ended with the test process, however that ends.
//!
//! A guardian, as RabbitMQ's nodes have one, waits for that end, ends the servers and removes their folders. PostgreSQL refuses
//! to run as root; as root it runs as `postgres` or `nobody`. The unit tests of `src/` take this file too, so nothing here needs
//! another of these. What a test gets is a database of its own in a server that all tests of the process share ([`database`]),
//! or a server of its own to be stopped, killed or frozen ([`Server::start`]). The shared one does not wait for the disk: that
//! survives a crash of it, and only not one of the machine.

#![allow(dead_code, reason = "unit tests and the tests of the whole each need a part of it")]

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The superuser of each server, and its password.
const USER: &str = "courier";
const PASSWORD: &str = "letters-by-night";
/// Pairs of ports: the first is held by the test process for as long as it needs the second. Brokers have those from 20,000 on.
const PORTS: std::ops::Range<u16> = 14_000..19_998;
/// A server starts in a second or two; this machine may have other work.
const START_WAIT_MAX: Duration = Duration::from_secs(120);
const STOP_WAIT_MAX: Duration = Duration::from_secs(60);

static SHARED: OnceLock<Server> = OnceLock::new();
static NUMBERS: AtomicU32 = AtomicU32::new(0);

/// The URL of a new, empty database that no other test has.
pub(crate) fn database() -> String {
    SHARED.get_or_init(Server::start).database()
}

/// Runs SQL in the database at `url`, which is one of ours, and tells what it printed, columns separated by `|`.
pub(crate) fn sql(url: &str, sql: &str) -> String {
    let mut psql = Command::new(programs().join("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]).stdin(Stdio::null());
    psql.env("PGOPTIONS", "-c search_path=hikyaku,public -c client_min_messages=warning");
    let output = psql.args(["-c", sql]).output().expect("psql; tests/run installs it");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A server of our own.
pub(crate) struct Server {
    folder: PathBuf,
    port: u16,
    running: Mutex<Option<Child>>,
    settings: Vec<String>,
    guardian: Child,
    /// While it is held, no other test process takes the same port.
    _claim: TcpListener,
}

impl Server {
    /// Starts one and waits until it can be used.
    pub(crate) fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// The same with `settings`, each `name=value`, where `{folder}` is that of `files`: names and what is copied there.
    pub(crate) fn start_with(settings: &[&str], files: &[(&str, &Path)]) -> Self {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("hikyaku-postgres-{}-{number}", std::process::id()));
        let _left_by_a_process_of_that_number = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder for the server");
        std::fs::write(folder.join("password"), PASSWORD).expect("write");
        for (name, file) in files {
            std::fs::copy(file, folder.join(name)).expect("copied");
        }
        if let Some(user) = user() {
            run(Command::new("chown").args(["-R", user]).arg(&folder));
        }
        let data = folder.join("data");
        run(as_user("initdb")
            .args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "-U", USER])
            .arg("--pwfile")
            .arg(folder.join("password"))
            .arg(&data));
        let (claim, port) = claim_port();
        let server = Self {
            guardian: guardian(&folder),
            port,
            running: Mutex::default(),
            settings: settings
                .iter()
                .map(|setting| setting.replace("{folder}", &folder.display().to_string()))
                .collect(),
            folder,
            _claim: claim,
        };
        server.restart();
        server
    }

    /// The folder of its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A new, empty database in it.
    pub(crate) fn database(&self) -> String {
        let name = format!("t{}", NUMBERS.fetch_add(1, Ordering::Relaxed));
        sql(&self.url("postgres"), &format!("CREATE DATABASE {name} TEMPLATE template0"));
        self.url(&name)
    }

    /// Where the database `name` is.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/{name}", self.address())
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again on what it has on disk.
    pub(crate) fn restart(&self) {
        let until = Instant::now() + START_WAIT_MAX;
        // After a crash, the processes of the one before may take a moment to be gone.
        while !self.try_start(until) {
            assert!(Instant::now() < until, "PostgreSQL did not start within {START_WAIT_MAX:?}: {}", self.log());
            rest(100);
        }
    }

    /// Ends it as a crash would, and all that it has started with it.
    pub(crate) fn kill(&self) {
        self.end("KILL");
    }

    /// Lets it stop in good order, without waiting for clients to leave.
    pub(crate) fn stop(&self) {
        self.end("INT");
    }

    /// Freezes it and all that it has started: connections stay, and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Thaws it.
    pub(crate) fn thaw(&self) {
        self.signal_all("CONT");
    }

    fn try_start(&self, until: Instant) -> bool {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let mut postgres = as_user("postgres");
        postgres.arg("-D").arg(self.data());
        let sockets = format!("unix_socket_directories={}", self.folder.display());
        let port = format!("port={}", self.port);
        let own = ["listen_addresses=127.0.0.1", &port, &sockets, "max_connections=200", "shared_buffers=32MB"];
        let hasty = ["fsync=off", "full_page_writes=off"];
        for setting in own.into_iter().chain(hasty).chain(self.settings.iter().map(String::as_str)) {
            postgres.args(["-c", setting]);
        }
        postgres.stdout(log.try_clone().expect("a second handle")).stderr(log).stdin(Stdio::null());
        #[expect(
            clippy::zombie_processes,
            reason = "who ends the server waits for it; one that ended by itself was looked at"
        )]
        let mut child = postgres.spawn().expect("postgres; tests/run installs it");
        let ready = || {
            Command::new(programs().join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p"])
                .arg(self.port.to_string())
                .status()
        };
        while Instant::now() < until {
            if child.try_wait().expect("a child").is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() && ready().is_ok_and(|status| status.success()) {
                *self.running.lock().expect("nobody panicked") = Some(child);
                return true;
            }
            rest(30);
        }
        false
    }

    fn end(&self, signal: &str) {
        let mut running = self.running.lock().expect("nobody panicked");
        let mut child = running.take().expect("it runs");
        let children = children_of(child.id());
        signal_to(&[child.id()], signal);
        let until = Instant::now() + STOP_WAIT_MAX;
        while child.try_wait().expect("a child").is_none() {
            assert!(Instant::now() < until, "PostgreSQL did not end within {STOP_WAIT_MAX:?}: {}", self.log());
            rest(10);
        }
        if signal == "KILL" {
            signal_to(&children, "KILL");
        }
    }

    fn signal_all(&self, signal: &str) {
        let running = self.running.lock().expect("nobody panicked");
        let id = running.as_ref().expect("it runs").id();
        // The postmaster first: one that is frozen starts no other.
        signal_to(&[id], signal);
        signal_to(&children_of(id), signal);
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The guardian's input ends, and with it the server.
        drop(self.guardian.stdin.take());
        let _gone = self.guardian.wait();
        if let Some(mut child) = self.running.lock().ok().and_then(|mut running| running.take()) {
            let _gone = child.wait();
        }
    }
}

/// Waits until its input ends, which is the end of this process; then ends the server in `folder`, and removes that.
fn guardian(folder: &Path) -> Child {
    let last_will = r#"cat >/dev/null; pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
        if [ -n "$pid" ]; then all="$pid $(cat "/proc/$pid/task/$pid/children")"; kill -9 $all 2>/dev/null; sleep 0.2; fi; rm -rf "$0""#;
    Command::new("setsid")
        .args(["sh", "-c", last_will])
        .arg(folder)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a guardian")
}

/// A pair of ports that no other test process has: the first is held, the second is for the server.
fn claim_port() -> (TcpListener, u16) {
    let pairs = (PORTS.end - PORTS.start) / 2;
    // Processes that start together begin at different places.
    let begin = u16::try_from(std::process::id() % u32::from(pairs)).expect("below the pairs");
    for step in 0..pairs {
        let port = PORTS.start + 2 * ((begin + step) % pairs);
        if let Ok(claim) = TcpListener::bind(("127.0.0.1", port))
            && TcpListener::bind(("127.0.0.1", port + 1)).is_ok()
        {
            return (claim, port + 1);
        }
    }
    panic!("no port is free from {PORTS:?}")
}

/// Where PostgreSQL's programs are: Debian has them in a folder for each version.
pub(crate) fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    folders.max().expect("PostgreSQL in /usr/lib/postgresql; tests/run installs it")
}

/// As whom the server runs, when that is not who we are.
fn user() -> Option<&'static str> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let has = |name: &str| Command::new("id").arg(name).output().is_ok_and(|output| output.status.success());
    is_root.then(|| if has("postgres") { "postgres" } else { "nobody" })
}

/// One of PostgreSQL's programs, run by [`user`].
fn as_user(program: &str) -> Command {
    let program = programs().join(program);
    let mut command = match user() {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid"]).arg(group(user)).arg("--clear-groups").arg(program);
            command
        }
    };
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8").current_dir("/");
    command
}

fn group(user: &str) -> String {
    let output = Command::new("id").args(["-gn", user]).output().expect("id");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The processes that `id` has started, and that are there.
fn children_of(id: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Some may have ended by themselves.
fn signal_to(ids: &[u32], signal: &str) {
    if !ids.is_empty() {
        let ids = ids.iter().map(u32::to_string);
        let _some_may_be_gone = Command::new("kill").arg(format!("-{signal}")).args(ids).stderr(Stdio::null()).status();
    }
}

/// Until the next look at a process that tells nobody how it is.
#[expect(clippy::disallowed_methods, reason = "no clock of ours is in it")]
fn rest(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn run(command: &mut Command) {
    let output = command.output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
