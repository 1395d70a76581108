//! What Misskey's HTTP client puts on the wire for a webhook, byte for byte: header names in their order and case
//! (node-fetch), the compact JSON of the samples, connections that are kept.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::program::PATIENCE;
use super::python::repository;

/// A sample's JSON as `JSON.stringify` writes it: without white space between its parts, all else as it is in the file.
pub(crate) fn sample(name: &str) -> String {
    let path = repository(&format!("tests/fixtures/misskey/{name}"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut is_in_string, mut is_escaped) = (false, false);
    text.chars()
        .filter(|c| {
            let keep = is_in_string || !c.is_ascii_whitespace();
            match c {
                '"' if !is_escaped => is_in_string = !is_in_string,
                _ => {}
            }
            is_escaped = is_in_string && *c == '\\' && !is_escaped;
            keep
        })
        .collect()
}

/// The names of all samples below `folder`, in order.
pub(crate) fn samples(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository(&format!("tests/fixtures/misskey/{folder}"))).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.map(|name| format!("{folder}/{name}")).collect();
    names.sort();
    names
}

/// A field of an event that is a text; empty when it is absent.
pub(crate) fn field(event: &str, name: &str) -> String {
    let event: Value = serde_json::from_str(event).expect("JSON");
    event[name].as_str().unwrap_or_default().to_owned()
}

/// The request by which Misskey sends `body`.
pub(crate) fn request(path: &str, secret: &str, body: &[u8]) -> Vec<u8> {
    let hook = serde_json::from_slice::<Value>(body).ok().and_then(|body| body["hookId"].as_str().map(str::to_owned));
    let head = format!(
        "POST {path} HTTP/1.1\r\n\
         accept: */*\r\n\
         accept-encoding: gzip, deflate, br\r\n\
         content-length: {}\r\n\
         content-type: application/json\r\n\
         user-agent: Misskey-Hooks\r\n\
         x-misskey-hook-id: {}\r\n\
         x-misskey-hook-secret: {secret}\r\n\
         x-misskey-host: misskey.example\r\n\
         Host: sidecar:8080\r\n\
         Connection: keep-alive\r\n\r\n",
        body.len(),
        hook.as_deref().unwrap_or("ajbar5w5k3x90008"),
    );
    [head.as_bytes(), body].concat()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The words of a refusal, after checking its status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, words: &[&str]) {
        assert_eq!(self.status, status, "{self:#?}");
        let error: Value = serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:#?}"));
        let error = error["error"].as_str().expect("words");
        for part in words {
            assert!(error.contains(part), "{part:?} is missing in {error:?}");
        }
    }
}

/// A connection as Misskey's agent keeps it.
pub(crate) struct Agent(BufReader<TcpStream>);

impl Agent {
    /// Connects to `address`, `http://...`.
    pub(crate) async fn connect(address: &str) -> Self {
        let address = address.strip_prefix("http://").expect("an address");
        Self(BufReader::new(TcpStream::connect(address).await.expect("connected")))
    }

    /// Sends bytes, as far as the other side takes them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("sent");
    }

    /// Sends a webhook's request and reads its answer.
    pub(crate) async fn post(&mut self, path: &str, secret: &str, body: &str) -> Answer {
        self.send(&request(path, secret, body.as_bytes())).await;
        self.answer().await
    }

    /// Reads an answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        let answered = tokio::time::timeout(PATIENCE, self.try_answer()).await;
        answered.expect("waited in vain for an answer").expect("an answer")
    }

    /// Reads an answer from a server that may be killed meanwhile.
    pub(crate) async fn try_answer(&mut self) -> std::io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).await? == 0 {
                return Err(std::io::Error::other(format!("it ended after {head:?}")));
            }
        }
        let mut answer = Answer { status: head[9..12].parse().expect("a status"), head, body: String::new() };
        let length = answer.header("content-length").parse().unwrap_or(0);
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        answer.body = String::from_utf8(body).expect("UTF-8");
        Ok(answer)
    }
}

/// Sends one webhook's request on a connection of its own and reads its answer.
pub(crate) async fn post(address: &str, path: &str, secret: &str, body: &str) -> Answer {
    Agent::connect(address).await.post(path, secret, body).await
}
