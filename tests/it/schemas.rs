//! The JSON Schemas of docs/schemas, held against the code, the samples of what Misskey sends, and wrong events.
//!
//! A real validator judges (Debian's python3-jsonschema, draft 2020-12; `support/validator.py`).

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use hikyaku::model::{
    Arrival, Audience, Event, EventId, ID_BYTES_MAX, SERVER_BYTES_MAX, Sender, Timestamp, known_types,
};
use serde_json::{Value, json};

use crate::support::python::{PYTHON, repository};

fn json_file(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema(name: &str) -> Value {
    json_file(&repository("docs/schemas").join(name))
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// The faults of each instance by the schema named before it.
fn faults(cases: &[(String, Value)]) -> Vec<Vec<String>> {
    let mut python = Command::new(PYTHON)
        .args(["-W", "ignore"])
        .arg(repository("tests/it/support/validator.py"))
        .arg(repository("docs/schemas"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3; tests/run installs it");
    let input = serde_json::to_vec(cases).expect("JSON");
    python.stdin.take().expect("piped").write_all(&input).expect("it reads all before it writes");
    let output = python.wait_with_output().expect("its end");
    assert!(output.status.success(), "the validator failed:\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The schema of `event`'s type for its audience, which its `userId` tells.
fn schema_of(event: &Value) -> String {
    let audience = if event["userId"].is_string() { "user" } else { "system" };
    format!("{audience}/{}.json", event["type"].as_str().expect("a type"))
}

fn fixture(name: &str) -> Value {
    json_file(&repository("tests/fixtures/misskey").join(format!("{name}.json")))
}

/// Every sample that is an event, by name: what Misskey sends, its test button too, the one that nobody sends yet, and
/// the job in Misskey's queue as the event that comes of it.
fn samples() -> Vec<(String, Value)> {
    let mut samples = Vec::new();
    for (folder, within) in [("user", "/misskey"), ("system", "/misskey"), ("test-send", "/misskey"), ("hikyaku", "")] {
        for path in files(&format!("tests/fixtures{within}/{folder}")) {
            let name = path.file_stem().expect("a name").to_string_lossy();
            samples.push((format!("{folder}/{name}"), json_file(&path)));
        }
    }
    samples.push(("hypothetical/reaction".to_owned(), fixture("hypothetical/reaction.proposed")));
    let job = fixture("queue/userWebhookDeliver.job");
    let mut data: Value = serde_json::from_str(job["fields"]["data"].as_str().expect("a text")).expect("JSON");
    data["body"] = data["content"].take();
    samples.push(("queue/userWebhookDeliver".to_owned(), data));
    samples
}

#[test]
fn each_known_type_has_a_schema_and_each_schema_is_of_a_known_type() {
    for audience in [Audience::User, Audience::System] {
        let folder = format!("docs/schemas/{}", audience.as_str());
        let of_audience = known_types().iter().filter(|known| known.audience == audience);
        let names: BTreeSet<String> = of_audience.map(|known| format!("{}.json", known.name)).collect();
        let there =
            files(&folder).iter().map(|path| path.file_name().expect("a name").to_string_lossy().into()).collect();
        assert_eq!(names, there, "the types of src/model/known_types.rs and the files of {folder}");
    }
    for known in known_types() {
        let name = format!("{}/{}.json", known.audience.as_str(), known.name);
        let schema = schema(&name);
        assert_eq!(schema["$id"], format!("https://hikyaku.example/schemas/{name}"));
        assert_eq!(schema["properties"]["type"]["const"], known.name, "{name}");
        if let Sender::Forks(forks) = known.sender {
            let fork = forks.split(',').next().expect("one");
            assert!(schema["description"].as_str().is_some_and(|text| text.contains(fork)), "{name} names {fork}");
        }
    }
}

#[test]
fn each_sample_fits_the_schema_of_its_type() {
    let samples = samples();
    let cases: Vec<_> = samples.iter().map(|(_, event)| (schema_of(event), event.clone())).collect();
    for ((name, _), faults) in samples.iter().zip(faults(&cases)) {
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
    let types: BTreeSet<_> = cases.iter().map(|(schema, _)| schema.clone()).collect();
    let of_misskey = known_types().iter().filter(|known| !matches!(known.sender, Sender::Forks(_)));
    let all = of_misskey.map(|known| format!("{}/{}.json", known.audience.as_str(), known.name)).collect();
    assert_eq!(types, all, "every type that Misskey's `on` takes, and each of our own, has a sample");
}

/// The sample with the value at `pointer` replaced, or taken away when there is none.
fn changed(sample: &str, pointer: &str, value: Option<Value>) -> Value {
    let mut event = fixture(sample);
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = event.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match value {
        Some(value) => drop(parent.insert(key.to_owned(), value)),
        None => drop(parent.remove(key).expect("it was there")),
    }
    event
}

#[test]
fn an_event_that_is_not_of_its_type_is_refused_at_the_place() {
    let text = || Some(json!("x"));
    let wrong = [
        ("user/note", "/body/note", None, "$.body"),
        ("user/note", "/body/note", Some(Value::Null), "$.body.note"),
        ("user/note", "/body/note/id", None, "$.body.note"),
        ("user/note", "/body/note/id", Some(json!(7)), "$.body.note.id"),
        ("user/note", "/body/note/id", Some(json!("")), "$.body.note.id"),
        ("user/note", "/body/note/createdAt", Some(json!(1_774_960_496_789_u64)), "$.body.note.createdAt"),
        ("user/note", "/body/note/text", None, "$.body.note"),
        ("user/note", "/body/note/text", Some(json!(["x"])), "$.body.note.text"),
        ("user/note", "/body/note/visibility", None, "$.body.note"),
        ("user/note", "/body/note/user", None, "$.body.note"),
        ("user/note", "/body/note/user/username", None, "$.body.note.user"),
        ("user/note", "/body/note/reactions", Some(json!({"x": "one"})), "$.body.note.reactions.x"),
        ("user/note", "/userId", Some(Value::Null), "$.userId"),
        ("user/note", "/userId", None, "$"),
        ("user/note", "/type", Some(json!("reply")), "$.type"),
        ("user/note", "/createdAt", text(), "$.createdAt"),
        ("user/note.rich", "/body/note/files/0/url", None, "$.body.note.files[0]"),
        ("user/note.rich", "/body/note/poll/choices/0/text", None, "$.body.note.poll.choices[0]"),
        ("user/reply", "/body/note/reply/id", None, "$.body.note.reply"),
        ("user/renote", "/body/note/renote/user/id", None, "$.body.note.renote"),
        ("user/mention", "/body/note/mentions", Some(json!("9ks5o1w5k3x90001")), "$.body.note.mentions"),
        ("user/follow", "/body/user", None, "$.body"),
        ("user/follow", "/body/user/followersCount", Some(json!(-1)), "$.body.user.followersCount"),
        ("user/follow", "/body/user/username", None, "$.body.user"),
        ("user/followed", "/body/user/host", None, "$.body.user"),
        ("user/unfollow", "/body/user/pinnedNotes", Some(json!([{"id": "1"}])), "$.body.user.pinnedNotes[0]"),
        ("hypothetical/reaction.proposed", "/body/reaction/reaction", Some(json!(1)), "$.body.reaction.reaction"),
        ("system/userCreated", "/body", Some(json!({"user": {"id": "1"}})), "$.body"),
        ("system/abuseReport", "/userId", text(), "$.userId"),
        ("system/abuseReport", "/body/reporterId", None, "$.body"),
        ("system/abuseReport", "/body/resolved", text(), "$.body.resolved"),
        ("system/abuseReportResolved", "/body/assignee", Some(json!({})), "$.body.assignee"),
        ("system/inactiveModeratorsWarning", "/body/remainingTime/time", text(), "$.body.remainingTime.time"),
        ("system/inactiveModeratorsInvitationOnlyChanged", "/body", Some(json!([])), "$.body"),
    ];
    let event = |(sample, pointer, value, _): &(&str, &str, Option<Value>, &str)| {
        let schema = schema_of(&fixture(sample));
        (schema, changed(sample, pointer, value.clone()))
    };
    let found = faults(&wrong.iter().map(event).collect::<Vec<_>>());
    for ((sample, pointer, value, place), found) in wrong.iter().zip(found) {
        let at_the_place = found.iter().any(|fault| fault.starts_with(&format!("{place}:")));
        assert!(at_the_place, "{sample} with {pointer} = {value:?} is refused at {place}: {found:#?}");
    }
}

/// Adds a key to every object but those whose keys are data.
fn with_keys_of_a_fork(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if !matches!(key.as_str(), "reactions" | "reactionEmojis" | "emojis") {
                    with_keys_of_a_fork(value);
                }
            }
            fields.insert("ofAFork".to_owned(), json!({"deep": [1, null]}));
        }
        Value::Array(items) => items.iter_mut().for_each(with_keys_of_a_fork),
        _ => {}
    }
}

#[test]
fn keys_that_a_fork_adds_anywhere_pass() {
    let mut cases: Vec<_> = samples().into_iter().map(|(_, event)| (schema_of(&event), event)).collect();
    cases.iter_mut().for_each(|(_, event)| with_keys_of_a_fork(event));
    for ((schema, _), faults) in cases.iter().zip(faults(&cases)) {
        assert!(faults.is_empty(), "{schema}: {faults:#?}");
    }
}

/// What `schema`, a part of `file`, says, with what it refers to.
fn with_references(file: &str, schema: &Value) -> Vec<(String, Value)> {
    let mut parts = vec![(file.to_owned(), schema.clone())];
    if let Some(reference) = schema["$ref"].as_str() {
        let (path, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let file = if path.is_empty() { file } else { path.trim_start_matches("../") };
        let referred =
            self::schema(file).pointer(pointer).cloned().unwrap_or_else(|| panic!("{reference} leads nowhere"));
        parts.extend(with_references(file, &referred));
    }
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        parts.extend(with_references(file, choice));
    }
    parts
}

/// Holds that every key of `value` is described where `schema`, a part of `file`, is asked.
fn assert_described(file: &str, schema: &Value, value: &Value, place: &str) {
    let parts = with_references(file, schema);
    match value {
        Value::Object(fields) if !parts.iter().any(|(_, part)| part["additionalProperties"].is_object()) => {
            for (key, value) in fields {
                let place = format!("{place}.{key}");
                let of_key = parts.iter().find(|(_, part)| part["properties"][key].is_object());
                let (file, part) = of_key.unwrap_or_else(|| panic!("{place} is in no schema"));
                assert_described(file, &part["properties"][key], value, &place);
            }
        }
        Value::Array(items) => {
            let of_items = parts.iter().find(|(_, part)| part["items"].is_object());
            let (file, part) = of_items.unwrap_or_else(|| panic!("{place}: an array in no schema"));
            items.iter().for_each(|item| assert_described(file, &part["items"], item, &format!("{place}[]")));
        }
        _ => {}
    }
}

#[test]
fn every_key_that_misskey_sends_is_described() {
    for (name, mut event) in samples() {
        if name.starts_with("queue/") {
            event = json!({"body": event["body"]});
        }
        let file = schema_of(&fixture_event(&name));
        let whole = schema(&file);
        let body = &whole["properties"]["body"];
        assert_described(&file, body, &event["body"], &name);
    }
}

fn fixture_event(name: &str) -> Value {
    samples().into_iter().find(|(other, _)| other == name).expect("a sample").1
}

#[test]
fn every_property_has_words() {
    fn look(file: &str, schema: &Value, place: &str, count: &mut usize) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{key}");
            let parts = with_references(file, property);
            let has_words =
                parts.iter().any(|(_, part)| part["description"].as_str().is_some_and(|text| text.len() > 5));
            // The whole event's own properties are described in event.json.
            assert!(has_words || matches!(key.as_str(), "type" | "userId"), "{place} has no description");
            *count += 1;
            look(file, property, &place, count);
        }
        if schema["items"].is_object() {
            look(file, &schema["items"], place, count);
        }
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            assert!(definition["description"].is_string(), "{file} {name} has no description");
            look(file, definition, name, count);
        }
    }
    let mut count = 0;
    let of_types = known_types().iter().map(|known| format!("{}/{}.json", known.audience.as_str(), known.name));
    for file in of_types.chain(["event.json".to_owned(), "defs.json".to_owned()]) {
        look(&file, &schema(&file), &file, &mut count);
    }
    assert!(count > 150, "properties are found: {count}");
}

#[test]
fn the_schema_of_any_event_and_the_program_agree_about_what_an_event_is() {
    let long = |bytes| "x".repeat(bytes);
    let mut events = vec![json!({"type": "x"}), json!({"body": {}}), json!([]), json!("x"), Value::Null];
    let with = |key: &str, value: Value| {
        let mut event = json!({"type": "never.seen", "body": {}});
        event[key] = value;
        event
    };
    for key in ["type", "userId", "eventId", "source", "server"] {
        let max = if key == "server" { SERVER_BYTES_MAX } else { ID_BYTES_MAX };
        for value in [json!(""), json!("x"), json!(long(max)), json!(long(max + 1)), json!("a\u{7f}b"), json!("a\tb")] {
            events.push(with(key, value));
        }
        events.extend([json!(null), json!(1), json!({})].map(|value| with(key, value)));
    }
    let moments = [json!(0), json!(-1), json!(1.5), json!("1"), json!(null), json!(8_640_000_000_000_000_u64)];
    events.extend(moments.map(|value| with("createdAt", value)));
    events.push(with("createdAt", json!(8_640_000_000_000_001_u64)));
    events.extend([json!({}), json!([]), json!(null), json!("{}")].map(|value| with("body", value)));
    events.push(with("unknown", json!({})));
    let cases: Vec<_> = events.into_iter().map(|event| ("event.json".to_owned(), event)).collect();
    let mut taken = 0;
    for ((_, event), faults) in cases.iter().zip(faults(&cases)) {
        let arrival = Arrival {
            now: Timestamp::from_millis(7),
            event_id: EventId::new("made").expect("valid"),
            event_bytes_max: 1 << 20,
            source: None,
        };
        let parsed = Event::parse(&Bytes::from(event.to_string()), arrival);
        assert_eq!(parsed.is_ok(), faults.is_empty(), "{event}: the program: {parsed:?}, the schema: {faults:?}");
        taken += usize::from(parsed.is_ok());
    }
    assert!(taken > 10 && taken < cases.len() - 10, "some are taken and some are not: {taken} of {}", cases.len());
}

#[test]
fn the_page_about_events_has_a_row_for_each_known_type() {
    let page = std::fs::read_to_string(repository("docs/events.md")).expect("the page");
    let rows: BTreeSet<(String, String)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| [`")?.split_once("`](schemas/"))
        .map(|(name, rest)| (rest.split('/').next().expect("a folder").to_owned(), name.to_owned()))
        .collect();
    let known = known_types().iter().map(|known| (known.audience.as_str().to_owned(), known.name.to_owned()));
    assert_eq!(rows, known.collect());
}

#[test]
fn the_pages_example_of_validation_tells_what_is_wrong() {
    let page = std::fs::read_to_string(repository("docs/events.md")).expect("the page");
    let (_, rest) = page.split_once("```python\n").expect("an example");
    let (script, _) = rest.split_once("```").expect("its end");
    let said = |event: &Value| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), event.to_string()).expect("written");
        let output = Command::new(PYTHON)
            .args(["-W", "ignore", "-c", script])
            .arg(file.path())
            .current_dir(repository(""))
            .output()
            .expect("python3; tests/run installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(said(&fixture("user/note")), "");
    assert_eq!(said(&fixture("system/userCreated")), "");
    assert!(said(&changed("user/note", "/body/note/id", None)).contains("$.body.note 'id' is a required property"));
}
