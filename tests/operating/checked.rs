//! `hikyaku check` on this machine: settings, files, limits, addresses, a Misskey and its clock.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Ran, TOKEN, declared, events};

/// Documented are 5 s; a machine that has other things to do gets three more.
const NOT_LONG: Duration = Duration::from_secs(8);

/// The findings of `check --json`, whatever its exit code.
pub(crate) fn findings(ran: &Ran) -> Vec<Value> {
    let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"));
    let errors = document["errors"].as_u64().expect("a number");
    assert_eq!(ran.code, Some(if errors == 0 { 0 } else { 1 }), "{ran:#?}");
    document["findings"].as_array().expect("findings").clone()
}

/// The one finding about `about` whose words hold `words`; its level, and its words with how to mend it.
#[track_caller]
pub(crate) fn found(findings: &[Value], about: &str, words: &str) -> (String, String) {
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let is_it = |finding: &&Value| text(finding, "about") == about && text(finding, "what").contains(words);
    let finding = findings.iter().find(is_it);
    let finding = finding.unwrap_or_else(|| panic!("nothing about {about} says {words:?}: {findings:#?}"));
    (text(finding, "level"), format!("{} -> {}", text(finding, "what"), text(finding, "mend")))
}

/// A home whose settings nobody else can read.
fn home(settings: &str) -> Home {
    let home = Home::new(settings);
    only_owner(&home, 0o600);
    home
}

fn only_owner(home: &Home, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(home.path("hikyaku.toml"), permissions).expect("changed");
}

fn files(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.path("")).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn before_the_first_start_nothing_is_wrong_and_nothing_is_made() {
    let home = home("queue.bytes_max = 16777216\n");

    let said = home.cli(&["check", "--strict"]).await.ok();

    assert!(said.contains("queue.db is not there, and can be made") && said.ends_with("nothing is wrong\n"), "{said}");
    assert_eq!(files(&home), ["hikyaku.toml"], "nothing is made");
}

#[tokio::test]
async fn beside_a_running_hikyaku_nothing_is_wrong_either() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let settings = format!("server.listen = \"127.0.0.1:{port}\"\nserver.admin_token = \"{TOKEN}\"\n");
    let home = Home::bare(&settings);
    only_owner(&home, 0o600);
    let program = home.serve().await;
    let before = files(&home);

    let found_here = findings(&home.cli(&["check", "--json"]).await);

    assert_eq!(found(&found_here, "address", "a hikyaku listens there").0, "ok");
    assert_eq!(found(&found_here, "store", "can be read and written").0, "ok");
    assert_eq!(files(&home), before, "nothing is made");
    program.stop().await;
}

#[tokio::test]
async fn what_a_running_hikyaku_has_trouble_with_is_told_and_it_says_itself_why() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let home = Home::bare(&format!("server.listen = \"127.0.0.1:{port}\"\nserver.admin_token = \"{TOKEN}\"\n"));
    only_owner(&home, 0o600);
    home.serve().await.stop().await;
    let history = rusqlite::Connection::open(home.path("history.db")).expect("opened");
    history.execute("UPDATE hikyaku_schema SET version = 2", ()).expect("the next step finds its tables there");
    drop(history);
    let program = home.serve().await;

    let found_here = findings(&home.cli(&["check", "--json"]).await);

    let (level, words) = found(&found_here, "address", "a hikyaku listens there");
    assert!(level == "error" && words.contains("has trouble with history"), "{words}");
    let looked = home.cli(&["status"]).await.ok();
    assert!(looked.contains("the history cannot be read") && !looked.contains("has trouble"), "told once: {looked}");
    let (status, answer) = program.operate("/v1/deliveries").await;
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert_eq!(status, 503, "{answer}");
    assert!(
        detail.contains("which is tried again all the time") && detail.contains("the step there failed"),
        "{answer}"
    );
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_running_hikyaku_cannot_write_its_history_is_told_by_status_without_a_url_too() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let settings = format!("server.listen = \"127.0.0.1:{port}\"\nserver.admin_token = \"{TOKEN}\"\n");
    let home = Home::bare(&(settings + &declared("hook", &receiver.url("/"), "note")));
    let mut program = home.serve().await;
    assert!(home.cli(&["status"]).await.ok().starts_with("all is well\n"));
    let holder = rusqlite::Connection::open(home.path("history.db")).expect("opened");
    holder.execute_batch("BEGIN EXCLUSIVE").expect("held, for whoever writes");
    assert_eq!(program.post(events("note", "e", 3)).await.0, 200);
    program.line("falls behind").await;

    let looked = home.cli(&["status"]).await.ok();

    let words = format!(
        "the hikyaku that listens at 127.0.0.1:{port} has trouble with history: `hikyaku status --url` says why"
    );
    assert!(looked.starts_with("it works, and this is worth a look:\n") && looked.contains(&words), "{looked}");
    holder.execute_batch("ROLLBACK").expect("let go");
    program.line("is written again").await;
    assert!(home.cli(&["status"]).await.ok().starts_with("all is well\n"));
    program.stop().await;
}

#[tokio::test]
async fn settings_that_are_wrong_are_findings_each() {
    let home = Home::bare("server.lissten = \"127.0.0.1:1\"\nqueue.prefetch = 7\n");
    let ran = home.cli(&["check"]).await;
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    for words in ["error    settings  hikyaku.toml: server.lissten", "queue.prefetch", "2 errors, 0 warnings"] {
        assert!(ran.stdout.contains(words), "{words}: {ran:#?}");
    }
}

#[tokio::test]
async fn settings_with_secrets_that_others_can_read_are_a_warning_and_that_others_can_change_an_error() {
    let home = home("");
    for (mode, level, words) in [(0o644, "warning", "can be read by everyone"), (0o602, "error", "can be changed by")] {
        only_owner(&home, mode);
        let found_here = findings(&home.cli(&["check", "--json"]).await);
        let (found_level, told) = found(&found_here, "settings", words);
        assert!(found_level == level && told.contains("chmod o-"), "{mode:o}: {told}");
    }
    only_owner(&home, 0o644);
    home.cli(&["check"]).await.ok();
    assert_eq!(home.cli(&["check", "--strict"]).await.code, Some(1), "a warning counts when it is to");
}

#[tokio::test]
async fn a_folder_that_is_absent_or_read_only_is_an_error_with_a_way_out() {
    let home = home("queue.url = \"sqlite:ro/queue.db\"\nstore.url = \"sqlite:absent/store.db\"\n");
    let line = "exec unshare --user --map-root-user --mount sh -c 'mkdir ro; mount -t tmpfs -o ro none ro; \
                \"$HIKYAKU\" check --json'";

    let found_here = findings(&home.shell(line).await);

    let (level, told) = found(&found_here, "queue", "cannot be written");
    assert!(level == "error" && told.contains("Read-only file system") && told.contains("mount it anew"), "{told}");
    let (level, told) = found(&found_here, "store", "absent cannot be read");
    assert!(level == "error" && told.contains("make the folder"), "{told}");
}

#[tokio::test]
async fn a_file_of_another_user_is_told_to_who_may_do_more_or_less_than_that_user() {
    let home = home("");
    home.write("queue.db", "");
    if std::os::unix::fs::chown(home.path("queue.db"), Some(12_345), None).is_err() {
        // Who is not root has files of root's at hand.
        std::fs::remove_file(home.path("queue.db")).expect("removed");
        std::os::unix::fs::symlink("/etc/hostname", home.path("queue.db")).expect("linked");
    }

    let found_here = findings(&home.cli(&["check", "--json"]).await);

    let (level, told) = found(&found_here, "queue", "belongs to the user");
    assert!(level == "warning" && told.contains("run it as the user that hikyaku runs as"), "{told}");
}

#[tokio::test]
async fn files_of_a_newer_hikyaku_are_an_error() {
    let home = home("");
    home.serve().await.stop().await;
    for (file, part) in [("queue.db", "queue"), ("store.db", "registry"), ("history.db", "history")] {
        let connection = rusqlite::Connection::open(home.path(file)).expect("opened");
        let newer = "UPDATE hikyaku_schema SET version = 99 WHERE part = ?1";
        assert_eq!(connection.execute(newer, [part]).expect("changed"), 1);
    }

    let found_here = findings(&home.cli(&["check", "--json"]).await);

    for (file, part) in [("queue.db", "queue"), ("store.db", "registry"), ("history.db", "history")] {
        let (level, told) = found(&found_here, "store", file);
        assert!(level == "error" && told.contains("docs/upgrading.md"), "{told}");
        tells_both_versions(&told, part);
    }
}

/// Checks that of `part`, whose schema is 99, it is told which one this version knows.
#[track_caller]
pub(crate) fn tells_both_versions(told: &str, part: &str) {
    let rest = told.split_once(&format!("its {part} has schema 99, this one knows ")).map(|(_, rest)| rest);
    assert!(rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit())), "{told}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error() {
    let home = home("");
    home.write("queue.db", &"this is a text, and long enough to be read as a page header. ".repeat(20));
    let found_here = findings(&home.cli(&["check", "--json"]).await);
    let (level, told) = found(&found_here, "queue", "damaged");
    assert!(level == "error" && told.contains("RUNBOOK"), "{told}");
}

#[tokio::test]
async fn too_few_open_files_are_a_warning_that_names_the_limit_to_set() {
    let home = home("delivery.concurrency = 100\n");
    let found_here = findings(&home.shell("ulimit -n 200; exec \"$HIKYAKU\" check --json").await);
    let (level, told) = found(&found_here, "files", "200 files may be open");
    assert!(level == "warning" && told.contains("LimitNOFILE=1300"), "{told}");
}

#[tokio::test]
async fn an_address_that_is_taken_or_is_not_ours_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let home = home("server.metrics_listen = \"192.0.2.1:9000\"\n");
    let found_here = findings(&home.cli(&["check", "--json", "--listen", &address]).await);
    let (level, told) = found(&found_here, "address", "is taken");
    assert!(level == "error" && told.contains("ss -ltnp"), "{told}");
    assert_eq!(found(&found_here, "address", "is no address of this machine").0, "error");
}

/// Somebody who answers `meta` as Misskey does, with the clock `ahead_s` ahead of ours; and what keeps him.
async fn misskey(ahead_s: i64) -> (String, JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let uri = url.clone();
    let meta = move || async move {
        let now = std::process::Command::new("date").args(["-u", "-R", "-d", &format!("{ahead_s} seconds")]).output();
        let now = String::from_utf8(now.expect("a date").stdout).expect("text").trim().replace("+0000", "GMT");
        let mut headers = HeaderMap::new();
        headers.insert("date", now.parse().expect("a header"));
        headers.insert("content-type", "application/json".parse().expect("a header"));
        (headers, format!("{{\"version\":\"2026.3.2\",\"uri\":\"{uri}\"}}"))
    };
    let router = Router::new().route("/api/meta", post(meta));
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    (url, serving)
}

#[tokio::test]
async fn a_clock_that_is_off_is_found_by_misskeys_date() {
    for (ahead_s, level, words) in
        [(0, "ok", "agree"), (60, "warning", "behind Misskey's"), (-3600, "error", "ahead of Misskey's")]
    {
        let (url, _serving) = misskey(ahead_s).await;
        let home = home(&format!("misskey.url = \"{url}\"\n"));
        let found_here = findings(&home.cli(&["check", "--json"]).await);
        assert_eq!(found(&found_here, "misskey", "Misskey 2026.3.2").0, "ok");
        assert_eq!(found(&found_here, "clock", words).0, level, "{found_here:#?}");
    }
}

#[tokio::test]
async fn what_misskey_must_allow_is_told_and_a_misskey_that_is_away_is_a_warning() {
    let home =
        home("misskey.url = \"http://127.0.0.1:1\"\nmisskey.ingest_url = \"http://172.28.0.10:8787/ingest/misskey\"\n");
    let found_here = findings(&home.cli(&["check", "--json"]).await);
    let (level, told) = found(&found_here, "misskey", "172.28.0.10:8787");
    assert!(level == "ok" && told.contains("allowedPrivateNetworks") && told.contains("'172.28.0.10/32'"), "{told}");
    assert_eq!(found(&found_here, "misskey", "Misskey does not answer").0, "warning");
    assert_eq!(found(&found_here, "misskey", "no [[misskey.ingest]]").0, "warning");
}

#[tokio::test]
async fn what_takes_connections_and_answers_nothing_is_not_waited_for_long() {
    // The system takes the connections, and nobody reads from them.
    let silent: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let port = |index: usize| silent[index].local_addr().expect("an address").port();
    let home = home(&format!(
        "queue.url = \"amqp://u:p@127.0.0.1:{},127.0.0.1:{}/\"\nqueue.prefix = \"silent.\"\nstore.url = \"postgres://u:p@127.0.0.1:{}/d\"\n\
         misskey.url = \"http://127.0.0.1:{}\"\n",
        port(0),
        port(1),
        port(2),
        port(3)
    ));
    let began = Instant::now();
    let found_here = findings(&home.cli(&["check", "--json"]).await);
    let took = began.elapsed();
    assert!(took < NOT_LONG, "it took {took:?}");
    for about in ["queue", "store", "misskey"] {
        let (level, told) = found(&found_here, about, " s");
        assert!(level == "error" && (told.contains("within 4 s") || told.contains("within 5 s")), "{about}: {told}");
    }
}
