//! The settings as their users meet them: files and variables in, settings or a list of problems out.

use std::time::Duration;

use super::*;
use crate::decide::{Credential, IngestScope};
use crate::model::{
    ADMIN, Access, EventType, Format, Origin, Owner, RateLimit, Secret, SigningKey, Status, Timestamp, TokenHash,
    UserId,
};

mod misskey;
mod queue;
mod tokens;
mod values;
mod webhooks;

fn load(file: &str, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("hikyaku.toml"), file).expect("write");
    let env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Settings::load_in(folder.path(), None, env)
}

/// The problems of `file` and `env`, one a line, without the folder before `hikyaku.toml`.
fn problems(file: &str, env: &[(&str, &str)]) -> Vec<String> {
    let error = load(file, env).expect_err("problems").to_string();
    error.lines().map(|line| line.find("hikyaku.toml").map_or(line, |at| &line[at..]).to_owned()).collect()
}

#[test]
fn nothing_said_gives_the_defaults() {
    let settings = load("", &[]).expect("valid");
    assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8787");
    assert_eq!(settings.delivery.retry_schedule.len(), 10);
}

#[test]
fn a_file_given_by_name_is_read_and_must_be_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.toml");
    let missing = Settings::load(Some(&path), []).expect_err("absent").to_string();
    assert!(missing.contains("mine.toml: the settings file cannot be opened"), "{missing}");
    std::fs::write(&path, "[queue]\nprefetch = 5000\n").expect("write");
    assert_eq!(Settings::load(Some(&path), []).expect("valid").queue.prefetch, 5000);
}

#[test]
fn variables_win_over_the_file_and_the_file_over_the_defaults() {
    let file =
        "[delivery]\nconcurrency = 100\npatience_ms = 7\nretry_schedule_s = [1]\n[store]\nurl = \"sqlite:s.db\"\n";
    let env = [
        ("HIKYAKU__DELIVERY__CONCURRENCY", "200"),
        ("HIKYAKU__DELIVERY__RETRY_SCHEDULE_S", "5, 0.25,60"),
        ("HIKYAKU__SERVER__METRICS_LISTEN", "[::1]:0"),
        ("HIKYAKU__MISSKEY__URL", "https://misskey.example"),
        ("HIKYAKU_DELIVERY__CONCURRENCY", "not ours"),
    ];
    let settings = load(file, &env).expect("valid");
    assert_eq!(settings.delivery.concurrency, 200);
    assert_eq!(settings.delivery.patience, Duration::from_millis(7));
    assert_eq!(settings.delivery.timeout, Duration::from_secs(10));
    assert_eq!(settings.delivery.retry_schedule, [5000, 250, 60_000].map(Duration::from_millis));
    assert_eq!(settings.store.url.file(), Some(Path::new("s.db")));
    assert_eq!(settings.queue.url.file(), Some(Path::new("queue.db")));
    assert_eq!(settings.server.metrics_listen.map(|address| address.to_string()).as_deref(), Some("[::1]:0"));
    assert_eq!(settings.misskey.url.map(String::from).as_deref(), Some("https://misskey.example/"));
}

#[test]
fn an_empty_variable_empties_a_list_and_unsets_what_may_be_unset() {
    let file = "[server]\nadmin_token = \"0123456789abcdef\"\n";
    let env = [("HIKYAKU__DELIVERY__RETRY_SCHEDULE_S", ""), ("HIKYAKU__SERVER__ADMIN_TOKEN", "")];
    let settings = load(file, &env).expect("valid");
    assert!(settings.delivery.retry_schedule.is_empty());
    assert_eq!(settings.server.admin_token, None);
}

#[test]
fn a_variable_can_say_true_or_false() {
    let env = |value| [("HIKYAKU__QUEUE__SINGLE_HOST", value)];
    assert!(load("", &env("true")).expect("valid").queue.single_host);
    assert!(!load("[queue]\nsingle_host = true\n", &env("false")).expect("valid").queue.single_host);
    let words = problems("", &env("hunter2"));
    assert!(words[0].contains("must be true or false, and this is another text"), "{words:?}");
    let in_the_file = problems("[queue]\nsingle_host = \"true\"\n", &[]);
    assert!(in_the_file[0].contains("without quotes"), "{in_the_file:?}");
}

#[test]
fn a_token_of_digits_in_a_variable_stays_a_text() {
    let settings = load("", &[("HIKYAKU__SERVER__ADMIN_TOKEN", "0012345678901234")]).expect("valid");
    assert_eq!(settings.server.admin_token, Some(TokenHash::of("0012345678901234")));
}

#[test]
fn all_problems_are_reported_at_once_with_where_they_are() {
    let file = r#"
        [server]
        listen = "localhost:8787"
        [delivery]
        concurency = 10
        timeout_ms = 99
        retry_schedule_s = [5, "soon", 0]
        [ingest]
        event_bytes_max = 2048
        request_bytes_max = 1024
        [logs]
        level = "info"
    "#;
    let env = [("HIKYAKU__QUEUE__PREFETCH", "many"), ("HIKYAKU__STORE__PATH", "x"), ("HIKYAKU__A", "x")];
    let expected = [
        "HIKYAKU__A: unknown variable; those of settings are HIKYAKU__SECTION__KEY, such as HIKYAKU__DELIVERY__CONCURRENCY",
        "hikyaku.toml: server.listen: \"localhost:8787\" is no IP address with a port, such as 127.0.0.1:8787 or [::1]:8787",
        "HIKYAKU__QUEUE__PREFETCH: queue.prefetch: must be a whole number from 64 to 65536, and this is a text that is no such number",
        "HIKYAKU__STORE__PATH: store.path: unknown setting; here are known: encryption_key, previous_encryption_keys, url",
        "hikyaku.toml: delivery.timeout_ms: it is 99, and 100 to 600000 are allowed",
        "hikyaku.toml: delivery.retry_schedule_s[1]: must be a number of seconds from 0.01 to 604800, and this is a text that is no number",
        "hikyaku.toml: delivery.retry_schedule_s[2]: it is 0 s, and 0.01 to 604800 s are allowed",
        "hikyaku.toml: delivery.concurency: unknown setting; did you mean `concurrency`?",
        "hikyaku.toml: logs: unknown section; did you mean `log`?",
        "ingest.request_bytes_max: it is 1024, and ingest.event_bytes_max is 2048: the largest event must fit into a request; raise this one or lower that one",
    ];
    assert_eq!(problems(file, &env), expected);
}

#[test]
fn a_variable_of_an_unknown_section_is_named() {
    let problems = problems("", &[("HIKYAKU__SERVR__LISTEN", "x")]);
    assert_eq!(problems, ["HIKYAKU__SERVR__LISTEN: servr: unknown section; did you mean `server`?"]);
}

#[test]
fn keys_are_told_apart_by_case() {
    let problems = problems("[server]\nListen = \"127.0.0.1:1\"\n", &[]);
    assert_eq!(problems, ["hikyaku.toml: server.Listen: unknown setting; did you mean `listen`?"]);
}

#[test]
fn a_key_with_a_line_break_stays_one_line() {
    let problems = problems("[server]\n\"a\\nb\" = 1\n", &[]);
    assert!(problems.len() == 1 && problems[0].contains(r"server.a\nb: unknown setting"), "{problems:?}");
}
