//! One node: started, ended, frozen, asked.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::home::Home;

/// What is said to have in a RabbitMQ for hikyaku.
const ADVANCED_CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/rabbitmq/advanced.config");
/// A node starts in 4 to 7 s; this machine may have other work.
const START_WAIT_MAX: Duration = Duration::from_secs(120);
const STOP_WAIT_MAX: Duration = Duration::from_secs(60);

/// A node of our own.
pub(crate) struct Broker {
    home: Arc<Home>,
    /// Its place in its home, from 0 on.
    place: u16,
    port: u16,
    dist_port: u16,
}

impl Broker {
    /// The node at `place` of `home`, with `settings` as its rabbitmq.conf, started.
    pub(super) async fn launch(home: Arc<Home>, place: u16, settings: &str) -> Self {
        let node = Self::new(home, place);
        std::fs::create_dir_all(node.home.path(&node.at("log"))).expect("a folder for the node");
        let settings = format!("{settings}log.file.level = warning\n");
        std::fs::write(node.home.path(&node.at("rabbitmq.conf")), settings).expect("write");
        std::fs::copy(ADVANCED_CONFIG, node.home.path(&node.at("advanced.config"))).expect("copied");
        node.restart().await;
        node
    }

    fn new(home: Arc<Home>, place: u16) -> Self {
        let [port, dist_port] = [0, 1].map(|which| home.port(1 + 3 * place + which));
        Self { home, place, port, dist_port }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@{}", self.address())
    }

    /// Where it is over TLS; `options` come after the `?`.
    pub(crate) fn tls_url(&self, host: &str, options: &str) -> String {
        format!("amqps://guest:guest@{host}:{}/?{options}", self.home.tls_port())
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The node's name among nodes.
    pub(crate) fn name(&self) -> String {
        name(&self.home, self.place)
    }

    /// A folder that its programs can write to, as they see it.
    pub(crate) fn folder(&self) -> String {
        self.home.path_inside(&self.at("log")).display().to_string()
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
        let log = self.home.log(&self.at("log/stdout"));
        let mut server = self.command("rabbitmq-server");
        server.stdout(log.try_clone().expect("a second handle")).stderr(log);
        let mut child = server.spawn().expect("rabbitmq-server; tests/run installs it");
        // Nobody waits for it by name; the thread ends with the node.
        std::thread::spawn(move || child.wait());
        // The listener opens last.
        self.listens(self.port).await;
    }

    /// Waits for the listener for TLS, which RabbitMQ 4 opens after the other.
    pub(super) async fn listens_for_tls(&self) {
        self.listens(self.home.tls_port()).await;
    }

    async fn listens(&self, port: u16) {
        let until = Instant::now() + START_WAIT_MAX;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < until, "{} did not start within {START_WAIT_MAX:?}: {}", self.name(), self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs `rabbitmqctl`.
    pub(crate) async fn control(&self, args: &[&str]) -> String {
        self.run("rabbitmqctl", args).await
    }

    /// Runs one of RabbitMQ's programs to its end, which must be a good one.
    pub(crate) async fn run(&self, program: &str, args: &[&str]) -> String {
        self.ask(program, args).await.unwrap_or_else(|words| panic!("{program} {args:?}: {words}"))
    }

    /// Runs one of RabbitMQ's programs: what it printed, or its words when it failed.
    pub(super) async fn ask(&self, program: &str, args: &[&str]) -> Result<String, String> {
        let mut command = self.command(program);
        command.args(args);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("a program");
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => Ok(words),
            false => Err(words + &String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// `file` of the node's folder, as seen from the home.
    fn at(&self, file: &str) -> String {
        format!("n{}/{file}", self.place)
    }

    fn command(&self, program: &str) -> Command {
        let at = |file: &str| self.home.path_inside(&self.at(file));
        let mut command = self.home.program(program);
        command
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", at("advanced.config"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none")
            .env("RABBITMQ_SERVER_START_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
        command
    }

    async fn end(&self, signal: &str) {
        // Read first: the node removes the file on its way out.
        let pid = self.pid();
        self.signal(signal);
        let until = Instant::now() + STOP_WAIT_MAX;
        while Path::new(&format!("/proc/{pid}")).exists() {
            assert!(Instant::now() < until, "{} did not end within {STOP_WAIT_MAX:?}: {}", self.name(), self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The number may soon be another process's.
        let _removed_by_the_node = std::fs::remove_file(self.home.path(&self.at("pid")));
    }

    fn pid(&self) -> String {
        std::fs::read_to_string(self.home.path(&self.at("pid"))).expect("the node's pid").trim().to_owned()
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([&format!("-{signal}"), &self.pid()]).status().expect("kill");
        assert!(done.success(), "the node is there to be signalled {signal}");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path(&self.at("log/stdout"))).unwrap_or_default()
    }
}

/// The name among nodes of the node at `place` of `home`.
pub(super) fn name(home: &Home, place: u16) -> String {
    format!("t{}@localhost", home.port(1 + 3 * place))
}
