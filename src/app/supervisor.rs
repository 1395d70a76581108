//! Tells systemd, or whoever else started the process and listens, how it is: ready, reloading, on its way out, alive, and in words.
//!
//! The protocol is that of sd_notify(3): a datagram of lines `NAME=value` to the unix socket that `NOTIFY_SOCKET` names, a path or, after
//! `@`, an abstract name. `WATCHDOG_USEC` says within what time it must be told that the process lives. Without these variables
//! nobody listens, and nothing is told or asked here.
//!
//! Telling never waits: who does not take a datagram at once misses it. That the process lives is told only after its delivery loop has answered
//! ([`Pulse`]), so one that hangs is restarted; and that it is ready at the latest [`READY_WAIT_MAX`] after it listens, whatever the
//! queue and the store do: what is away is waited for by the process itself, and a restart would mend nothing
//! (docs/decisions/0036).

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::api::Readiness;
use crate::deliver::Pulse;
use crate::telemetry::SharedTelemetry;

/// How long being ready is waited for before it is told that the process is up all the same: a broker answers within a second, and
/// systemd gives a service 90 s.
const READY_WAIT_MAX: Duration = Duration::from_secs(3);
/// How often it is looked whether the process is ready, until it is.
const READY_LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often the words are looked after where nobody asks for signs of life.
const WORDS_EVERY: Duration = Duration::from_secs(10);
/// Signs of life within the time in which one must come, so that one may be missed.
const SIGNS_PER_LIMIT: u32 = 3;
/// Bytes of the words; a line of `systemctl status` or two.
const WORDS_BYTES_MAX: usize = 400;

/// Who watches over the process.
#[derive(Clone, Debug, Default)]
pub(super) struct Supervisor {
    place: Option<Arc<Place>>,
    /// Within what time it must be told that the process lives.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Place {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Supervisor {
    /// Whom the variables of the process name; nobody, when they name nobody.
    ///
    /// # Errors
    /// Why nobody can be told anything, in words.
    pub(super) fn of_process() -> Result<Self, String> {
        Self::of(|name| std::env::var_os(name), std::process::id())
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>, process: u32) -> Result<Self, String> {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Ok(Self::default()) };
        let why = |error: std::io::Error| format!("NOTIFY_SOCKET is {name:?}, and nothing can be told there: {error}");
        let address = match name.as_bytes() {
            [b'@', abstract_name @ ..] => abstract_address(abstract_name),
            [b'/', ..] => SocketAddr::from_pathname(&name),
            _ => Err(std::io::Error::other("it is neither a path nor, after @, an abstract name")),
        };
        let address = address.map_err(why)?;
        let socket = UnixDatagram::unbound().map_err(why)?;
        socket.set_nonblocking(true).map_err(why)?;
        let number = |name: &str| variable(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
        // The limit is for the process that it names, which may be one before us.
        let is_ours = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(u64::from(process));
        let watchdog = number("WATCHDOG_USEC").filter(|limit| is_ours && *limit > 0).map(Duration::from_micros);
        Ok(Self { place: Some(Arc::new(Place { socket, address })), watchdog })
    }

    /// The process is up; `words` say how it is.
    pub(super) fn ready(&self, words: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(words)));
    }

    /// The process reads its settings again; afterwards it is [`Self::ready`].
    pub(super) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the settings again"));
    }

    /// The process is on its way out, which takes at most `limit`: systemd gives it that, whatever its unit says.
    pub(super) fn stopping(&self, limit: Duration) {
        let micros = limit.as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}\nSTATUS=finishing what is in flight"));
    }

    fn tell(&self, lines: &str) {
        if let Some(place) = &self.place {
            // Nobody there, or no room: whoever watches notices that by himself.
            let _not_heard = place.socket.send_to_addr(lines.as_bytes(), &place.address);
        }
    }

    fn sign_every(&self) -> Duration {
        self.watchdog.map_or(WORDS_EVERY, |limit| limit / SIGNS_PER_LIMIT)
    }

    /// Watched over while the store is waited for. Never ends.
    pub(super) async fn while_waiting(&self) {
        sleep(READY_WAIT_MAX).await;
        self.ready("waiting for the store; until it answers, every request gets 503");
        let mut ticks = ticks(self.sign_every());
        while self.watchdog.is_some() {
            ticks.tick().await;
            self.tell("WATCHDOG=1");
        }
        std::future::pending().await
    }

    /// Tells how the process is until what is returned is dropped.
    pub(super) fn watch(&self, watched: Watched) -> JoinSet<()> {
        let mut watching = JoinSet::new();
        if self.place.is_some() {
            watching.spawn(watch(self.clone(), watched));
        }
        watching
    }
}

/// What is watched over.
pub(super) struct Watched {
    pub(super) readiness: Arc<Readiness>,
    /// Of the delivery loop; none: this process has none.
    pub(super) pulse: Option<Pulse>,
    pub(super) telemetry: SharedTelemetry,
}

impl Watched {
    /// How the process is.
    pub(super) fn words(&self) -> String {
        match self.readiness.reasons().as_slice() {
            [] => "ready".to_owned(),
            reasons => format!("not ready: {}", reasons.join("; ")),
        }
    }

    /// Waits until the delivery loop has shown that it lives, and says so when that takes long.
    async fn lives(&self, patience: Duration) {
        let Some(pulse) = &self.pulse else { return };
        if timeout(patience, pulse.felt()).await.is_ok() {
            return;
        }
        let began = Instant::now();
        self.telemetry.delivery_stuck(patience);
        pulse.felt().await;
        self.telemetry.delivery_goes_on(patience + began.elapsed());
    }
}

async fn watch(supervisor: Supervisor, watched: Watched) {
    let is_ready = async {
        while !watched.readiness.reasons().is_empty() {
            sleep(READY_LOOK_EVERY).await;
        }
    };
    let _ready_or_not = timeout(READY_WAIT_MAX, is_ready).await;
    let mut told = watched.words();
    supervisor.ready(&told);
    let every = supervisor.sign_every();
    let mut ticks = ticks(every);
    loop {
        ticks.tick().await;
        if supervisor.watchdog.is_some() {
            watched.lives(every).await;
            supervisor.tell("WATCHDOG=1");
        }
        let words = watched.words();
        if words != told {
            supervisor.tell(&format!("STATUS={}", one_line(&words)));
            told = words;
        }
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// `words` without line breaks, which would end the line, and no longer than is shown.
fn one_line(words: &str) -> String {
    let mut line = words.replace(char::is_control, " ");
    line.truncate(line.floor_char_boundary(WORDS_BYTES_MAX));
    line
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> std::io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_name: &[u8]) -> std::io::Result<SocketAddr> {
    Err(std::io::Error::other("abstract names are Linux's"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::app::service::Service;
    use crate::config::Settings;
    use crate::decide::Step;
    use crate::deliver::Observer;
    use crate::model::{Delivery, Event};

    /// How long anything may take on a busy machine before its test has failed.
    const LONGEST: Duration = Duration::from_secs(30);

    fn of(variables: &[(&str, &str)]) -> Result<Supervisor, String> {
        let find = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| OsString::from(value));
        Supervisor::of(find, 7)
    }

    /// A socket at a path, and what is told there.
    fn heard(name: &str, listener: &UnixDatagram, tell: impl FnOnce(&Supervisor)) -> String {
        listener.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        tell(&of(&[("NOTIFY_SOCKET", name)]).expect("a supervisor"));
        let mut bytes = [0; 1024];
        let length = listener.recv(&mut bytes).expect("something is told");
        String::from_utf8(bytes[..length].to_vec()).expect("UTF-8")
    }

    #[test]
    fn it_is_told_at_a_path_and_under_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).expect("bound");
        let words = heard(path.to_str().expect("UTF-8"), &listener, |supervisor| supervisor.ready("ready"));
        assert_eq!(words, "READY=1\nSTATUS=ready");

        let name = format!("hikyaku-{}", std::process::id());
        let address = abstract_address(name.as_bytes()).expect("an address");
        let listener = UnixDatagram::bind_addr(&address).expect("bound");
        let words = heard(&format!("@{name}"), &listener, Supervisor::reloading);
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec;
        let micros = words.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.split('\n').next());
        let told: i64 = micros.expect("the time").parse().expect("a number");
        assert!((told / 1_000_000 - now).abs() < 60, "{words}");
    }

    #[test]
    fn what_is_told_stays_one_line_and_short() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).expect("bound");
        let long = format!("a\nWATCHDOG=1 {}", "ü".repeat(1000));
        let words = heard(path.to_str().expect("UTF-8"), &listener, |supervisor| supervisor.ready(&long));
        assert!(words.starts_with("READY=1\nSTATUS=a WATCHDOG=1 ü") && words.len() <= 16 + WORDS_BYTES_MAX, "{words}");
    }

    #[test]
    fn without_a_name_nobody_is_told_and_a_wrong_one_is_said_in_words() {
        assert!(of(&[]).expect("nobody").place.is_none());
        assert!(of(&[("NOTIFY_SOCKET", "")]).expect("nobody").place.is_none());
        let error = of(&[("NOTIFY_SOCKET", "vsock:2:1234")]).expect_err("not understood");
        assert!(error.contains("vsock:2:1234") && error.contains("neither a path"), "{error}");
        // Whoever is not there any more is no trouble.
        of(&[("NOTIFY_SOCKET", "/nowhere/at/all")]).expect("a supervisor").ready("ready");
    }

    #[test]
    fn the_watchdogs_limit_counts_for_the_process_that_it_names() {
        let limit = |variables: &[(&str, &str)]| {
            let both = [variables, &[("NOTIFY_SOCKET", "/a")]].concat();
            of(&both).expect("a supervisor").watchdog
        };
        let usec = ("WATCHDOG_USEC", "30000000");
        assert_eq!(limit(&[usec]), Some(Duration::from_secs(30)));
        assert_eq!(limit(&[usec, ("WATCHDOG_PID", "7")]), Some(Duration::from_secs(30)));
        for none in
            [vec![usec, ("WATCHDOG_PID", "8")], vec![("WATCHDOG_USEC", "0")], vec![("WATCHDOG_USEC", "x")], vec![]]
        {
            assert_eq!(limit(&none), None, "{none:?}");
        }
    }

    /// Holds the delivery loop where it tells of a delivery, until it is let go.
    #[derive(Debug)]
    struct Holding {
        held: SyncSender<()>,
        go: Mutex<Receiver<()>>,
    }

    impl Observer for Holding {
        fn settled(&self, _event: &Event, _delivery: &Delivery, _step: &Step) {
            let _nobody_waits = self.held.send(());
            let _let_go = self.go.lock().expect("not poisoned").recv();
        }
    }

    /// Answers each connection's first request with 200.
    async fn receiver() -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = [0; 4096];
                let _request = stream.read(&mut bytes).await;
                let _answered =
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            }
        });
        address
    }

    fn next(listener: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 1024];
        let length = listener.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).expect("UTF-8"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn while_the_delivery_loop_hangs_no_sign_of_life_is_given_and_afterwards_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).expect("bound");
        listener.set_read_timeout(Some(LONGEST)).expect("a limit");
        let written = format!(
            "server.listen = \"127.0.0.1:0\"\nqueue.url = \"sqlite:{0}/queue.db\"\nstore.url = \"sqlite:{0}/store.db\"\n\
             delivery.allowed_private_networks = [\"127.0.0.1/32\"]\n\
             [[webhooks]]\nid = \"hook\"\nurl = \"http://{1}/\"\non = [\"note\"]\n",
            folder.path().display(),
            receiver().await
        );
        let file = folder.path().join("hikyaku.toml");
        std::fs::write(&file, written).expect("written");
        let settings = Settings::load(Some(&file), []).expect("settings");
        let ((held, is_held), (go, let_go)) = (sync_channel(1), sync_channel(1));
        let observer = Arc::new(Holding { held, go: Mutex::new(let_go) });
        let service = Service::start(settings, Some(observer)).await.expect("started");

        let path = path.to_str().expect("UTF-8");
        let supervisor = of(&[("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "300000")]).expect("a supervisor");
        let watching = supervisor.watch(service.watched());
        assert_eq!(next(&listener).as_deref(), Some("READY=1\nSTATUS=ready"));
        assert_eq!(next(&listener).as_deref(), Some("WATCHDOG=1"));

        let event = br#"{"type":"note","body":{}}"#;
        service.ingest.offer(&[axum::body::Bytes::from_static(event)]).await.expect("stored");
        is_held.recv_timeout(LONGEST).expect("the loop is held");
        // Ten times as long as one sign takes to come; what was on its way may still.
        listener.set_read_timeout(Some(Duration::from_secs(1))).expect("a limit");
        let mut late = 0;
        while let Some(told) = next(&listener) {
            late += 1;
            assert!(late < 5, "the loop hangs, and it is told: {told}");
        }
        go.send(()).expect("the loop waits");
        listener.set_read_timeout(Some(LONGEST)).expect("a limit");
        assert_eq!(next(&listener).as_deref(), Some("WATCHDOG=1"));
        drop(watching);
        service.stop().await;
    }
}
