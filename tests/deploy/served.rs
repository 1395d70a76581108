//! A server as the tests of metrics and alerts need it: its address, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{PATIENCE, Running, program};

/// The token of [`Served`].
const TOKEN: &str = "a-token-for-those-who-look";
/// How often a condition is looked at that nobody tells about.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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
    _folder: TempDir,
}

impl Served {
    /// Starts it with `settings` (TOML; single ones first, as dotted keys), and waits until it listens.
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
            if let Some((address, _)) =
                words.split_once("listens on http://").and_then(|(_, rest)| rest.split_once(';'))
            {
                return Self { process, address: address.to_owned(), _folder: folder };
            }
            assert!(began.elapsed() < PATIENCE, "it does not listen; it said:\n{words}");
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Asks for `path`.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        ask(&self.address, &format!("GET {path}"), "", "").expect("an answer")
    }

    /// Publishes NDJSON.
    pub(crate) fn publish(&self, events: &str) {
        let headers = format!("Authorization: Bearer {TOKEN}\r\n");
        let (status, answer) = ask(&self.address, "POST /v1/events", &headers, events).expect("an answer");
        assert_eq!(status, 200, "{answer}");
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn stop(mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.ended(), Some(0));
    }
}
