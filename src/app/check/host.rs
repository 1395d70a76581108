//! This machine: the settings file's own rights, open files, and the addresses that are listened on.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Resource;
use tokio::net::TcpListener;

use super::running;
use crate::app::serve;
use crate::cli::Finding;
use crate::config::Settings;

const ABOUT: &str = "address";

/// The settings, which are read without a problem, and their file, if there is one.
pub(super) fn settings(settings: &Settings, file: Option<&Path>) -> Vec<Finding> {
    const ABOUT: &str = "settings";
    let mut findings = Vec::new();
    match file {
        Some(file) => {
            findings.push(Finding::ok(ABOUT, format!("{} can be used", file.display())));
            findings.extend(of_file(ABOUT, settings, file));
        }
        None => findings.push(
            Finding::ok(ABOUT, "there is no hikyaku.toml in this folder, so defaults and variables count")
                .hint("is this the folder that hikyaku is started in? --config names a file elsewhere"),
        ),
    }
    if let Some(why) = settings.server.is_open() {
        findings.push(Finding::error(ABOUT, why, "without a token `hikyaku serve` does not start"));
    }
    for (webhook, why) in serve::doubtful_types(settings) {
        findings.push(Finding::warning(
            ABOUT,
            format!("the webhook {webhook}: {why}"),
            "mend its `on`, unless it is meant so",
        ));
    }
    findings
}

fn of_file(about: &'static str, settings: &Settings, file: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    let path = file.display();
    if mode & 0o002 != 0 {
        let what = format!("{path} can be changed by everyone on this machine");
        return Some(Finding::error(about, what, format!("`chmod o-w {path}`")));
    }
    (mode & 0o004 != 0 && holds_secrets(settings)).then(|| {
        let what = format!("{path} can be read by everyone on this machine, and there are secrets in the settings");
        Finding::warning(about, what, format!("`chmod o-rwx {path}`, with hikyaku's user or group as its owner"))
    })
}

/// Whether somebody who knows the settings can do what others cannot. A token that is only there as its hash is known to
/// nobody, but that cannot be seen here.
fn holds_secrets(settings: &Settings) -> bool {
    let misskey = &settings.misskey;
    settings.queue.url.file().is_none()
        || settings.store.url.file().is_none()
        || !settings.server.operators().is_empty()
        || settings.store.seals.current.is_some()
        || misskey.token.is_some()
        || !misskey.ingest.is_empty()
        || !settings.webhooks.is_empty()
}

/// Whether as many files may be open as `serve` may need.
pub(super) fn open_files(settings: &Settings) -> Finding {
    const ABOUT: &str = "files";
    let needed = serve::files_needed(settings.delivery.concurrency);
    match rustix::process::getrlimit(Resource::Nofile).maximum.filter(|maximum| *maximum < needed) {
        None => Finding::ok(ABOUT, format!("{needed} files may be open, as delivery.concurrency needs")),
        Some(maximum) => Finding::warning(
            ABOUT,
            format!(
                "{maximum} files may be open, and with delivery.concurrency = {} hikyaku may need {needed}: deliveries would be put \
                 off for want of connections",
                settings.delivery.concurrency
            ),
            format!(
                "set LimitNOFILE={needed} in its systemd unit (`ulimit -Hn` elsewhere), or lower delivery.concurrency"
            ),
        ),
    }
}

/// Whether what is to be listened on is free, or listened on by a hikyaku.
pub(super) async fn listening(settings: &Settings, listen: Option<SocketAddr>) -> Vec<Finding> {
    let health = running::address(&settings.server, listen);
    let mut findings = vec![of_address("server.listen", listen.unwrap_or(settings.server.listen), health).await];
    if let Some(metrics) = settings.server.metrics_listen {
        findings.push(of_address("server.metrics_listen", metrics, health).await);
    }
    findings
}

async fn of_address(name: &str, address: SocketAddr, health: SocketAddr) -> Finding {
    let what = format!("{name} = {address}");
    let error = match TcpListener::bind(address).await {
        Ok(_) => return Finding::ok(ABOUT, format!("{what} is free: hikyaku is not running there")),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::AddrInUse => of_running(what, address, health).await,
        ErrorKind::PermissionDenied => Finding::error(
            ABOUT,
            format!("{what} may not be listened on: {error}"),
            "take a port from 1024 on, or let the unit have AmbientCapabilities=CAP_NET_BIND_SERVICE",
        ),
        ErrorKind::AddrNotAvailable => Finding::error(
            ABOUT,
            format!("{what} is no address of this machine: {error}"),
            "`ip address` shows those that there are; 0.0.0.0 is all of them",
        ),
        _ => Finding::error(ABOUT, format!("{what} cannot be listened on: {error}"), "set another address"),
    }
}

/// Of whoever listens on `address`: whether it is a hikyaku, and has what it needs.
async fn of_running(what: String, address: SocketAddr, health: SocketAddr) -> Finding {
    let Some(failing) = running::failing(health).await else {
        return Finding::error(
            ABOUT,
            format!("{what} is taken, and not by a hikyaku that tells its health"),
            format!("`ss -ltnp 'sport = :{}'` shows by whom; stop that, or set another address", address.port()),
        );
    };
    if failing.is_empty() {
        return Finding::ok(ABOUT, format!("{what}: a hikyaku listens there"));
    }
    Finding::error(
        ABOUT,
        format!("{what}: a hikyaku listens there, and has trouble with {}", failing.join(", ")),
        "its log and `hikyaku status --url` say why; docs/RUNBOOK.md has what to do",
    )
}
