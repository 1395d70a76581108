//! Webhooks that the settings declare.

use super::*;

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
