//! How a process stands at the moment it is asked: what it runs as, whether it is ready and which part fails, what room its files
//! have, and what it uses of the machine ([`ProcessMetrics`]).
//!
//! All but what the queue's writer measures is looked up at a scrape, by calls of the system that ask no database. Which files lie
//! on this machine is told once, at the start ([`Telemetry::keeps`]); of a queue in RabbitMQ or a store in PostgreSQL there is none.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use prometheus::{IntGauge, IntGaugeVec};

use super::maker::Maker;
use super::process::ProcessMetrics;
use super::{Telemetry, to_i64};

/// What a process runs as, in words of which there are few.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Where messages are: `sqlite` or `rabbitmq`.
    pub queue: &'static str,
    /// Where webhooks and dead letters are: `sqlite` or `postgresql`.
    pub store: &'static str,
    /// What the process does of the work: `all`, `ingest` or `worker`.
    pub role: &'static str,
}

/// A part of a process that may fail for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The queue cannot be read, or not be written.
    Queue,
    /// The store cannot be read: the webhooks last known are in use.
    Webhooks,
    /// The store does not take the webhooks' latest attempts.
    Latest,
    /// The store does not take dead letters.
    DeadLetters,
    /// The history is not written; the process is ready all the same.
    History,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Queue, Self::Webhooks, Self::Latest, Self::DeadLetters, Self::History];

    /// Its name as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Webhooks => "webhooks",
            Self::Latest => "latest",
            Self::DeadLetters => "dead_letters",
            Self::History => "history",
        }
    }
}

/// A file of ours on this machine.
struct Kept {
    name: &'static str,
    path: PathBuf,
}

pub(super) struct StandingMetrics {
    info: IntGaugeVec,
    ready: IntGauge,
    failing: IntGaugeVec,
    file_bytes: IntGaugeVec,
    disk_free: IntGaugeVec,
    disk_size: IntGaugeVec,
    queue_used: IntGauge,
    queue_limit: IntGauge,
    process: ProcessMetrics,
    /// Held while all is looked up: two scrapes at once would count processor time twice.
    kept: Mutex<Vec<Kept>>,
}

impl StandingMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        let parts = Part::ALL.map(Part::as_str);
        Ok(Self {
            info: make.info(
                "Always 1. version: of hikyaku; queue: sqlite, rabbitmq; store: sqlite, postgresql; role: all, ingest, worker.",
                &["version", "queue", "store", "role"],
            )?,
            ready: make.gauge("ready", "1 while /readyz answers 200, 0 while it tells reasons.")?,
            failing: make.gauges(
                "part_failing",
                &format!("1 while a part does not do its work; /readyz says why, of the history /v1/status. part: {}.", parts.join(", ")),
                "part",
                &parts,
            )?,
            file_bytes: make.gauges(
                "file_bytes",
                "Size of a file of this process, its -wal included. file: queue, store, history (those on this machine).",
                "file",
                &[],
            )?,
            disk_free: make.gauges(
                "disk_free_bytes",
                "Room on the disk that a file of this process lies on, for who is not root. file: as file_bytes.",
                "file",
                &[],
            )?,
            disk_size: make.gauges("disk_size_bytes", "Size of that disk. file: as file_bytes.", "file", &[])?,
            queue_used: make.gauge("queue_used_bytes", "What the queue's file holds; 0 with RabbitMQ.")?,
            queue_limit: make.gauge("queue_limit_bytes", "What it may hold (queue.bytes_max); 0: without a limit.")?,
            process: ProcessMetrics::new(make)?,
            kept: Mutex::new(Vec::new()),
        })
    }

    /// Looks up what a scrape is to tell.
    pub(super) fn look(&self) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for file in kept.iter() {
            let label = [file.name];
            self.file_bytes.with_label_values(&label).set(to_i64(bytes_of(&file.path)));
            // A disk that cannot be asked keeps what it said last.
            if let Ok(disk) = rustix::fs::statvfs(folder_of(&file.path)) {
                let bytes = |blocks: u64| to_i64(blocks.saturating_mul(disk.f_frsize));
                self.disk_free.with_label_values(&label).set(bytes(disk.f_bavail));
                self.disk_size.with_label_values(&label).set(bytes(disk.f_blocks));
            }
        }
        self.process.look();
    }
}

/// A file of SQLite's and its `-wal`, which has what is not in the file yet.
fn bytes_of(path: &Path) -> u64 {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    bytes(path) + bytes(Path::new(&wal))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Telemetry {
    /// What this process runs as.
    pub fn runs_as(&self, identity: Identity) {
        let Identity { queue, store, role } = identity;
        self.metrics.standing.info.with_label_values(&[env!("CARGO_PKG_VERSION"), queue, store, role]).set(1);
    }

    /// The file `path` is this process's; its size and the room on its disk are told from now on.
    pub fn keeps(&self, name: &'static str, path: &Path) {
        let mut kept = self.metrics.standing.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|file| file.name != name);
        kept.push(Kept { name, path: path.to_owned() });
    }

    /// Whether the process is ready, and which parts of it fail; all others do not.
    pub fn stands(&self, is_ready: bool, failing: &[Part]) {
        self.metrics.standing.ready.set(i64::from(is_ready));
        for part in Part::ALL {
            let gauge = self.metrics.standing.failing.with_label_values(&[part.as_str()]);
            gauge.set(i64::from(failing.contains(&part)));
        }
    }

    /// What the queue's file holds, and what it may hold.
    pub fn queue_file_measured(&self, bytes: u64, bytes_max: Option<u64>) {
        self.metrics.standing.queue_used.set(to_i64(bytes));
        self.metrics.standing.queue_limit.set(to_i64(bytes_max.unwrap_or(0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, series: &str) -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    #[test]
    fn what_a_process_runs_as_stands_in_labels() {
        let telemetry = Telemetry::shared().expect("metrics");
        telemetry.runs_as(Identity { queue: "rabbitmq", store: "postgresql", role: "worker" });
        let version = env!("CARGO_PKG_VERSION");
        // In the order of their names, as Prometheus' library writes them.
        let line =
            format!("hikyaku_info{{queue=\"rabbitmq\",role=\"worker\",store=\"postgresql\",version=\"{version}\"}}");
        assert_eq!(value(&telemetry.render(), &line), Some(1.0), "{}", telemetry.render());
    }

    #[test]
    fn only_the_parts_that_are_told_fail() {
        let telemetry = Telemetry::shared().expect("metrics");
        telemetry.stands(false, &[Part::Queue, Part::Latest]);
        telemetry.stands(false, &[Part::Latest]);
        let text = telemetry.render();
        let failing = |part: &str| value(&text, &format!("hikyaku_part_failing{{part=\"{part}\"}}"));
        assert_eq!([failing("queue"), failing("webhooks"), failing("latest")], [Some(0.0), Some(0.0), Some(1.0)]);
        assert_eq!(value(&text, "hikyaku_ready"), Some(0.0));
        telemetry.stands(true, &[]);
        assert_eq!(value(&telemetry.render(), "hikyaku_ready"), Some(1.0));
    }

    #[test]
    fn a_scrape_tells_how_large_a_file_is_and_what_room_its_disk_has() {
        let telemetry = Telemetry::shared().expect("metrics");
        assert!(!telemetry.render().contains("hikyaku_disk_free_bytes{"), "there is no file to tell of");
        let folder = tempfile::tempdir().expect("a folder");
        telemetry.keeps("store", &folder.path().join("store.db"));
        assert_eq!(value(&telemetry.render(), "hikyaku_file_bytes{file=\"store\"}"), Some(0.0));
        std::fs::write(folder.path().join("store.db"), [0; 1000]).expect("written");
        std::fs::write(folder.path().join("store.db-wal"), [0; 500]).expect("written");
        let text = telemetry.render();
        assert_eq!(value(&text, "hikyaku_file_bytes{file=\"store\"}"), Some(1500.0));
        let [free, size] = ["free", "size"]
            .map(|what| value(&text, &format!("hikyaku_disk_{what}_bytes{{file=\"store\"}}")).expect("it is told"));
        assert!(free > 0.0 && free < size && size > 1e6, "{free} of {size} bytes are free");
    }
}
