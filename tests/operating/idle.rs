//! What a hikyaku costs that has nothing to do: memory, and being woken for nothing. Bounds for a debug program on a busy machine;
//! `tests/measure` measures a release program.

use std::path::PathBuf;
use std::time::Duration;

use crate::servers::broker;
use crate::support::program::{Home, Program, until};

/// How long it is watched. A process that is woken by clocks can only be seen to be by waiting.
const WATCHED: Duration = Duration::from_secs(5);
/// How often its threads may be woken in a second, all together: over a file it is some twenty times, and one loop that looks each
/// 10 ms is a hundred. On RabbitMQ, which is asked each two seconds how many messages lie in each queue, it is some hundred.
const WAKES_PER_S_MAX: u64 = 80;
const WAKES_PER_S_MAX_ON_RABBITMQ: u64 = 250;
/// Processor time while it is watched; the system counts in hundredths of a second.
const TICKS_MAX: u64 = 25;
/// Memory that is its own, not of its file: it is 5 and 7 MB; with huge pages of the system, which are 2 MiB each, 17 and 50.
const OWN_KIB_MAX: u64 = 14 * 1024;

/// How often the threads of `program` have been put to sleep so far.
fn wakes(program: &Program) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", program.id())).expect("its threads");
    let of_task = |task: PathBuf| {
        let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    tasks.map(|task| of_task(task.expect("a thread").path())).sum()
}

/// The processor time of `program` so far, in hundredths of a second.
fn ticks(program: &Program) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.id())).expect("it runs");
    let (_, after_name) = stat.rsplit_once(')').expect("a name");
    // proc(5): utime and stime are the 14th and 15th; the state behind the name is the third.
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// Memory of `program` that no file backs, in KiB.
fn own_kib(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux 4.5");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

async fn is_idle(home: &Home, wakes_per_s_max: u64) {
    let program = home.serve().await;
    until("it is ready", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
    let (wakes_before, ticks_before) = (wakes(&program), ticks(&program));
    tokio::time::sleep(WATCHED).await;
    let woken = (wakes(&program) - wakes_before) / WATCHED.as_secs();
    let (spent, own) = (ticks(&program) - ticks_before, own_kib(&program));
    assert!(woken <= wakes_per_s_max, "its threads are woken {woken} times a second");
    assert!(spent <= TICKS_MAX, "it spent {spent} hundredths of a second within {WATCHED:?}");
    assert!(own <= OWN_KIB_MAX, "it has {own} KiB of its own");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nothing_to_do_it_needs_little_memory_and_is_seldom_woken() {
    is_idle(&Home::new(""), WAKES_PER_S_MAX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nothing_to_do_on_rabbitmq_it_needs_little_memory_and_is_seldom_woken() {
    let queue =
        format!("queue.url = \"{}\"\nqueue.prefix = \"idle.\"\nqueue.single_host = true\n", broker().await.url());
    is_idle(&Home::new(&queue), WAKES_PER_S_MAX_ON_RABBITMQ).await;
}
