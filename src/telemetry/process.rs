//! What this process uses of the machine, by `/proc` (proc(5)), under the names that Prometheus' own client libraries use.
//!
//! Looked up at each scrape: two small files and a folder of the kernel's. Where there is no `/proc`, the numbers stay 0.

use prometheus::{Counter, Gauge, IntGauge};

use super::maker::Maker;
use super::to_i64;

pub(super) struct ProcessMetrics {
    processor: Counter,
    resident: IntGauge,
    threads: IntGauge,
    files_open: IntGauge,
    files_max: IntGauge,
    started: Gauge,
    /// When the machine was started, in seconds since 1970: it does not change.
    booted: Option<f64>,
}

impl ProcessMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            processor: make.of_process_counter(
                "cpu_seconds_total",
                "Processor time of this process, in user mode and in the kernel, of all its threads.",
            )?,
            resident: make.of_process_gauge("resident_memory_bytes", "Memory of this process that is in use.")?,
            threads: make.of_process_gauge("threads", "Threads of this process.")?,
            files_open: make.of_process_gauge("open_fds", "File descriptors that this process has open.")?,
            files_max: make.of_process_gauge("max_fds", "File descriptors that the system lets this process have.")?,
            started: make
                .of_process_seconds("start_time_seconds", "When this process was started, in seconds since 1970.")?,
            booted: std::fs::read_to_string("/proc/stat").ok().and_then(|text| booted(&text)),
        })
    }

    /// Looks everything up.
    pub(super) fn look(&self) {
        if let Some(stat) = std::fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::of(&text)) {
            let seconds = |ticks: u64| ticks as f64 / rustix::param::clock_ticks_per_second().max(1) as f64;
            self.processor.inc_by((seconds(stat.processor_ticks) - self.processor.get()).max(0.0));
            self.resident.set(to_i64(stat.resident_pages.saturating_mul(rustix::param::page_size() as u64)));
            self.threads.set(to_i64(stat.threads));
            self.started.set(self.booted.unwrap_or_default() + seconds(stat.started_ticks));
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            // The one that reads the folder is there for that moment only.
            self.files_open.set(to_i64((entries.count() as u64).saturating_sub(1)));
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        self.files_max.set(limit.map_or(i64::MAX, to_i64));
    }
}

/// What `/proc/<pid>/stat` tells.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    processor_ticks: u64,
    threads: u64,
    started_ticks: u64,
    resident_pages: u64,
}

impl Stat {
    /// The fields are numbered as in proc(5). The second is the program's name in brackets, which may hold anything.
    fn of(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            processor_ticks: field(14)?.saturating_add(field(15)?),
            threads: field(20)?,
            started_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

/// `btime` of `/proc/stat`.
fn booted(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    #[test]
    fn each_number_is_found_behind_whatever_name_a_program_has() {
        let stat =
            "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 700 55 6 7 20 0 9 0 12345 1000000 321 18446744073709551615 1";
        let expected = Stat { processor_ticks: 755, threads: 9, started_ticks: 12345, resident_pages: 321 };
        assert_eq!(Stat::of(stat), Some(expected));
        assert_eq!(Stat::of("42 (a) S 1 42"), None);
        assert_eq!(booted("cpu  1 2\nbtime 1774960000\nprocesses 9\n"), Some(1_774_960_000.0));
    }

    #[test]
    fn a_scrape_tells_what_this_very_process_uses() {
        let telemetry = Telemetry::shared().expect("metrics");
        let value = |name: &str| -> f64 {
            let text = telemetry.render();
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned);
            line.unwrap_or_else(|| panic!("{name} is missing:\n{text}")).parse().expect("a number")
        };
        let megabytes = value("process_resident_memory_bytes") / 1e6;
        assert!((1.0..10_000.0).contains(&megabytes), "{megabytes} MB");
        let before = value("process_open_fds");
        let held: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/stat").expect("opened")).collect();
        // Other tests of this process open and close theirs meanwhile.
        assert!(value("process_open_fds") > before + 10.0, "{} files more than {before}", held.len());
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_start_time_seconds") > 1.7e9, "after 2023, not since the machine's start");
        let (first, mut sum) = (value("process_cpu_seconds_total"), 0_u64);
        let began = std::time::Instant::now();
        while value("process_cpu_seconds_total") <= first {
            assert!(began.elapsed() < std::time::Duration::from_secs(60), "a busy loop takes no time: {sum}");
            sum = (0..100_000).fold(sum, u64::wrapping_add);
        }
    }
}
