//! `[queue]`: where accepted events wait, and how much of it a worker holds.

use std::fmt;
use std::path::PathBuf;

use crate::queue::BrokerUrl;

use super::reader::Section;
use super::store::sqlite_file;

/// Characters that `prefix` may have: names in RabbitMQ have at most 255 bytes.
const PREFIX_CHARS_MAX: usize = 100;
/// The least that `bytes_max` may be, beside 0: less is reached in no time, and seldom meant.
const BYTES_MAX_LEAST: u64 = 16 << 20;

/// Where accepted events wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// `url`: `sqlite:PATH`, the file of the queue, where a relative path is one of the working directory; or
    /// `amqp://user:password@host:5672/vhost`, RabbitMQ 3.10 or later (`amqps://` for TLS, several nodes of a cluster
    /// with commas). Default `sqlite:queue.db`: nothing to install.
    pub url: QueueUrl,
    /// `prefix`: what the names of our exchanges and queues in RabbitMQ begin with, 1 to 100 letters, digits, '-', '_',
    /// '.' and ':', not `amq.`. Default `hikyaku.`.
    pub prefix: String,
    /// `single_host`: with RabbitMQ and a store in a file, whether this host is the only one that works on the queue.
    /// Default false, because workers with stores of their own would each know other webhooks, and lose events.
    pub single_host: bool,
    /// `prefetch`: messages that a worker holds at a time, 64 to 65536, at least `delivery.concurrency`. Default 4096:
    /// twice the concurrency, so that the next message is at hand while others wait for their slot or for settling.
    /// RabbitMQ allows 2000 of fresh events and 2000 of what is due again.
    pub prefetch: usize,
    /// `prefetch_bytes`: bytes that those messages may have together, 16 MiB to 1 GiB, at least
    /// `ingest.event_bytes_max`. Default 33554432 (32 MiB), which keeps a worker small: 8 KiB for each of 4096
    /// messages, and Misskey's notes are seldom larger.
    pub prefetch_bytes: usize,
    /// `bytes_max`: bytes of what the queue's file holds from which on no more events are accepted, 16 MiB to 1 PiB, or 0
    /// for as many as the disk has. Deliveries go on meanwhile and may go over it. Default 8589934592 (8 GiB): some
    /// millions of notes, which is days of a large server, and few enough that a receiver's absence does not fill the
    /// disk of the Misskey beside it. RabbitMQ has limits of its own.
    pub bytes_max: u64,
}

/// Which queue it is. Shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueUrl {
    /// A file.
    Sqlite(PathBuf),
    /// RabbitMQ.
    RabbitMq(BrokerUrl),
}

impl QueueUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// Words that name what is wrong and how it should be, without the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("amqp") {
            return BrokerUrl::parse(url).map(Self::RabbitMq);
        }
        let file = sqlite_file(url, "sqlite:queue.db");
        file.map(Self::Sqlite).map_err(|what| format!("{what}; or RabbitMQ, amqp://user:password@host:5672/vhost"))
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&std::path::Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::RabbitMq(_) => None,
        }
    }
}

impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::RabbitMq(url) => url.fmt(f),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            url: QueueUrl::Sqlite(PathBuf::from("queue.db")),
            prefix: "hikyaku.".to_owned(),
            single_host: false,
            prefetch: 4096,
            prefetch_bytes: 32 << 20,
            bytes_max: 8 << 30,
        }
    }
}

impl Queue {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            url: section.text("url", QueueUrl::parse).unwrap_or(default.url),
            prefix: section.text("prefix", check_prefix).unwrap_or(default.prefix),
            single_host: section.flag("single_host").unwrap_or(default.single_host),
            prefetch: section.whole("prefetch", 64..=65_536).unwrap_or(default.prefetch),
            prefetch_bytes: section.whole("prefetch_bytes", 16 << 20..=1 << 30).unwrap_or(default.prefetch_bytes),
            bytes_max: read_bytes_max(section).unwrap_or(default.bytes_max),
        }
    }
}

fn read_bytes_max(section: &mut Section<'_, '_>) -> Option<u64> {
    let bytes = section.whole("bytes_max", 0..=1 << 50)?;
    if (1..BYTES_MAX_LEAST).contains(&bytes) {
        let what =
            format!("must be 0, for as many as the disk has, or at least {BYTES_MAX_LEAST}, and this is {bytes}");
        section.problem("bytes_max", what);
        return None;
    }
    Some(bytes)
}

fn check_prefix(prefix: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if prefix.is_empty() || prefix.len() > PREFIX_CHARS_MAX || !prefix.chars().all(is_allowed) {
        return Err(format!("it must be 1 to {PREFIX_CHARS_MAX} letters, digits, '-', '_', '.' and ':'"));
    }
    if prefix.starts_with("amq.") {
        return Err("names that begin with `amq.` are RabbitMQ's own; choose another, such as hikyaku.".to_owned());
    }
    Ok(prefix.to_owned())
}
