//! The unit, read by systemd's own tools, and the program as a service of Type=notify, with this test in systemd's place.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::support::{PATIENCE, PROGRAM, Running, path, program, run, said, text};

const UNIT: &str = "deploy/systemd/hikyaku.service";

#[test]
fn the_unit_exposes_no_more_than_two_of_ten() {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--no-pager", "--offline=true", "--threshold=20"]).arg(path(UNIT));
    let told = run(&mut analyze);
    let words = said(&told);
    assert!(words.contains("Overall exposure level for hikyaku.service: "), "{words}");
    assert!(told.status.success(), "{words}");
}

#[test]
fn systemd_finds_no_mistake_in_the_unit() {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("hikyaku.service");
    // What is not installed here would be one.
    std::fs::write(&unit, text(UNIT).replace("/usr/bin/hikyaku", PROGRAM)).expect("written");
    let told = run(Command::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).arg(unit));
    assert!(told.status.success() && said(&told).is_empty(), "{}", said(&told));
}

/// A socket in systemd's place.
struct Listener {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Listener {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Self { folder, socket }
    }

    /// The program, watched over from here, with these settings.
    fn started(&self, settings: &str) -> Running {
        let settings = format!("server.listen = \"127.0.0.1:0\"\n{settings}");
        std::fs::write(self.folder.path().join("hikyaku.toml"), settings).expect("written");
        let mut command = program(self.folder.path(), &["serve"]);
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify")).env("WATCHDOG_USEC", "600000");
        Running(command.spawn().expect("it starts"))
    }

    /// What is told next.
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("waited in vain for the program to tell something");
        String::from_utf8(bytes[..length].to_vec()).expect("UTF-8")
    }

    /// What is told next that begins with `word`.
    fn until(&self, word: &str) -> String {
        loop {
            let told = self.next();
            if told.starts_with(word) {
                return told;
            }
        }
    }
}

#[test]
fn as_a_service_it_tells_that_it_is_ready_lives_and_goes() {
    let listener = Listener::new();
    let mut running = listener.started("");
    assert_eq!(listener.next(), "READY=1\nSTATUS=ready");
    for _ in 0..3 {
        assert_eq!(listener.next(), "WATCHDOG=1");
    }
    running.signal("TERM");
    let told = listener.until("STOPPING=1");
    // The grace of 15 s and what stopping takes beside it.
    assert_eq!(told, "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000\nSTATUS=finishing what is in flight");
    assert_eq!(running.ended(), Some(0));
}

#[test]
fn the_settings_that_the_package_brings_are_enough_to_start() {
    let listener = Listener::new();
    let settings = path("deploy/debian/hikyaku.toml");
    let mut command = program(listener.folder.path(), &["--config", settings.to_str().expect("UTF-8"), "serve"]);
    // Where those are that it names is for root to make.
    command.env("HIKYAKU__SERVER__LISTEN", "127.0.0.1:0").env("HIKYAKU__QUEUE__URL", "sqlite:queue.db");
    command.env("HIKYAKU__STORE__URL", "sqlite:store.db").env("NOTIFY_SOCKET", listener.folder.path().join("notify"));
    let _running = Running(command.spawn().expect("it starts"));
    assert_eq!(listener.next(), "READY=1\nSTATUS=ready");
}

#[test]
fn while_its_queue_is_away_it_tells_that_it_is_up_and_what_it_waits_for() {
    let listener = Listener::new();
    // Nobody listens on port 1.
    let _running = listener.started("queue.url = \"amqp://127.0.0.1:1\"\nqueue.single_host = true\n");
    let told = listener.next();
    assert!(told.starts_with("READY=1\nSTATUS=not ready: ") && told.contains("RabbitMQ"), "{told}");
    assert_eq!(listener.next(), "WATCHDOG=1");
}
