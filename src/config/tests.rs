//! The settings as their users meet them: files and variables in, settings or a list of problems out.

use std::time::Duration;

use super::*;
use crate::decide::{Credential, IngestScope};
use crate::model::{
    ADMIN, Access, EventType, Format, Origin, Owner, RateLimit, Secret, SigningKey, Status, Timestamp, TokenHash,
    UserId,
};

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
fn what_misskey_gave_up_is_looked_at_every_ten_minutes_unless_told_otherwise() {
    let every = |file: &str| load(file, &[]).expect("valid").misskey.reconcile_every;
    assert_eq!(every(""), Some(Duration::from_secs(600)));
    assert_eq!(every("[misskey]\nreconcile_every_s = 30"), Some(Duration::from_secs(30)));
    assert_eq!(every("[misskey]\nreconcile_every_s = 0"), None, "at the start only");
}

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

#[test]
fn a_declared_webhook_has_what_was_declared_and_defaults_for_the_rest() {
    let file = r#"
        [[webhooks]]
        id = "wh1"
        url = "https://ops.example/hook"
        on = ["userCreated"]
        [[webhooks]]
        id = "wh2"
        user_id = "9ks5o1w5k3x90001"
        source = "other"
        name = "Bot"
        url = "https://bot.example/hook"
        secret = "s3cr3t"
        on = ["note", "mention"]
        active = false
        format = "discord"
        send_secret = false
        signing_secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
        retry_schedule_s = []
        max_age_s = 60
        timeout_ms = 5000
        rate_limit = { per_second = 0.2, burst = 10 }
        [[webhooks.filters]]
        path = "/note/visibility"
        not_equals = "specified"
        [[webhooks.filters]]
        path = "/note/text"
        contains = ["misskey", "ミスキー"]
        types = ["note"]
        [[webhooks.filters]]
        path = "/x"
        not_in = [1, 2.5, "3", true]
    "#;
    let webhooks = load(file, &[]).expect("valid").webhooks;
    let [first, second] = webhooks.as_slice() else { panic!("{webhooks:?}") };
    assert_eq!(first.owner, Owner::System);
    assert_eq!((first.source.as_str(), first.name.as_str(), first.secret.expose()), ("default", "", ""));
    assert_eq!((&first.status, first.origin), (&Status::Active, Origin::Settings));
    assert_eq!((first.created_at, first.updated_at), (Timestamp::from_millis(0), Timestamp::from_millis(0)));
    assert!(first.options.send_secret && first.options.retry_schedule.is_none() && first.options.timeout.is_none());
    assert_eq!(second.owner.user().map(|user| user.as_str()), Some("9ks5o1w5k3x90001"));
    assert_eq!((second.source.as_str(), second.name.as_str()), ("other", "Bot"));
    assert_eq!(second.on.iter().map(EventType::as_str).collect::<Vec<_>>(), ["note", "mention"]);
    assert_eq!(second.status, Status::Paused);
    assert_eq!(second.options.retry_schedule, Some(Vec::new()));
    assert_eq!(second.options.max_age, Some(Duration::from_secs(60)));
    assert_eq!(second.options.timeout, Some(Duration::from_secs(5)));
    assert_eq!((first.options.format, second.options.format), (Format::Misskey, Format::Discord));
    assert_eq!((first.options.rate_limit, second.options.rate_limit), (None, RateLimit::new(0.2, Some(10)).ok()));
    assert!(!second.options.send_secret && second.options.signing.secret.current.is_some());
    assert_eq!(
        serde_json::to_value(&second.options.filters).expect("JSON"),
        serde_json::json!([
            {"path": "/note/visibility", "notEquals": "specified"},
            {"path": "/note/text", "contains": ["misskey", "ミスキー"], "types": ["note"]},
            {"path": "/x", "notIn": [1, 2.5, "3", true]},
        ])
    );
    assert!(first.options.filters.is_empty());
}

#[test]
fn a_condition_that_is_wrong_is_told_with_its_place_and_the_names_that_settings_have() {
    let before = "[[webhooks]]\nid = \"w\"\nurl = \"https://a.example/\"\non = [\"note\"]\n";
    for (condition, expected) in [
        (
            "",
            "webhooks[0].filters[0]: it has no operator; give one of equals, not_equals, in, not_in, contains, not_contains, starts_with",
        ),
        ("equals = 1", "webhooks[0].filters[0].path: it is missing; it says where"),
        ("path = \"note\"\nequals = 1", "webhooks[0].filters[0].path: it is \"note\", which does not begin with '/'"),
        ("path = \"/a\"\nequals = 1\nnot_equals = 2", "webhooks[0].filters[0]: it has both equals and not_equals"),
        (
            "path = \"/a\"\nequals = 1\nnotEquals = 2",
            "webhooks[0].filters[0].notEquals: unknown setting; did you mean `not_equals`?",
        ),
        ("path = \"/a\"\nnot_in = [1, []]", "webhooks[0].filters[0].not_in[1]: it must be a string, number"),
        ("path = \"/a\"\nequals = nan", "webhooks[0].filters[0].equals: it is a number that cannot be compared with"),
        (
            "path = \"/a\"\nin = {}",
            "webhooks[0].filters[0].in: must be a text, a number, true, false or a list, and this is a section",
        ),
    ] {
        let path = if condition.is_empty() { "path = \"/a\"" } else { condition };
        let problems = problems(&format!("{before}[[webhooks.filters]]\n{path}\n"), &[]);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{condition}: {problems:#?}");
    }
    let condition = "[[webhooks.filters]]\npath = \"/a\"\nexists = true\n";
    assert!(load(&format!("{before}{}", condition.repeat(16)), &[]).is_ok());
    let problems = problems(&format!("{before}{}", condition.repeat(17)), &[]);
    assert!(
        problems.len() == 1 && problems[0].contains("webhooks[0].filters: it has 17 conditions, and 16"),
        "{problems:?}"
    );
    let none = load(&format!("{before}filters = 5\n"), &[]).expect_err("no sections").to_string();
    assert!(none.contains("webhooks[0].filters: must be sections, each headed [[filters]]"), "{none}");
}

#[test]
fn what_misskeys_webhooks_carry_is_a_secret_with_a_scope_or_a_master() {
    let file = r#"
        [[misskey.ingest]]
        secret = "hunter2hunter2hunter2"
        scope = "user:9ks5o1w5k3x90001"
        [[misskey.ingest]]
        source = "other"
        master = "hunter2hunter2hunter2hunter2hunter2"
    "#;
    let settings = load(file, &[]).expect("valid");
    let [first, second] = settings.misskey.ingest.as_slice() else { panic!("{:?}", settings.misskey) };
    assert_eq!((first.source.as_str(), second.source.as_str()), ("default", "other"));
    let Credential::Secret { secret, scope } = &first.credential else { panic!("{first:?}") };
    assert_eq!(secret.expose(), "hunter2hunter2hunter2");
    assert_eq!(*scope, IngestScope::User(UserId::new("9ks5o1w5k3x90001").expect("an id")));
    assert!(matches!(second.credential, Credential::Master(_)), "{second:?}");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn problems_of_what_misskeys_webhooks_carry_are_all_told_and_quote_no_secret() {
    let file = r#"
        [[misskey.ingest]]
        secret = "hunter2"
        scope = "everyone"
        [[misskey.ingest]]
        secret = "hunter2hunter2 hunter2"
        [[misskey.ingest]]
        source = ""
        [[misskey.ingest]]
        secret = "hunter2hunter2hunter2"
        master = "hunter2hunter2hunter2"
        scope = "user:"
        [[misskey.ingest]]
        master = "hunter2hunter2hunter2hünter2hunter2"
        scope = "any"
        [[misskey.ingest]]
        secret = 5
        scope = "any"
        scopes = "any"
    "#;
    let told = problems(file, &[]);
    let expected = [
        "misskey.ingest[0].secret: it has 7 characters, and 16 to 1024 are allowed",
        "misskey.ingest[0].scope: it must be \"any\", \"system\", or \"user:\"",
        "misskey.ingest[1].secret: it has a character that is no visible ASCII",
        "misskey.ingest[1].scope: it is missing",
        "misskey.ingest[2].source: it is empty",
        "misskey.ingest[2].secret: it is missing, and so is `master`",
        "misskey.ingest[3].master: it has 21 characters, and 32 to 1024 are allowed",
        "misskey.ingest[3].scope: what follows `user:` must be",
        "misskey.ingest[3].master: there is a secret beside it",
        "misskey.ingest[4].master: it has a character that is no visible ASCII",
        "misskey.ingest[4].scope: a master has none",
        "misskey.ingest[5].secret: must be a text, and this is a whole number",
        "misskey.ingest[5].scopes: unknown setting; did you mean `scope`?",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.contains(expected) && !told.contains("hunter2") && !told.contains("hünter"), "{told}");
    }
}

#[test]
fn problems_of_webhooks_name_their_place() {
    let file = r#"
        [[webhooks]]
        id = "wh1"
        url = "https://bot.example/hook"
        on = ["note"]
        [[webhooks]]
        id = "wh1"
        url = "ftp://bot.example/hook"
        on = []
        activ = true
        [[webhooks]]
        name = 5
        user_id = ""
        secret = "a\nhunter2"
        signing_secret = "hunter2"
        on = ["note", ""]
        active = "yes"
        timeout_ms = 5
    "#;
    let expected = [
        "hikyaku.toml: webhooks[1].id: webhooks[0] has the id wh1 too; ids must differ",
        "hikyaku.toml: webhooks[1].url: the scheme is \"ftp\", and only http and https can be delivered to",
        "hikyaku.toml: webhooks[1].on: it names no event type; to stop a webhook for a while, set active = false",
        "hikyaku.toml: webhooks[1].activ: unknown setting; did you mean `active`?",
        "hikyaku.toml: webhooks[2].id: it is missing",
        "hikyaku.toml: webhooks[2].url: it is missing",
        "hikyaku.toml: webhooks[2].user_id: it is empty",
        "hikyaku.toml: webhooks[2].name: must be a text, and this is a whole number",
        "hikyaku.toml: webhooks[2].secret: its character number 2 is a control character (U+000A), which cannot be sent in a header",
        "hikyaku.toml: webhooks[2].on[1]: it is empty",
        "hikyaku.toml: webhooks[2].active: must be true or false without quotes, and this is a text",
        "hikyaku.toml: webhooks[2].timeout_ms: it is 5, and 100 to 600000 are allowed",
        "hikyaku.toml: webhooks[2].signing_secret: it must be `whsec_` followed by 24 to 64 bytes in base64, and this does not begin with `whsec_`",
    ];
    assert_eq!(problems(file, &[]), expected);
}

#[test]
fn problems_of_a_rate_limit_are_told_where_they_are() {
    let with = |limit: &str| {
        format!("[[webhooks]]\nid = \"w\"\nurl = \"https://a.example/\"\non = [\"note\"]\nrate_limit = {limit}\n")
    };
    for (limit, expected) in [
        ("5", "webhooks[0].rate_limit: must be a section headed [rate_limit], and this is a whole number"),
        ("{}", "webhooks[0].rate_limit.per_second: it is missing"),
        ("{ burst = 3 }", "webhooks[0].rate_limit.per_second: it is missing"),
        ("{ per_second = 0 }", "webhooks[0].rate_limit.per_second: it is 0, and 0.001 to 10000 are allowed"),
        (
            "{ per_second = 10000.5 }",
            "webhooks[0].rate_limit.per_second: it is 10000.5, and 0.001 to 10000 are allowed",
        ),
        (
            "{ per_second = true }",
            "webhooks[0].rate_limit.per_second: must be a number from 0.001 to 10000, and this is",
        ),
        ("{ per_second = 5, burst = 0 }", "webhooks[0].rate_limit.burst: it is 0, and 1 to 10000 are allowed"),
        ("{ per_second = 5, burst = 1.5 }", "webhooks[0].rate_limit.burst: must be a whole number from 1 to 10000"),
        ("{ per_second = 5, bursts = 2 }", "webhooks[0].rate_limit.bursts: unknown setting; did you mean `burst`?"),
    ] {
        let told = problems(&with(limit), &[]);
        assert!(told.len() == 1 && told[0].contains(expected), "{limit}: {told:?}");
    }
    let limit = load(&with("{ per_second = 2.5 }"), &[]).expect("valid").webhooks[0].options.rate_limit;
    assert_eq!(limit, RateLimit::new(2.5, Some(3)).ok(), "a second's worth at once");
}

fn with_signing(settings: &str) -> String {
    format!("[[webhooks]]\nid = \"w\"\nurl = \"https://a.example/\"\non = [\"note\"]\n{settings}\n")
}

#[test]
fn what_signed_before_goes_on_signing_as_long_as_it_is_declared() {
    let file = with_signing(
        r#"
        signing_secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
        previous_signing_secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        signing_key = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
        previous_signing_keys = ["whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="]"#,
    );
    let signing = &load(&file, &[]).expect("valid").webhooks[0].options.signing;
    let far = Timestamp::from_millis(i64::MAX);
    let secrets: Vec<&str> = signing.secret.at(far).map(Secret::expose).collect();
    assert_eq!(secrets, ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    let keys: Vec<String> = signing.key.at(far).map(SigningKey::public).collect();
    // RFC 8032, section 7.1, tests 1 and 2.
    assert_eq!(
        keys,
        ["whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="]
    );
}

#[test]
fn problems_of_what_signs_are_told_where_they_are_without_quoting_it() {
    let three = "previous_signing_secrets = [\"a\", \"b\", \"c\"]";
    for (settings, expected) in [
        (r#"signing_key = "whsk_hunter2""#, "webhooks[0].signing_key: it must be `whsk_` followed by an ed25519 key"),
        (
            r#"signing_key = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD""#,
            "webhooks[0].signing_key: it must be `whsk_` followed by an ed25519 key in base64, 32 bytes, or 64 with the public \
             key; and this is a secret of v1",
        ),
        (
            "signing_secret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"\nprevious_signing_secrets = [\"hunter2\"]",
            "webhooks[0].previous_signing_secrets[0]: it must be `whsec_`",
        ),
        (
            r#"previous_signing_secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]"#,
            "webhooks[0].previous_signing_secrets: there is none that came after: set signing_secret, or leave this out",
        ),
        (
            r#"previous_signing_keys = ["whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="]"#,
            "webhooks[0].previous_signing_keys: there is none that came after: set signing_key, or leave this out",
        ),
        (three, "webhooks[0].previous_signing_secrets: it has 3 items, and 2 are allowed"),
    ] {
        let told = problems(&with_signing(settings), &[]);
        assert!(told.len() == 1 && told[0].contains(expected), "{settings}: {told:?}");
        assert!(!told[0].contains("hunter2") && !told[0].contains("C2FV"), "{told:?}");
    }
}

/// A `[[server.tokens]]`.
fn token(name: &str, token: &str, access: &str) -> String {
    format!("[[server.tokens]]\nname = \"{name}\"\ntoken = \"{token}\"\naccess = \"{access}\"\n")
}

#[test]
fn named_tokens_tell_who_comes_and_what_they_may_do() {
    let file = format!(
        "[server]\nadmin_token = \"0123456789abcdef\"\n{}{}",
        token("board", "hunter2hunter2hunter2", "read"),
        token("carol", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "full")
    );
    let settings = load(&file, &[]).expect("valid");
    let operators = settings.server.operators();
    let who = |token: &str| operators.who(token).map(|operator| (operator.name.to_string(), operator.access));
    assert_eq!(who("0123456789abcdef"), Some((ADMIN.to_owned(), Access::Full)));
    assert_eq!(who("hunter2hunter2hunter2"), Some(("board".to_owned(), Access::Read)));
    assert_eq!(who("abc"), Some(("carol".to_owned(), Access::Full)));
    assert_eq!(who("abcd"), None);
    assert!(!format!("{settings:?}").contains("hunter2"));
    let open = load(&format!("[server]\nlisten = \"0.0.0.0:0\"\n{}", token("a", "0123456789abcdef", "read")), &[]);
    assert_eq!(open.expect("valid").server.is_open(), None, "there is somebody who may look, and nobody else");
}

#[test]
fn tokens_that_are_weak_or_equal_are_refused_in_words_that_do_not_quote_them() {
    let admin = "[server]\nadmin_token = \"hunter2hunter2hunter2\"\n";
    let good = token("board", "0123456789abcdef", "read");
    for (tokens, expected) in [
        (token("a", "hunter2", "read"), "server.tokens[0].token: it has 7 characters, and 16 to 1024 are allowed"),
        (token("a", "xxxxxxxxxxxxxxxx", "read"), "server.tokens[0].token: it is made of no more than 1 different"),
        (token("a", "hunter2hunter2hunter2", "read"), "server.tokens[0].token: it is the token of admin too"),
        (
            good.clone() + &token("b", "0123456789abcdef", "full"),
            "server.tokens[1].token: it is the token of board too",
        ),
        (good + &token("board", "0123456789abcdeg", "full"), "server.tokens[1].name: another token has the name"),
        (
            token("admin", "0123456789abcdef", "full"),
            "server.tokens[0].name: `admin` is whoever has server.admin_token",
        ),
        (token("a b", "0123456789abcdef", "full"), "server.tokens[0].name: it has the character ' '"),
        (
            token("a", "0123456789abcdef", "write"),
            "server.tokens[0].access: it is \"write\", and allowed are `read`, `full`",
        ),
        (
            "[[server.tokens]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\n".to_owned(),
            "server.tokens[0].access: it is missing",
        ),
    ] {
        let told = problems(&format!("{admin}{tokens}"), &[]);
        assert!(told.len() == 1 && told[0].contains(expected), "{tokens}: {told:?}");
        assert!(!told[0].contains("hunter2") && !told[0].contains("0123456789"), "{told:?}");
    }
    let many: String = (0..=100).map(|n| token(&format!("t{n}"), &format!("0123456789abcdef{n}"), "read")).collect();
    let told = problems(&many, &[]);
    assert!(told.len() == 1 && told[0].contains("more than 100 tokens"), "{told:?}");
}

#[test]
fn printing_the_settings_prints_no_secret() {
    let file = r#"
        [server]
        admin_token = "hunter2hunter2hunter2"
        [[webhooks]]
        id = "wh1"
        url = "https://bot.example/hook"
        secret = "hunter2"
        signing_secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
        previous_signing_secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        signing_key = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
        previous_signing_keys = ["whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="]
        on = ["note"]
    "#;
    let printed = format!("{:?}", load(file, &[]).expect("valid"));
    assert!(printed.contains("wh1"), "{printed}");
    for secret in ["hunter2", "C2FVsBQ", "MfKQ9r8", "nWGxne", "TM0Imyj"] {
        assert!(!printed.contains(secret), "{secret}: {printed}");
    }
}

#[test]
fn rabbitmq_with_a_store_in_a_file_must_be_asked_for() {
    let url = "[queue]\nurl = \"amqp://u:hunter2@a,b:5673/v\"\n";
    let problems = problems(url, &[]);
    assert!(problems.len() == 1 && problems[0].contains("queue.single_host: it is false"), "{problems:?}");
    let settings = load(&format!("{url}single_host = true\nprefix = \"x.\"\n"), &[]).expect("valid");
    assert_eq!(settings.queue.url.to_string(), "amqp://a:5672,b:5673 (virtual host \"v\")");
    assert_eq!(settings.queue.prefix, "x.");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn a_url_of_no_queue_and_a_prefix_that_cannot_be_are_refused() {
    let text = problems("[queue]\nurl = \"redis://u:hunter2@a\"\nprefix = \"amq.x\"\n", &[]).join("\n");
    assert!(text.contains("sqlite:PATH") && text.contains("amqp://user:password@host"), "{text}");
    assert!(text.contains("queue.prefix: names that begin with `amq.`") && !text.contains("hunter2"), "{text}");
    let text = problems("[queue]\nurl = \"amqp://u:hunter2@a:b\"\nprefix = \"a b\"\n", &[]).join("\n");
    assert!(text.contains("a port is no number") && text.contains("must be 1 to 100 letters"), "{text}");
}

#[test]
fn a_queue_is_bounded_unless_it_is_told_to_grow() {
    assert_eq!(load("", &[]).expect("valid").queue.bytes_max, 8 << 30);
    assert_eq!(load("[queue]\nbytes_max = 0\n", &[]).expect("valid").queue.bytes_max, 0);
    assert_eq!(load("[queue]\nbytes_max = 16777216\n", &[]).expect("valid").queue.bytes_max, 16 << 20);
    let words = problems("[queue]\nbytes_max = 1000\n", &[]);
    assert!(
        words.len() == 1 && words[0].contains("queue.bytes_max: must be 0, ") && words[0].contains("1000"),
        "{words:?}"
    );
}
