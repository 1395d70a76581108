//! The history's disk alone cannot be written: it is full, or mounted to be read. Really, by a small file system that only the
//! program sees (`unshare`, `nsenter`); queue and store lie elsewhere.

use std::path::PathBuf;

use tokio::process::Command;

use super::recorded::until_states;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program, declared, events, until};

/// Makes the small file system, with the history on it and a file that takes nearly all the room, and stays where it is seen.
fn small_disk(more: &str) -> String {
    format!(
        "exec unshare --user --map-root-user --mount sh -c 'set -e; mkdir -p small; mount -t tmpfs -o size=8m tmpfs small; \
         ln -sf small/history.db history.db; head -c 8000000 /dev/zero >small/filler; {more} exec \"$HIKYAKU\" serve'; true"
    )
}

/// The small file system as the program sees it.
fn filler(home: &Home, program: &Program) -> PathBuf {
    let below_root = home.path("small/filler");
    let below_root = below_root.strip_prefix("/").expect("a whole path");
    PathBuf::from(format!("/proc/{}/root", program.id())).join(below_root)
}

/// Mounts the small file system anew, by `option`.
async fn remount(home: &Home, program: &Program, option: &str) {
    let small = home.path("small");
    let id = program.id().to_string();
    let mut command = Command::new("nsenter");
    command.args(["--target", &id, "--user", "--mount", "--preserve-credentials", "mount", "-o"]);
    let done = command.arg(format!("remount,{option}")).arg(small).status().await.expect("nsenter");
    assert!(done.success(), "{done}");
}

/// Publishes `count` events, and waits until each is delivered.
async fn delivered(program: &Program, name: &str, count: usize, together: f64) {
    assert_eq!(program.post(events("note", name, count)).await.0, 200);
    program.metric_is("hikyaku_deliveries_total{result=\"delivered\"}", together).await;
    assert_eq!(program.get("/readyz").await.0, 200, "a worker that delivers is ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_historys_disk_is_full_deliveries_go_on_and_once_there_is_room_it_is_written() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let mut program = home.serve_after(&small_disk("")).await;

    delivered(&program, "e", 2000, 2000.0).await;

    let line = program.line("falls behind").await;
    assert!(line.contains("history.db") && line.contains("cannot be written") && line.contains("Free space"), "{line}");
    std::fs::remove_file(filler(&home, &program)).expect("room");
    program.line("is written again; 0 entries are missing").await;
    until("the history has all of them", async || {
        let held = program.metric("hikyaku_history_deliveries").await;
        (held >= 2000.0).then_some(())
    })
    .await;
    assert_eq!(receiver.book().repeats(), 0);
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_historys_disk_is_read_only_deliveries_go_on_and_once_it_is_not_the_history_is_written() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let mut program = home.serve_after(&small_disk("rm small/filler; mount -o remount,ro small;")).await;
    let line = program.line("falls behind").await;
    assert!(line.contains("history.db") && line.contains("hikyaku may read and write there"), "{line}");

    delivered(&program, "e", 20, 20.0).await;

    remount(&home, &program, "rw").await;
    until_states(&program, 20, 0).await;
    program.line("is written again; 0 entries are missing").await;
    program.stop().await;
}
