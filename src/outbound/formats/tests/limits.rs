//! Each chat's limits, whatever there is to tell.

use super::super::fit::units;
use super::*;

/// Discord's limits, by its documentation, counted as strictly as anybody could.
#[track_caller]
fn assert_discord_takes(message: &Value) {
    let text = |value: &Value, max: usize| {
        let text = value.as_str().unwrap_or_else(|| panic!("a text in {message}"));
        assert!(!text.trim().is_empty() && units(text) <= max, "1 to {max} characters: {text:?}");
        units(text)
    };
    let url = |value: &Value| {
        let url = Url::parse(value.as_str().expect("a text")).expect("a URL");
        assert!(matches!(url.scheme(), "http" | "https") && url.as_str().len() <= 2048, "{url}");
        assert!(url.domain().is_some_and(|domain| domain.contains('.')), "{url}");
    };
    text(&message["content"], 2000);
    assert_eq!(message["allowed_mentions"], json!({"parse": []}));
    let embeds =
        message.get("embeds").map(|embeds| embeds.as_array().expect("an array").as_slice()).unwrap_or_default();
    assert!(embeds.len() <= 1);
    for embed in embeds {
        let mut total = 0;
        for (key, value) in embed.as_object().expect("an object") {
            match key.as_str() {
                "title" => total += text(value, 256),
                "description" => total += text(value, 4096),
                "footer" => total += text(&value["text"], 2048),
                "author" => {
                    total += text(&value["name"], 256);
                    ["url", "icon_url"].iter().filter_map(|key| value.get(key)).for_each(url);
                }
                "fields" => {
                    let fields = value.as_array().expect("an array");
                    assert!((1..=25).contains(&fields.len()));
                    total += fields
                        .iter()
                        .map(|field| text(&field["name"], 256) + text(&field["value"], 1024))
                        .sum::<usize>();
                }
                "url" => url(value),
                "image" => url(&value["url"]),
                "timestamp" => assert!(value.as_str().is_some_and(|at| at.len() == 24 && at.ends_with('Z')), "{value}"),
                "color" => assert!(value.as_u64().is_some_and(|colour| colour <= 0x00ff_ffff)),
                other => panic!("{other} is no part of ours"),
            }
        }
        assert!(total <= 6000, "{total} characters together");
    }
}

/// Holds that nothing of Slack's begins in the text but links of ours.
#[track_caller]
fn assert_slack_takes(message: &Value) {
    let text = message["text"].as_str().expect("a text");
    assert!(!text.trim().is_empty() && units(text) < 10_000, "{} characters", units(text));
    assert_eq!((&message["unfurl_links"], &message["unfurl_media"]), (&json!(false), &json!(false)));
    for (place, _) in text.match_indices('<') {
        let link = &text[place + 1..text[place..].find('>').map_or(text.len(), |end| place + end)];
        assert!(link.starts_with("https://misskey.example/") && link.contains('|'), "{link:?} in {text}");
    }
    let is_entity = |rest: &str| ["&amp;", "&lt;", "&gt;"].iter().any(|entity| rest.starts_with(entity));
    assert!(text.match_indices('&').all(|(place, _)| is_entity(&text[place..])), "{text}");
}

/// `length` characters that need escapes, or that people see as one.
fn hostile(length: usize) -> String {
    "*_`|<@!&>[x](y)👍🏽e\u{301}\n#".chars().cycle().take(length).collect()
}

#[test]
fn however_much_there_is_the_limits_hold() {
    for length in [0, 1, 79, 81, 255, 799, 4096, 9000] {
        let (long, file) =
            (hostile(length), json!({"type": "image/png", "url": format!("https://a.example/{}", hostile(length))}));
        let user = json!({"id": long, "name": long, "username": long, "host": long, "avatarUrl": format!("https://a.example/{long}")});
        let inner = json!({"id": long, "user": user, "text": long, "cw": long});
        let whole = json!({"id": long, "user": user, "text": long, "reply": inner, "files": vec![file; 40],
            "poll": {"choices": vec![json!({"text": long}); 40]}, "channel": {"name": long}});
        let mut covered = whole.clone();
        covered["cw"] = json!(long);
        let report =
            json!({"comment": long, "targetUser": user, "reporter": user, "assignee": user, "moderationNote": long});
        let remaining = json!({"remainingTime": {"asHours": 1e300}});
        for (kind, body) in [
            ("note", json!({"note": whole})),
            ("mention", json!({"note": covered})),
            ("reaction", json!({"note": whole, "reaction": {"reaction": long, "user": user}})),
            ("follow", json!({"user": user})),
            ("userCreated", user.clone()),
            ("abuseReportResolved", report.clone()),
            ("reportResolved", json!({"updatedReport": report})),
            ("contactCreated", json!({"contact": {"subject": long, "message": long}})),
            ("inactiveModeratorsWarning", remaining),
        ] {
            let json = of(kind, &body);
            assert_discord_takes(&message(Format::Discord, &json));
            assert_slack_takes(&message(Format::Slack, &json));
        }
    }
}

#[test]
fn each_sample_is_within_the_limits() {
    for (_, json) in samples() {
        assert_discord_takes(&message(Format::Discord, &json));
        assert_slack_takes(&message(Format::Slack, &json));
    }
}

fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let text =
        prop_oneof![any::<String>(), "[a-z]{0,8}", Just("specified".to_owned()), Just("https://a.example/".to_owned())];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let key = proptest::sample::select(vec![
        "note",
        "user",
        "reaction",
        "report",
        "updatedReport",
        "contact",
        "remainingTime",
        "id",
        "name",
        "username",
        "host",
        "avatarUrl",
        "text",
        "cw",
        "visibility",
        "files",
        "reply",
        "renote",
        "renoteId",
        "replyId",
        "poll",
        "choices",
        "channel",
        "isSensitive",
        "type",
        "url",
        "comment",
        "targetUser",
        "reporter",
        "assignee",
        "subject",
        "message",
        "asHours",
        "emoji",
        "webhook",
        "host",
        "reason",
        "failingSince",
    ]);
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    // Each case makes three messages of up to 64 values, which takes its time without optimisation.
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_in_a_body_there_is_a_message_within_the_limits(
        body in any_json(),
        kind in proptest::sample::select(crate::model::known_types().iter().map(|known| known.name).collect::<Vec<_>>()),
    ) {
        let body = if body.is_object() { body } else { json!({"note": body, "user": body, "report": body, "contact": body}) };
        let json = of(kind, &body);
        assert_discord_takes(&message(Format::Discord, &json));
        assert_slack_takes(&message(Format::Slack, &json));
        let event = message(Format::CloudEvents, &json);
        proptest::prop_assert_eq!(&event["data"], &json.parse::<Value>().expect("JSON")["body"]);
    }
}
