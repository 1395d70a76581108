//! What a value may be, by itself and beside others.

use super::*;

#[test]
fn wrong_types_name_what_is_expected_and_what_was_found() {
    let cases = [
        ("server = 5", "server: must be a section headed [server], and this is a whole number"),
        ("[server]\nlisten = 8787", "server.listen: must be a text, and this is a whole number"),
        (
            "[queue]\nprefetch = true",
            "queue.prefetch: must be a whole number from 64 to 65536, and this is true or false",
        ),
        ("[queue]\nprefetch = 4096.0", "and this is a number with a fraction"),
        ("[queue]\nprefetch = []", "and this is a list"),
        ("[queue.url]\nx = 1", "queue.url: must be a text, and this is a section"),
        ("[delivery]\nretry_schedule_s = \"5,30\"", "must be a list in square brackets, and this is a text"),
        ("[delivery]\nuser_agent = false", "delivery.user_agent: must be a text, and this is true or false"),
        ("webhooks = \"x\"", "webhooks: must be sections, each headed [[webhooks]], and this is a text"),
        ("webhooks = [1]", "webhooks[0]: must be sections, each headed [[webhooks]], and this is a whole number"),
        ("[webhooks]\nid = \"x\"", "webhooks: must be sections, each headed [[webhooks]], and this is a section"),
    ];
    for (file, expected) in cases {
        let problems = problems(file, &[]);
        assert!(problems.len() == 1 && problems[0].ends_with(expected), "{file}: {problems:?}");
    }
}

#[test]
fn numbers_given_as_texts_are_numbers() {
    let settings =
        load("[queue]\nprefetch = \"4100\"\n[delivery]\nretry_schedule_s = [\"1.5\"]\n", &[]).expect("valid");
    assert_eq!(settings.queue.prefetch, 4100);
    assert_eq!(settings.delivery.retry_schedule, [Duration::from_millis(1500)]);
}

/// Of each setting with limits: its section, its key, the least and the most that is allowed, what is one too few and
/// one too many, and what else must be set for it to go together.
const LIMITS: &[(&str, &str, [&str; 4], &str)] = &[
    ("server", "shutdown_grace_s", ["0", "600", "-1", "601"], "[delivery]\ntimeout_ms = 100"),
    ("queue", "prefetch", ["64", "65536", "63", "65537"], "[delivery]\nconcurrency = 1"),
    ("queue", "prefetch_bytes", ["16777216", "1073741824", "16777215", "1073741825"], ""),
    ("misskey", "reconcile_every_s", ["0", "86400", "-1", "86401"], ""),
    ("ingest", "event_bytes_max", ["1024", "16777216", "1023", "16777217"], ""),
    ("ingest", "request_bytes_max", ["1024", "268435456", "1023", "268435457"], "event_bytes_max = 1024"),
    ("delivery", "concurrency", ["1", "65536", "0", "65537"], "[queue]\nprefetch = 65536"),
    ("delivery", "slots_per_webhook", ["1", "65536", "0", "65537"], "concurrency = 65536\n[queue]\nprefetch = 65536"),
    ("delivery", "patience_ms", ["0", "10000", "-1", "10001"], ""),
    ("delivery", "timeout_ms", ["100", "600000", "99", "600001"], "[server]\nshutdown_grace_s = 600"),
    ("delivery", "retry_schedule_s", ["[0.01]", "[604800]", "[0.009]", "[604800.1]"], ""),
    ("delivery", "max_age_s", ["1", "31536000", "0", "31536001"], ""),
    ("delivery", "retry_after_max_s", ["0", "604800", "-1", "604801"], ""),
    ("delivery", "signing_grace_s", ["0", "2592000", "-1", "2592001"], ""),
    ("dead_letters", "retention_s", ["60", "315360000", "59", "315360001"], ""),
    ("dead_letters", "count_max", ["1", "100000000", "0", "100000001"], ""),
];

#[test]
fn limits_are_the_documented_ones_to_the_last_unit() {
    for (section, key, [least, most, too_few, too_many], rest) in LIMITS {
        let file = |value: &str| format!("[{section}]\n{key} = {value}\n{rest}\n");
        // The least grace goes only with the shortest timeout, which is still longer.
        if *key != "shutdown_grace_s" {
            assert!(load(&file(least), &[]).is_ok(), "{key} = {least}: {:?}", load(&file(least), &[]));
        }
        assert!(load(&file(most), &[]).is_ok(), "{key} = {most}: {:?}", load(&file(most), &[]));
        for value in [too_few, too_many] {
            let problems = problems(&file(value), &[]);
            assert!(problems.len() == 1 && problems[0].contains(key), "{key} = {value}: {problems:?}");
            assert!(problems[0].contains("are allowed"), "{key} = {value}: {problems:?}");
        }
    }
}

#[test]
fn a_schedule_has_at_most_100_waits() {
    let file = |count: usize| format!("[delivery]\nretry_schedule_s = [{}]\n", "1,".repeat(count));
    assert!(load(&file(100), &[]).is_ok());
    assert!(problems(&file(101), &[])[0].ends_with("retry_schedule_s: it has 101 items, and 100 are allowed"));
}

#[test]
fn texts_that_do_not_fit_are_refused_in_words() {
    let cases = [
        ("[server]\nlisten = \"\"", "is no IP address with a port"),
        ("[server]\nmetrics_listen = \"9000\"", "is no IP address with a port"),
        ("[server]\nadmin_token = \"hunter2\"", "it has 7 characters, and 16 to 1024 are allowed"),
        ("[server]\nadmin_token = \"hunter2 hunter2 hunter2\"", "no visible ASCII"),
        ("[server]\nadmin_token = \"sha256:hunter2\"", "64 hexadecimal digits"),
        ("[queue]\nurl = \"amqp://user:hunter2@host:x/\"", "a port is no number"),
        ("[queue]\nurl = \"redis://:hunter2@host/\"", "it must be `sqlite:PATH`"),
        ("[store]\nurl = \"postgres://:hunter2@host/\"", "store.url: a user is missing"),
        (
            "[store]\nencryption_key = \"hunter2!\"",
            "store.encryption_key: it is no base64; `openssl rand -base64 32` makes",
        ),
        (
            "[store]\nprevious_encryption_keys = [\"aHVudGVyMg==\"]",
            "previous_encryption_keys[0]: it has 7 bytes, and 32",
        ),
        ("[misskey]\nurl = \"https://misskey.example/api\"", "with nothing after the host and port"),
        ("[misskey]\ningest_url = \"http://u:hunter2@h/ingest/misskey\"", "without a user name"),
        ("[misskey]\ntoken = \"hunter2 hunter2\"", "no visible ASCII"),
        ("[delivery]\nuser_agent = \"\"", "it has 0 characters, and 1 to 256 are allowed"),
        ("[delivery]\nuser_agent = \"a\\nb\"", "it has the character '\\n'; allowed are visible ASCII and spaces"),
        ("[log]\nlevel = \"verbose\"", "allowed are `error`, `warn`, `info`, `debug`, `trace`"),
        ("[log]\nformat = \"xml\"", "allowed are `auto`, `text`, `json`"),
    ];
    for (file, expected) in cases {
        let problems = problems(file, &[]);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{file}: {problems:?}");
        assert!(!problems[0].contains("hunter2"), "{file}: {problems:?}");
    }
}

#[test]
fn settings_that_do_not_go_together_name_both() {
    let cases = [
        ("[server]\nshutdown_grace_s = 9", "server.shutdown_grace_s: it is 9 s, and delivery.timeout_ms is 10000"),
        ("[delivery]\nconcurrency = 4097", "delivery.concurrency: it is 4097, and queue.prefetch is 4096"),
        (
            "[delivery]\nslots_per_webhook = 2049",
            "delivery.slots_per_webhook: it is 2049, and delivery.concurrency is 2048",
        ),
        (
            "[ingest]\nrequest_bytes_max = 1048575",
            "ingest.request_bytes_max: it is 1048575, and ingest.event_bytes_max",
        ),
        ("[store]\nurl = \"sqlite:./queue.db\"", "store.url: it names the same file as queue.url"),
        (
            "[server]\nmetrics_listen = \"127.0.0.1:8787\"",
            "server.metrics_listen: it is the same address as server.listen",
        ),
        (
            "[misskey]\ntoken = \"hunter2\"\ningest_url = \"http://h/ingest/misskey\"",
            "misskey.token: it is set, and misskey.url is not",
        ),
        (
            "[misskey]\ntoken = \"hunter2\"\nurl = \"https://misskey.example\"",
            "misskey.token: it is set, and misskey.ingest_url is not",
        ),
    ];
    for (file, expected) in cases {
        let problems = problems(file, &[]);
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{file}: {problems:?}");
    }
    assert!(load("[server]\nshutdown_grace_s = 10", &[]).is_ok(), "a grace as long as the timeout is enough");
    assert!(load("[server]\nlisten = \"[::1]:0\"\nmetrics_listen = \"[::1]:0\"", &[]).is_ok(), "two free ports differ");
}

#[test]
fn what_clashes_with_a_default_only_because_of_a_typo_is_not_reported() {
    let file = "[queue]\nprefetch = \"lots\"\n[delivery]\nconcurrency = 10000\n";
    assert_eq!(problems(file, &[]).len(), 1);
    let broken = problems("[queue\nprefetch = 20000\n", &[("HIKYAKU__DELIVERY__CONCURRENCY", "10000")]);
    assert!(broken.len() == 1 && broken[0].starts_with("hikyaku.toml: line 1, column "), "{broken:?}");
}

#[test]
fn lowering_the_concurrency_alone_lowers_the_slots_too() {
    assert_eq!(load("[delivery]\nconcurrency = 8", &[]).expect("valid").delivery.slots_per_webhook, 4);
    assert_eq!(load("[delivery]\nconcurrency = 1", &[]).expect("valid").delivery.slots_per_webhook, 1);
}

#[test]
fn flags_that_changed_fields_can_be_checked_again() {
    let mut settings = load("", &[]).expect("valid");
    assert!(settings.check().is_empty());
    settings.queue.prefetch_bytes = 1000;
    settings.delivery.concurrency = 5000;
    let problems = settings.check();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(problems[0].keys(), ["delivery.concurrency", "queue.prefetch"]);
    assert_eq!(problems[1].keys(), ["queue.prefetch_bytes", "ingest.event_bytes_max"]);
}
