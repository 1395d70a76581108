//! A server as the tests of dashboards and alerts need it: its address, requests to it, and receivers that answer well or badly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{PATIENCE, Running, program};

/// The token of [`Served`].
const TOKEN: &str = "a-token-for-those-who-look";
/// How often a condition is looked at that nobody tells about.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until `look` finds something; `what` it is says the panic when it never does.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// A request and its answer's status and body. Of version 1.0, so that the answer comes in one piece and ends with the connection.
///
/// # Errors
/// When nobody is there, or the answer is none.
pub(crate) fn ask(address: &str, request_line: &str, headers: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(stream, "{request_line} HTTP/1.0\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    match (status, answer.split_once("\r\n\r\n")) {
        (Some(status), Some((_, body))) => Ok((status, body.to_owned())),
        _ => Err(std::io::Error::other(format!("no answer: {answer:?}"))),
    }
}

/// A running server, in a folder of its own.
pub(crate) struct Served {
    process: Running,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    folder: TempDir,
}

impl Served {
    /// Starts it with `settings` (TOML; single ones first, as dotted keys), and waits until it listens, if only to say that it waits
    /// for its store.
    pub(crate) fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let fixed = format!(
            "server.listen = \"127.0.0.1:0\"\nserver.admin_token = \"{TOKEN}\"\n\
             delivery.allowed_private_networks = [\"127.0.0.1/32\"]\n"
        );
        std::fs::write(folder.path().join("hikyaku.toml"), fixed + settings).expect("written");
        let mut child = program(folder.path(), &["serve"]).spawn().expect("it starts");
        let stderr = child.stderr.take().expect("piped");
        let (process, said) = (Running(child), Arc::new(Mutex::new(String::new())));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lock().expect("whole").push_str(&(line + "\n"));
            }
        });
        let began = Instant::now();
        loop {
            let words = said.lock().expect("whole").clone();
            let told = ["listens on http://", "Meanwhile http://"].iter().find_map(|before| words.split_once(before));
            if let Some((address, _)) = told.and_then(|(_, rest)| rest.split_once([';', ' '])) {
                return Self { process, address: address.to_owned(), folder };
            }
            assert!(began.elapsed() < PATIENCE, "it does not listen; it said:\n{words}");
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Asks for `path`.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        ask(&self.address, &format!("GET {path}"), "", "").expect("an answer")
    }

    /// The value of a series as it is printed.
    pub(crate) fn value(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().expect("a number")
    }

    /// A file of its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Publishes NDJSON, which is stored.
    pub(crate) fn publish(&self, events: &str) {
        let (status, answer) = self.try_publish(events);
        assert_eq!(status, 200, "{answer}");
    }

    /// Publishes NDJSON.
    pub(crate) fn try_publish(&self, events: &str) -> (u16, String) {
        let headers = format!("Authorization: Bearer {TOKEN}\r\n");
        ask(&self.address, "POST /v1/events", &headers, events).expect("an answer")
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn stop(mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.ended(), Some(0));
    }
}

/// Receives on loopback until the test ends: `/200` answers with that status, and so does any other number.
pub(crate) fn receivers() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || drop(answer(stream)));
        }
    });
    address
}

/// Reads requests and answers each, until the sender goes.
fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.to_ascii_lowercase());
        }
        let length = head.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        reader.read_exact(&mut vec![0; length.unwrap_or(0)])?;
        let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("/500").trim_start_matches('/');
        write!(stream, "HTTP/1.1 {path} Said\r\nContent-Length: 0\r\n\r\n")?;
    }
}
