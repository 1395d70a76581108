//! The real binary: a folder of its own with settings, the server as a child process, commands run to their end.
//!
//! A [`Home`] is a folder that holds `hikyaku.toml` and, because every process is started in it, the files of queue and
//! store. A [`Program`] is killed when it is dropped, so a test that panics leaves nothing running.

use std::ffi::OsStr;
use std::future::Future;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// The admin token of every [`Home::new`].
pub(crate) const TOKEN: &str = "a-token-for-journeys";
/// Where the receivers of tests are.
const RECEIVERS: &str = "127.0.0.1/32";
/// How long anything that must happen may take, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at that nobody tells about.
const LOOK_EVERY: Duration = Duration::from_millis(10);

const BINARY: &str = env!("CARGO_BIN_EXE_hikyaku");

/// Waits until `look` finds something; `what` it is says the panic when it never does.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A system webhook, as the settings file declares it.
pub(crate) fn declared(id: &str, url: &str, on: &str) -> String {
    format!("[[webhooks]]\nid = \"{id}\"\nurl = \"{url}\"\non = [\"{on}\"]\n")
}

/// An event of the system.
pub(crate) fn event(kind: &str, id: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"eventId\":\"{id}\",\"body\":{{\"is\":\"{id}\"}}}}")
}

/// `count` events as NDJSON, their ids the prefix and a number from 0.
pub(crate) fn events(kind: &str, prefix: &str, count: usize) -> String {
    (0..count).map(|n| event(kind, &format!("{prefix}{n}")) + "\n").collect()
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its standard output, after checking that it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// Its standard output as JSON, after checking that it succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).expect("one JSON document")
    }

    /// Its words, after checking that it failed with `code`, that they hold all of `words`, and that it did not panic.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        for part in words {
            assert!(self.stderr.contains(part), "{part:?} is missing: {self:#?}");
        }
        self.stderr
    }
}

/// A folder with a settings file, and the files of queue and store.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
    /// What the address guard lets through; none: what the settings say.
    allowed: Option<&'static str>,
}

impl Home {
    /// A home whose settings are a free port, the token [`TOKEN`], and `settings` (TOML; single settings come first, as
    /// dotted keys).
    pub(crate) fn new(settings: &str) -> Self {
        Self::bare(&format!("server.listen = \"127.0.0.1:0\"\nserver.admin_token = \"{TOKEN}\"\n{settings}"))
    }

    /// A home with these settings and no others.
    pub(crate) fn bare(settings: &str) -> Self {
        let home = Self { folder: tempfile::tempdir().expect("a folder"), allowed: Some(RECEIVERS) };
        home.write("hikyaku.toml", settings);
        home
    }

    /// The same, with the address guard as `settings` have it: else it lets tests' receivers through, which are on loopback.
    pub(crate) fn guarded(settings: &str) -> Self {
        Self { allowed: None, ..Self::new(settings) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder and tells its name.
    pub(crate) fn write<'a>(&self, name: &'a str, content: &str) -> &'a str {
        std::fs::write(self.path(name), content).expect("the file is written");
        name
    }

    /// Runs a command to its end.
    pub(crate) async fn cli(&self, args: &[&str]) -> Ran {
        self.cli_with(args, "").await
    }

    /// Runs a command to its end, with `stdin` to read.
    pub(crate) async fn cli_with(&self, args: &[&str], stdin: &str) -> Ran {
        self.run(BINARY, args, stdin).await
    }

    /// Runs a command to its end, with `input` as its standard input.
    pub(crate) async fn cli_reading(&self, args: &[&str], input: std::net::TcpStream) -> Ran {
        let input = Stdio::from(std::os::fd::OwnedFd::from(input));
        ended(self.command(BINARY, args).stdin(input).stdout(Stdio::piped()).spawn().expect("it starts")).await
    }

    /// Runs a line of shell to its end, in which `$HIKYAKU` is the binary.
    pub(crate) async fn shell(&self, line: &str) -> Ran {
        self.run("sh", &["-c", line], "").await
    }

    async fn run(&self, program: &str, args: &[&str], stdin: &str) -> Ran {
        let mut child = self.command(program, args).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut input = child.stdin.take().expect("piped");
        let stdin = stdin.as_bytes().to_vec();
        // Beside the reading, so that neither pipe is full for ever. A command that reads nothing closes it.
        let feed = tokio::spawn(async move {
            let _not_wanted = input.write_all(&stdin).await;
        });
        let ran = ended(child).await;
        feed.await.expect("fed");
        ran
    }

    /// Starts the server and waits until it listens.
    pub(crate) async fn serve(&self) -> Program {
        self.started(BINARY, &["serve"]).await
    }

    /// The same, which does no more than `roles`.
    pub(crate) async fn serve_as(&self, roles: &str) -> Program {
        self.serve_by(&["serve", "--role", roles]).await
    }

    /// The same by these arguments.
    pub(crate) async fn serve_by(&self, args: &[&str]) -> Program {
        self.started(BINARY, args).await
    }

    /// Starts the server from a shell that has run `before`, such as `ulimit -n 40`.
    pub(crate) async fn serve_after(&self, before: &str) -> Program {
        self.serve_by_shell(&format!("{before}; exec \"$HIKYAKU\" serve")).await
    }

    /// Starts the server by a line of shell, which becomes it (`exec "$HIKYAKU" serve`).
    pub(crate) async fn serve_by_shell(&self, line: &str) -> Program {
        self.started("sh", &["-c", line]).await
    }

    async fn started(&self, program: &str, args: &[&str]) -> Program {
        let mut program = Program::spawn(&mut self.command(program, args));
        let line = program.line("listens on http://").await;
        let (_, rest) = line.split_once("listens on ").expect("just found");
        let (address, rest) = rest.split_once(';').expect("the address ends");
        let (_, rest) = rest.split_once("metrics on ").expect("the metrics' address");
        let (metrics, _) = rest.split_once("/metrics").expect("the address ends");
        (program.address, program.metrics_address) = (address.to_owned(), metrics.to_owned());
        program
    }

    /// Starts a command that goes on until it is told to end.
    pub(crate) fn start(&self, args: &[&str]) -> Program {
        Program::spawn(&mut self.command(BINARY, args))
    }

    /// Starts a line of shell, in which `$HIKYAKU` is the binary.
    pub(crate) fn start_shell(&self, line: &str) -> Program {
        Program::spawn(&mut self.command("sh", &["-c", line]))
    }

    fn command(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.folder.path()).env("HIKYAKU", BINARY);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HIKYAKU__") {
                command.env_remove(name);
            }
        }
        // What tests read is lines for people, though no terminal is here; settings of a file would be outdone by a variable.
        if !std::fs::read_to_string(self.path("hikyaku.toml")).is_ok_and(|settings| settings.contains("log.format")) {
            command.env("HIKYAKU__LOG__FORMAT", "text");
        }
        if let Some(allowed) = self.allowed {
            command.env("HIKYAKU__DELIVERY__ALLOWED_PRIVATE_NETWORKS", allowed);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// How long a command may need: a demo or a benchmark on a busy machine.
const COMMAND_MAX: Duration = Duration::from_secs(180);

/// Waits for the command's end.
async fn ended(child: Child) -> Ran {
    let output = tokio::time::timeout(COMMAND_MAX, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("a command did not end within {COMMAND_MAX:?}")).expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A process that runs until it is told to end; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
    http: reqwest::Client,
    /// Where it takes events, and where it is measured: `http://...`
    pub(crate) address: String,
    pub(crate) metrics_address: String,
}

impl Program {
    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let reading = tokio::spawn(read_lines(child.stderr.take().expect("piped"), Arc::clone(&lines)));
        Self { child, lines, reading, http: http(), address: String::new(), metrics_address: String::new() }
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Everything that it has said on standard error.
    pub(crate) fn said(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line on standard error that holds `part`.
    pub(crate) async fn line(&mut self, part: &str) -> String {
        let find = |lines: &Mutex<Vec<String>>| {
            let lines = lines.lock().unwrap();
            lines.iter().find(|line| line.contains(part)).cloned()
        };
        let began = Instant::now();
        loop {
            let ended = self.reading.is_finished();
            if let Some(line) = find(&self.lines) {
                return line;
            }
            let said = self.said();
            assert!(!ended, "it ended without saying {part:?}; it said:\n{said}");
            assert!(
                began.elapsed() < PATIENCE,
                "waited {PATIENCE:?} in vain for a line with {part:?}, it said:\n{said}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Kills it, as `kill -9` and a power cut do, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        self.on_it("kill", &[&format!("-{name}"), &self.id().to_string()]).await;
    }

    /// Sets a limit of the running process, such as `--fsize=unlimited`.
    pub(crate) async fn limit(&self, limit: &str) {
        self.on_it("prlimit", &["--pid", &self.id().to_string(), limit]).await;
    }

    async fn on_it(&self, program: &str, args: &[&str]) {
        let done = Command::new(program).args(args).status().await.expect("it starts");
        assert!(done.success(), "{program} {args:?}: {done}");
    }

    /// Waits for its end and tells exit code and everything that it said on standard error.
    pub(crate) async fn ended(mut self) -> (Option<i32>, String) {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let said = || self.lines.lock().unwrap().join("\n");
        let status = ended.unwrap_or_else(|_| panic!("it did not end within {PATIENCE:?}; it said:\n{}", said()));
        (&mut self.reading).await.expect("read to the end");
        (status.expect("its status").code(), said())
    }

    /// Asks it to end, and checks that it does so with exit code 0.
    pub(crate) async fn stop(self) {
        self.signal("TERM").await;
        let (code, said) = self.ended().await;
        assert_eq!(code, Some(0), "it said:\n{said}");
    }

    /// It listens at `address`, for everything.
    pub(crate) fn is_at(&mut self, address: &str) {
        (self.address, self.metrics_address) = (address.to_owned(), address.to_owned());
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    /// Asks `path` of the address for health and metrics.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.get_at(&self.metrics_address, path).await
    }

    /// Asks `path` of `address`.
    pub(crate) async fn get_at(&self, address: &str, path: &str) -> (u16, String) {
        self.try_get(address, path).await.expect("an answer")
    }

    /// Asks `path` of `address`, where perhaps nobody listens any more.
    pub(crate) async fn try_get(&self, address: &str, path: &str) -> reqwest::Result<(u16, String)> {
        let response = self.http.get(format!("{address}{path}")).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Publishes `body` with the token.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        self.try_post(body).await.expect("an answer")
    }

    /// Publishes `body` with the token, at a server that may be killed meanwhile.
    pub(crate) async fn try_post(&self, body: impl Into<reqwest::Body>) -> reqwest::Result<(u16, Value)> {
        answer(self.request().bearer_auth(TOKEN).body(body)).await
    }

    /// A request to publish, without token and body.
    pub(crate) fn request(&self) -> reqwest::RequestBuilder {
        self.http.post(format!("{}/v1/events", self.address))
    }

    /// Any request to it.
    pub(crate) fn asking(&self, method: reqwest::Method, url: &str) -> reqwest::RequestBuilder {
        self.http.request(method, url)
    }

    /// Calls an endpoint of the management API, as misskey-js does: everything in the body. An answer without body is null.
    pub(crate) async fn call(&self, endpoint: &str, params: Value) -> (u16, Value) {
        let mut params = params;
        if let Some(params) = params.as_object_mut() {
            params.entry("i").or_insert_with(|| TOKEN.into());
        }
        let (status, body) = self.call_raw(endpoint, params.to_string()).await;
        let value = if body.is_empty() { Value::Null } else { serde_json::from_str(&body).expect("JSON") };
        (status, value)
    }

    /// Calls an endpoint of the management API with this body.
    pub(crate) async fn call_raw(&self, endpoint: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let response = self.api(endpoint).body(body).send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a body"))
    }

    /// A request to an endpoint of the management API, without token and body.
    pub(crate) fn api(&self, endpoint: &str) -> reqwest::RequestBuilder {
        self.http.post(self.api_url(endpoint))
    }

    /// Where an endpoint of the management API is.
    pub(crate) fn api_url(&self, endpoint: &str) -> String {
        format!("{}/api/{endpoint}", self.address)
    }

    /// Asks the operators' API for `path` with the token.
    pub(crate) async fn operate(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.address)).bearer_auth(TOKEN)).await.expect("an answer")
    }

    /// Asks the operators' API for anything with the token.
    pub(crate) async fn operate_by(
        &self,
        method: reqwest::Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.address)).bearer_auth(TOKEN).body(body);
        answer(request).await.expect("an answer")
    }

    /// The same, without a token.
    pub(crate) async fn operate_without_token(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.address))).await.expect("an answer")
    }

    /// A client that can publish in another task.
    pub(crate) fn producer(&self) -> reqwest::RequestBuilder {
        self.request().bearer_auth(TOKEN)
    }

    /// The value of a metric, with its labels as they are printed.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no metric {name} in\n{text}")).parse().expect("a number")
    }

    /// Waits until a metric has a value.
    pub(crate) async fn metric_is(&self, name: &str, value: f64) {
        let is = async || ((self.metric(name).await - value).abs() < f64::EPSILON).then_some(());
        until(&format!("{name} becomes {value}"), is).await;
    }
}

/// Sends the request and reads the answer as JSON.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<(u16, Value)> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{status} without JSON: {bytes:?}"))))
}

async fn read_lines(from: impl AsyncRead + Unpin, to: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        to.lock().unwrap().push(line);
    }
}

#[expect(clippy::disallowed_methods, reason = "the production client is what is tested, not what tests with")]
fn http() -> reqwest::Client {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client")
}
