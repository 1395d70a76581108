//! Throw-away RabbitMQ nodes, never the system's.
//!
//! A node lives in a folder of its own below the system's temporary one: its data, its cookie, its port mapper, on ports
//! below 32768, because the kernel gives the others to anyone. A guardian process waits for the end of the test process,
//! however that ends, and then kills the node and its port mapper by their ids and removes the folder.
//!
//! `HIKYAKU_TEST_AMQP_URL` names a broker that is there instead, for tests that do nothing to the broker itself.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::Instant;

const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// A node starts in 4 to 7 s; this machine may have other work.
const START_WAIT_MAX: Duration = Duration::from_secs(120);
const STOP_WAIT_MAX: Duration = Duration::from_secs(60);

static SHARED: OnceCell<Broker> = OnceCell::const_new();
static NUMBERS: AtomicU32 = AtomicU32::new(0);

/// A node of our own.
pub(crate) struct Broker {
    folder: PathBuf,
    port: u16,
    dist_port: u16,
    epmd_port: u16,
    guardian: Child,
    epmd: Child,
    variables: Vec<(String, String)>,
}

/// The URL of a broker that tests share: the one that `HIKYAKU_TEST_AMQP_URL` names, else one of our own.
pub(crate) async fn shared_url() -> String {
    match std::env::var("HIKYAKU_TEST_AMQP_URL") {
        Ok(url) => url,
        Err(_) => SHARED.get_or_init(Broker::start).await.url(),
    }
}

/// A prefix that no other test has.
pub(crate) fn own_prefix() -> String {
    format!("t{}-{}.", std::process::id(), NUMBERS.fetch_add(1, Ordering::Relaxed))
}

impl Broker {
    /// Starts a node and waits until it can be used.
    pub(crate) async fn start() -> Self {
        Self::start_with("disk_free_limit.absolute = 50MB\n", Vec::new()).await
    }

    /// Starts a node with `settings`, which are lines of rabbitmq.conf, and `variables`.
    pub(crate) async fn start_with(settings: &str, variables: Vec<(String, String)>) -> Self {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("hikyaku-broker-{}-{number}", std::process::id()));
        std::fs::create_dir_all(folder.join("log")).expect("a folder for the node");
        std::fs::write(folder.join("empty-env.conf"), "").expect("write");
        std::fs::write(folder.join("enabled_plugins"), "[].").expect("write");
        std::fs::write(folder.join("rabbitmq.conf"), format!("{settings}log.file.level = warning\n")).expect("write");
        let [port, dist_port, epmd_port] = free_ports();
        let epmd = Command::new("epmd")
            .args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Erlang's epmd; tests/run installs it");
        let last_will =
            r#"cat >/dev/null; kill -9 "$1"; [ -s "$0/pid" ] && kill -9 "$(cat "$0/pid")"; sleep 0.3; rm -rf "$0""#;
        let guardian = Command::new("setsid")
            .args(["sh", "-c", last_will])
            .arg(&folder)
            .arg(epmd.id().to_string())
            .stdin(Stdio::piped())
            .spawn()
            .expect("a guardian");
        let broker = Self { folder, port, dist_port, epmd_port, guardian, epmd, variables };
        broker.launch().await;
        broker
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    /// The node's name among nodes.
    pub(crate) fn name(&self) -> String {
        format!("t{}@localhost", self.port)
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(&self) {
        self.end("KILL").await;
    }

    /// Lets it stop in good order.
    pub(crate) async fn stop(&self) {
        self.end("TERM").await;
    }

    /// Freezes it: connections stay, and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Thaws it.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Starts it again on what it has on disk.
    pub(crate) async fn restart(&self) {
        self.launch().await;
    }

    /// Runs `rabbitmqctl`.
    pub(crate) async fn control(&self, args: &[&str]) -> String {
        self.run("rabbitmqctl", args).await
    }

    /// Runs one of RabbitMQ's programs to its end, which must be a good one.
    pub(crate) async fn run(&self, program: &str, args: &[&str]) -> String {
        let mut command = self.command(program);
        command.args(args);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("it starts");
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{program} {args:?}: {words}{}", String::from_utf8_lossy(&output.stderr));
        words
    }

    fn command(&self, program: &str) -> Command {
        let at = |name: &str| self.folder.join(name);
        let mut command = Command::new(Path::new(PROGRAMS).join(program));
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", &self.folder)
            .env("RABBITMQ_CONF_ENV_FILE", at("empty-env.conf"))
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none")
            .env("RABBITMQ_SERVER_START_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    async fn launch(&self) {
        let _absent_at_first = std::fs::remove_file(self.folder.join("pid"));
        let log = std::fs::File::create(self.folder.join("log/stdout")).expect("a log");
        let mut server = self.command("rabbitmq-server");
        server.stdout(log.try_clone().expect("a second handle")).stderr(log);
        let mut child = server.spawn().expect("rabbitmq-server; tests/run installs it");
        // Nobody waits for it by name; the thread ends with the node.
        std::thread::spawn(move || child.wait());
        let until = Instant::now() + START_WAIT_MAX;
        // The listener opens last.
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(Instant::now() < until, "RabbitMQ did not start within {START_WAIT_MAX:?}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn end(&self, signal: &str) {
        // Read first: the node removes the file on its way out.
        let pid = self.pid();
        self.signal(signal);
        let until = Instant::now() + STOP_WAIT_MAX;
        while Path::new(&format!("/proc/{pid}")).exists() {
            assert!(Instant::now() < until, "RabbitMQ did not end within {STOP_WAIT_MAX:?}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn pid(&self) -> String {
        std::fs::read_to_string(self.folder.join("pid")).expect("the node's pid").trim().to_owned()
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([&format!("-{signal}"), &self.pid()]).status().expect("kill");
        assert!(done.success(), "the node is there to be signalled {signal}");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log/stdout")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The guardian's input ends, and with it the node.
        drop(self.guardian.stdin.take());
        let _gone = self.guardian.wait();
        let _gone = self.epmd.wait();
    }
}

/// Ports below those that the kernel gives out, free a moment ago.
fn free_ports() -> [u16; 3] {
    let offset = u16::try_from(std::process::id() % 8000).expect("below 8000");
    let start = 20_000 + offset + u16::try_from(NUMBERS.fetch_add(16, Ordering::Relaxed) % 4000).expect("below 4000");
    let mut free = (start..32_700).filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    [free.next(), free.next(), free.next()].map(|port| port.expect("a free port"))
}
