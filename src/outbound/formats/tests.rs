//! Each format against every sample of what Misskey sends (kept byte for byte in `tests/fixtures/formats`), against odd
//! bodies, and against strangers who would like to do more than be shown.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::model::{
    Arrival, EventId, EventType, Options, Origin, Owner, Secret, Source, Status, Timestamp, UserId, WebhookId,
};

mod limits;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every sample that is an event, by name, as Misskey sends it: compact.
fn samples() -> Vec<(String, String)> {
    let mut samples = Vec::new();
    for (folder, within) in [("user", "misskey"), ("system", "misskey"), ("test-send", "misskey"), ("hikyaku", "")] {
        let entries = std::fs::read_dir(repository("tests/fixtures").join(within).join(folder)).expect("a folder");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            samples.push((format!("{folder}/{}", path.file_stem().expect("a name").to_string_lossy()), path));
        }
    }
    let proposed = "hypothetical/reaction.proposed";
    samples.push((proposed.to_owned(), repository(&format!("tests/fixtures/misskey/{proposed}.json"))));
    samples.sort();
    let read = |path: PathBuf| compact(&std::fs::read_to_string(path).expect("a sample"));
    samples.into_iter().map(|(name, path)| (name, read(path))).collect()
}

/// JSON without the white space between its lines; the samples have none else between their tokens but after a colon.
fn compact(json: &str) -> String {
    json.lines().map(|line| line.trim().replacen("\": ", "\":", 1)).collect()
}

fn event(json: &str) -> Event {
    let arrival = Arrival {
        now: Timestamp::from_millis(1_774_960_497_999),
        event_id: EventId::new("made").expect("an id"),
        event_bytes_max: 4 << 20,
        source: None,
    };
    Event::parse(&Bytes::copy_from_slice(json.as_bytes()), arrival).expect("an event")
}

fn webhook(format: Format) -> Webhook {
    Webhook {
        id: WebhookId::new("wh1").expect("an id"),
        owner: Owner::User(UserId::new("u1").expect("an id")),
        source: Source::default(),
        name: String::new(),
        url: Url::parse("https://bot.example/hook").expect("a URL"),
        secret: Secret::new("s"),
        on: vec![EventType::new("note").expect("a type")],
        status: Status::Active,
        options: Options { format, ..Options::default() },
        origin: Origin::Store,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn rendered(format: Format, json: &str) -> String {
    String::from_utf8(body(&event(json), &webhook(format)).slices().concat()).expect("UTF-8")
}

fn message(format: Format, json: &str) -> Value {
    serde_json::from_str(&rendered(format, json)).expect("JSON")
}

/// An event of `kind` of user u1 on misskey.example with `body`.
fn of(kind: &str, body: &Value) -> String {
    json!({"type": kind, "userId": "u1", "eventId": "e", "createdAt": 5, "server": "https://misskey.example",
        "body": body})
    .to_string()
}

/// A note of Bob's with `fields` of its own.
fn note(fields: &Value) -> String {
    let mut note = json!({"id": "n1", "userId": "b", "user": {"id": "b", "username": "bob", "host": null}});
    note.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    of("note", &json!({"note": note}))
}

#[test]
fn every_sample_is_told_as_it_was_last_looked_at() {
    for format in [Format::Discord, Format::Slack, Format::CloudEvents] {
        let mut now = String::new();
        for (name, json) in samples() {
            let _never_fails = writeln!(now, "== {name}\n{}", rendered(format, &json));
        }
        let path = repository(&format!("tests/fixtures/formats/{format}.txt"));
        if std::env::var_os("HIKYAKU_WRITE_FIXTURES").is_some() {
            std::fs::write(&path, &now).expect("written");
        }
        let then = std::fs::read_to_string(&path).unwrap_or_default();
        for (now, then) in now.lines().zip(then.lines()) {
            assert_eq!(now, then, "{format}: look at it; HIKYAKU_WRITE_FIXTURES=1 keeps it as it is now");
        }
        assert_eq!(now.lines().count(), then.lines().count(), "{format}");
    }
}

#[test]
fn what_a_stranger_writes_pings_nobody_links_nowhere_else_and_formats_nothing() {
    let text = "@everyone <@1> <!channel> [bank](https://evil.example) **b** ||s|| `c`\n# h\n> q\n- l https://a.example/x_y?a=1&b=2.";
    let json = note(&json!({"text": text}));
    let discord = message(Format::Discord, &json);
    assert_eq!(
        discord["embeds"][0]["description"],
        "@everyone \\<@1\\> \\<!channel\\> \\[bank\\](https://evil.example) \\*\\*b\\*\\* \\|\\|s\\|\\| \\`c\\`\n\\# h\n\\> q\n\\- l https://a.example/x_y?a=1&b=2."
    );
    let slack = message(Format::Slack, &json);
    assert_eq!(
        slack["text"],
        "<https://misskey.example/@bob|bob> (@\u{200b}bob) wrote a note\n> @\u{200b}everyone &lt;@\u{200b}1&gt; &lt;!channel&gt; \
         [bank]\u{200b}(https://evil.example) **b** ||s|| `c`\n> # h\n> &gt; q\n> - l https://a.example/x_y?a=1&amp;b=2.\n\
         <https://misskey.example/notes/n1|Open the note>"
    );
}

#[test]
fn a_name_is_one_line_of_plain_text_and_no_link() {
    let name = "# A\n**B** https://evil.example \u{202e}<!here>";
    let user = json!({"user": {"username": "b_o_b", "host": "evil.example|x>", "name": name}});
    let json = of("followed", &user);
    assert_eq!(
        message(Format::Discord, &json)["content"],
        "\\# A \\*\\*B\\*\\* https\\:\\/\\/evil.example \\<!here\\> (@b\\_o\\_b@evil.example\\|x\\>) follows you now"
    );
    let slack = message(Format::Slack, &json)["text"].to_string();
    let expected =
        "<https://misskey.example/@b_o_b@evil.example%7Cx%3E|# A **B** https:\u{200b}//evil.example &lt;!here&gt;>";
    assert!(slack.contains(expected), "{slack}");
}

#[test]
fn what_is_behind_a_warning_stays_behind_it() {
    let file = json!({"type": "image/png", "url": "https://a.example/p.png", "isSensitive": false});
    let fields =
        json!({"cw": "spiders", "text": "secret-a ||", "files": [file], "poll": {"choices": [{"text": "secret-b"}]}});
    let mut answer = note(&fields).parse::<Value>().expect("JSON");
    let about = answer["body"]["note"].clone();
    answer["body"]["note"] = json!({"id": "n2", "user": about["user"], "text": "open", "reply": about});
    for (json, where_told) in [(note(&fields), "description"), (answer.to_string(), "fields")] {
        let discord = message(Format::Discord, &json);
        let embed = &discord["embeds"][0];
        let told = if where_told == "fields" { &embed["fields"][0]["value"] } else { &embed["description"] };
        assert_eq!(*told, "⚠️ spiders\n|| secret-a \\|\\|\n○ secret-b\n📎 1 file ||");
        assert_eq!(discord.to_string().matches("secret").count(), 2);
        assert!(embed.get("image").is_none());
        let slack = message(Format::Slack, &json)["text"].to_string();
        assert!(
            slack.contains("spiders") && slack.contains("behind this warning") && !slack.contains("secret"),
            "{slack}"
        );
    }
}

#[test]
fn a_note_that_is_not_for_everyone_is_told_of_without_what_it_says() {
    for (visibility, words) in [
        (json!("followers"), "a note for followers only"),
        (json!("specified"), "a direct message"),
        (json!("of-a-fork"), "a note that is not for everyone"),
    ] {
        let file = json!({"type": "image/png", "url": "https://a.example/secret.png", "isSensitive": false});
        let json = note(&json!({"visibility": visibility, "text": "secret", "cw": "secret", "files": [file],
            "channel": {"name": "secret"}}));
        for format in [Format::Discord, Format::Slack] {
            let told = rendered(format, &json);
            assert!(told.contains(words) && told.contains("/notes/n1") && !told.contains("secret"), "{told}");
        }
    }
    for visibility in [json!("public"), json!("home"), Value::Null, json!(7)] {
        let json = note(&json!({"visibility": visibility, "text": "open"}));
        assert!(rendered(Format::Discord, &json).contains("open") && rendered(Format::Slack, &json).contains("open"));
    }
}

#[test]
fn a_picture_is_shown_only_when_its_file_says_that_it_is_not_sensitive() {
    let image = |file: Value, more: Value| {
        let mut fields = json!({"text": "t", "files": [{"type": "image/png", "url": "https://a.example/1.png", "isSensitive": true}, file]});
        fields.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        message(Format::Discord, &note(&fields))["embeds"][0]["image"]["url"].clone()
    };
    let file = |kind: &str, sensitive: Value| json!({"type": kind, "url": "https://a.example/2.png", "isSensitive": sensitive});
    assert_eq!(image(file("image/webp", json!(false)), json!({})), "https://a.example/2.png");
    for hidden in [file("image/png", json!(true)), file("image/png", Value::Null), file("video/mp4", json!(false))] {
        assert_eq!(image(hidden, json!({})), Value::Null);
    }
    for more in [json!({"cw": "x"}), json!({"visibility": "followers"}), json!({"channel": {"isSensitive": true}})] {
        assert_eq!(image(file("image/png", json!(false)), more), Value::Null);
    }
}

#[test]
fn a_type_that_nobody_knows_and_a_body_that_is_not_of_its_type_are_told_by_name() {
    for (kind, body) in [
        ("never_seen", json!({"x": [1]})),
        ("note", json!({})),
        ("reply", json!({"note": 7})),
        ("followed", json!({"user": null})),
        ("userCreated", json!({"id": "x"})),
        ("abuseReport", json!({})),
        ("reportResolved", json!({"report": {}})),
        ("contactCreated", json!({})),
        ("reaction", json!({})),
    ] {
        let json = of(kind, &body);
        let discord = message(Format::Discord, &json);
        assert_eq!(discord["content"], format!("New event: {}", kind.replace('_', "\\_")));
        assert_eq!(discord["embeds"][0]["url"], "https://misskey.example/");
        let slack = format!("New event: {kind}\n<https://misskey.example/|Open the server>");
        assert_eq!(message(Format::Slack, &json)["text"], slack);
    }
    for (kind, told) in [("a\u{202e} <!here>", "a \\<!here\\>"), ("\u{202e}", "")] {
        let told = format!("New event: {told}");
        assert_eq!(message(Format::Discord, &of(kind, &json!({})))["content"], told, "{kind:?}");
    }
}

#[test]
fn without_a_server_to_link_to_there_are_no_links_and_what_is_left_is_told() {
    for server in ["", r#","server":"misskey.example""#, r#","server":"file:///etc""#] {
        let json = format!(
            r#"{{"type":"note","body":{{"note":{{"id":"n","text":"hi"}}}},"createdAt":8640000000000000{server}}}"#
        );
        let discord = message(Format::Discord, &json);
        assert_eq!(discord["content"], "Someone wrote a note");
        assert_eq!(
            discord["embeds"],
            json!([{"author": {"name": "Someone"}, "description": "hi", "color": 0x0086_b300}])
        );
        assert_eq!(message(Format::Slack, &json)["text"], "Someone wrote a note\n> hi");
        let bare = message(Format::Discord, &json.replace("\"note\",", "\"x\","));
        assert_eq!(bare, json!({"content": "New event: x", "allowed_mentions": {"parse": []}}));
    }
    // What the URL standard lets a host have and a chat takes for a mark.
    let json = note(&json!({"text": "hi"})).replace("misskey.example", "mis`key.example");
    let slack = message(Format::Slack, &json)["text"].to_string();
    assert!(slack.contains("<https://mis%60key.example/notes/n1|") && !slack.contains('`'), "{slack}");
    // Discord refuses a whole message for a URL without a dot in its host.
    let json = note(&json!({"text": "hi"})).replace("misskey.example", "localhost:3000");
    assert_eq!(message(Format::Discord, &json)["embeds"][0].get("url"), None);
}

#[test]
fn who_reacts_and_with_what_is_told_in_each_form_that_producers_use() {
    let note = json!({"id": "n1", "user": {"username": "alice"}, "text": "mine"});
    let bob = json!({"username": "bob"});
    for body in [
        json!({"note": note, "reaction": {"reaction": ":cat@.:", "user": bob}}),
        json!({"note": note, "reaction": ":cat@.:", "user": bob}),
        json!({"note": note, "emoji": ":cat:", "user": bob}),
    ] {
        let told = message(Format::Discord, &of("reaction", &body));
        assert_eq!(told["content"], "bob (@bob) reacted with \\:cat\\: to your note");
        assert_eq!(told["embeds"][0]["description"], "mine");
    }
}

#[test]
fn a_cloud_event_has_the_bodys_own_bytes_and_attributes_that_the_specification_allows() {
    let json = |server: &str| {
        format!(
            r#"{{"type":"note@a\ufffe","userId":"u1","eventId":"e1","createdAt":8640000000000000,"source":"my server"{server},"body":{{ "b":1e400,"a":"\ud800" }}}}"#
        )
    };
    let expected = |source: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"e1","source":"{source}","type":"net.misskey.note@a{}","subject":"u1","datacontenttype":"application/json","data":{{ "b":1e400,"a":"\ud800" }}}}"#,
            '\u{fffd}'
        )
    };
    for (server, source) in [
        ("", "my%20server"),
        (r#","server":"no url""#, "my%20server"),
        (r#","server":"https://Misskey.example:443/""#, "https://misskey.example"),
        (r#","server":"https://日本.example:8443/a b""#, "https://xn--wgv71a.example:8443"),
        (r#","server":"https://a\"{b}.example""#, "https://a%22%7Bb%7D.example"),
    ] {
        assert_eq!(rendered(Format::CloudEvents, &json(server)), expected(source));
    }
}

#[test]
fn a_message_depends_on_nothing_but_event_and_webhook() {
    for (_, json) in samples() {
        for format in Format::ALL {
            assert_eq!(rendered(format, &json), rendered(format, &json));
        }
    }
}

/// The JSON in the code block of the page's section under `heading`, or of its beginning.
fn shown(page: &str, heading: &str) -> Value {
    let section = page.split_once(heading).unwrap_or_else(|| panic!("no section {heading}")).1;
    let block = section.split_once("```json\n").expect("a block").1.split("```").next().expect("its text");
    block.parse().unwrap_or_else(|error| panic!("{heading}: {error}"))
}

#[test]
fn the_page_about_formats_shows_what_is_sent() {
    let page = std::fs::read_to_string(repository("docs/formats.md")).expect("the page");
    let event = shown(&page, "# Formats\n");
    let json = event.to_string();
    assert_eq!(message(Format::Discord, &json), shown(&page, "\n## Discord\n"));
    assert_eq!(message(Format::Slack, &json), shown(&page, "\n## Slack\n"));
    let mut cloud_event = shown(&page, "\n## CloudEvents\n");
    cloud_event["data"] = event["body"].clone();
    assert_eq!(message(Format::CloudEvents, &json), cloud_event);
    for format in Format::ALL {
        let use_for_secret = if format.has_use_for_secret() { "yes" } else { "never" };
        let row =
            page.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{format}`"))).expect("a row");
        assert!(row.ends_with(&format!("| `{}` | {use_for_secret} |", format.content_type())), "{row}");
    }
}
