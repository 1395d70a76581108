//! Signing secrets and keys through the front door: made, changed with a grace, taken away, and never shown to whom they are not
//! meant for.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::support::journey_receiver::{Arrived, Behaviour, Receiver};
use crate::support::program::{Home, Program, declared, until};
use crate::support::signed::signed_by;

const USER: &str = "9ks5o1w5k3x90001";
const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// RFC 8032, section 7.1, test 1: a key, and its public key.
const KEY: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC_KEY: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// A webhook of the user's with these fields besides; what was answered.
async fn created(program: &Program, url: &str, fields: &Value) -> Value {
    let mut params = json!({"userId": USER, "name": "n", "url": url, "on": ["note"]});
    params.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    let (status, webhook) = program.call("i/webhooks/create", params).await;
    assert_eq!(status, 200, "{webhook}");
    webhook
}

async fn updated(program: &Program, id: &str, fields: &Value) -> (u16, Value) {
    let mut params = fields.clone();
    params["webhookId"] = id.into();
    program.call("i/webhooks/update", params).await
}

async fn shown(program: &Program, id: &str) -> Value {
    program.call("i/webhooks/show", json!({"webhookId": id})).await.1
}

/// What arrives of a note with this id.
async fn sent(program: &Program, receiver: &Receiver, id: &str) -> Arrived {
    let note = json!({"type": "note", "userId": USER, "eventId": id, "body": {"note": {"id": id}}});
    assert_eq!(program.post(note.to_string()).await.0, 200);
    receiver.until("the note arrives", |book| book.event_ids.contains(id)).await;
    let book = receiver.book();
    book.arrived.iter().find(|arrived| arrived.event_id() == id).expect("it").clone()
}

#[tokio::test]
async fn a_secret_and_a_key_that_are_made_here_take_over_while_those_before_go_on_signing_for_their_grace() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("delivery.signing_grace_s = 7200\n");
    let program = home.serve().await;
    let both = json!({"generateSigningSecret": true, "generateSigningKey": true});
    let made = created(&program, &receiver.url("/"), &both).await;
    let id = text(&made["id"]);
    let (secret, key) = (text(&made["signingSecret"]), text(&made["signingPublicKey"]));
    assert_eq!(signed_by(&sent(&program, &receiver, "one").await, &[&secret, &key]), [&*secret, &key]);

    let (status, second) = updated(&program, &id, &both).await;
    assert_eq!(status, 200, "{second}");
    let second_names: Vec<&String> = second.as_object().expect("an object").keys().collect();
    assert_eq!(second_names, ["signingPublicKey", "signingSecret"], "what is new, and nothing else");
    let (secret2, key2) = (text(&second["signingSecret"]), text(&second["signingPublicKey"]));
    let known = [&*secret, &key, &secret2, &key2];
    let arrived = sent(&program, &receiver, "two").await;
    assert_eq!(signed_by(&arrived, &known), [&*secret2, &secret, &key2, &key]);

    let webhook = shown(&program, &id).await;
    assert_eq!((&webhook["signingSecret"], &webhook["signingPublicKey"]), (&json!(secret2), &json!(key2)));
    let earlier = [&webhook["previousSigningSecrets"], &webhook["previousSigningKeys"]];
    assert_eq!(earlier.map(|list| list.as_array().map(Vec::len)), [Some(1); 2], "{webhook}");
    assert_eq!(webhook["previousSigningKeys"][0]["publicKey"], json!(key));
    for one in earlier {
        let ends = humantime::parse_rfc3339(one[0]["until"].as_str().expect("a moment")).expect("a moment");
        let left = ends.duration_since(std::time::UNIX_EPOCH).expect("later").as_secs();
        let sent_at: u64 = arrived.header("webhook-timestamp").parse().expect("seconds");
        assert!((7000..=7200).contains(&(left - sent_at)), "{one}: {sent_at}");
    }

    assert_eq!(updated(&program, &id, &json!({"signingGraceS": 0})).await, (204, Value::Null));
    assert_eq!(signed_by(&sent(&program, &receiver, "three").await, &known), [&*secret2, &key2]);
    let webhook = shown(&program, &id).await;
    assert_eq!((&webhook["previousSigningSecrets"], &webhook["previousSigningKeys"]), (&json!([]), &json!([])));
    program.stop().await;
}

#[tokio::test]
async fn a_grace_ends_by_itself() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let program = home.serve().await;
    let id = text(&created(&program, &receiver.url("/"), &json!({"signingSecret": OLD})).await["id"]);
    let (_, made) = updated(&program, &id, &json!({"generateSigningSecret": true, "signingGraceS": 1})).await;
    let new = text(&made["signingSecret"]);
    let count = Cell::new(0);
    until("the earlier secret signs no more", async || {
        count.set(count.get() + 1);
        let by = signed_by(&sent(&program, &receiver, &format!("note{}", count.get())).await, &[OLD, &new]);
        assert_eq!(by[0], new);
        (by.len() == 1).then_some(())
    })
    .await;
    assert_eq!(shown(&program, &id).await["previousSigningSecrets"], json!([]));
    program.stop().await;
}

#[tokio::test]
async fn a_key_is_set_left_alone_and_taken_away_and_never_told() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("log.level = \"trace\"\n");
    let program = home.serve().await;
    let made = created(&program, &receiver.url("/"), &json!({"signingKey": KEY, "signingSecret": OLD})).await;
    let id = text(&made["id"]);
    assert_eq!(made["signingPublicKey"], PUBLIC_KEY);
    assert_eq!(updated(&program, &id, &json!({"timeoutMs": 5000})).await.0, 204);
    assert_eq!(signed_by(&sent(&program, &receiver, "one").await, &[OLD, PUBLIC_KEY]), [OLD, PUBLIC_KEY]);
    let mut answers = vec![made.to_string(), shown(&program, &id).await.to_string()];

    // With an earlier one, as it was answered, and the key again: nothing changes.
    assert_eq!(updated(&program, &id, &json!({"generateSigningKey": true})).await.0, 200);
    let mut webhook = shown(&program, &id).await;
    webhook["userId"].take();
    let before = webhook.clone();
    webhook.as_object_mut().expect("an object").remove("userId");
    assert_eq!(updated(&program, &id, &webhook).await, (204, Value::Null));
    let mut after = shown(&program, &id).await;
    after["userId"].take();
    assert_eq!(after, before);
    answers.push(after.to_string());

    assert_eq!(updated(&program, &id, &json!({"signingKey": null})).await.0, 204);
    assert_eq!(signed_by(&sent(&program, &receiver, "two").await, &[OLD]), [OLD]);
    assert_eq!(updated(&program, &id, &json!({"signingSecret": ""})).await.0, 204);
    assert_eq!(sent(&program, &receiver, "three").await.header("webhook-signature"), "");
    answers.push(program.said());
    let secret_part = &KEY["whsk_".len()..];
    for told in answers {
        assert!(!told.contains(secret_part), "{told}");
    }
    program.stop().await;
}

#[tokio::test]
async fn what_is_made_for_a_system_webhook_is_answered_with_it() {
    let home = Home::new("");
    let program = home.serve().await;
    let mut params = json!({"isActive": true, "name": "n", "url": "https://a.example/", "on": ["userCreated"],
        "generateSigningSecret": true, "generateSigningKey": true});
    let (status, made) = program.call("admin/system-webhook/create", params.clone()).await;
    assert_eq!(status, 200, "{made}");
    params["id"] = made["id"].clone();
    let (status, changed) = program.call("admin/system-webhook/update", params).await;
    assert_eq!(status, 200, "{changed}");
    for (name, prefix) in [("signingSecret", "whsec_"), ("signingPublicKey", "whpk_")] {
        let (before, now) = (text(&made[name]), text(&changed[name]));
        assert!(before.starts_with(prefix) && now.starts_with(prefix) && before != now, "{changed}");
    }
    assert_eq!(changed["previousSigningKeys"][0]["publicKey"], made["signingPublicKey"]);
    program.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_together_is_refused() {
    let home = Home::new("");
    let program = home.serve().await;
    let id = text(&created(&program, "https://a.example/", &json!({"signingSecret": OLD})).await["id"]);
    for (fields, param, words) in [
        (
            json!({"generateSigningSecret": true, "signingSecret": OLD}),
            "generateSigningSecret",
            "signingSecret is given too",
        ),
        (
            json!({"generateSigningSecret": true, "signingSecret": null}),
            "generateSigningSecret",
            "signingSecret is given too",
        ),
        (json!({"generateSigningKey": true, "signingKey": KEY}), "generateSigningKey", "signingKey is given too"),
    ] {
        let (status, error) = updated(&program, &id, &fields).await;
        assert_eq!((status, &error["error"]["info"]["param"]), (400, &json!(param)), "{error}");
        assert!(text(&error["error"]["info"]["reason"]).contains(words), "{error}");
    }
    assert_eq!(shown(&program, &id).await["signingSecret"], OLD);
    let new = json!({"userId": USER, "name": "n", "url": "https://a.example/", "on": ["note"], "signingGraceS": 5});
    let (status, error) = program.call("i/webhooks/create", new).await;
    assert_eq!((status, &error["error"]["info"]["param"]), (400, &json!("signingGraceS")), "{error}");
    let nothing = json!({"generateSigningSecret": false, "generateSigningKey": null, "signingGraceS": null});
    assert_eq!(updated(&program, &id, &nothing).await, (204, Value::Null));
    program.stop().await;
}

#[tokio::test]
async fn by_command_what_is_made_is_shown_once_and_a_running_server_signs_with_it() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let program = home.serve().await;
    let url = receiver.url("/");
    let create = ["webhooks", "create", "--user", USER, "--on", "note", "--url", &url, "--id", "w", "--json"];
    let keys = ["--secret", "-", "--signing-secret", "-", "--signing-key", "-"];
    let typed = format!("s3cr3t\n{OLD}\n{KEY}\n");
    let made = home.cli_with(&[&create[..], &keys[..]].concat(), &typed).await.json();
    assert_eq!((&made["signingSecret"], &made["signingPublicKey"]), (&json!("***"), &json!(PUBLIC_KEY)));
    let update = ["webhooks", "update", "w", "--generate-signing-secret"];
    let changed = home.cli(&update).await.ok();
    let new = changed.lines().find_map(|line| line.strip_prefix("signingSecret")).expect("a row").trim().to_owned();
    assert!(new.starts_with("whsec_") && new != OLD, "{changed}");
    assert!(changed.contains("previousSigningSecrets") && changed.contains("until"), "{changed}");
    let shown = home.cli(&["webhooks", "show", "w"]).await.ok();
    let revealed = home.cli(&["webhooks", "show", "w", "--reveal"]).await.ok();
    assert!(!shown.contains(&new) && revealed.contains(&new), "{shown}\n{revealed}");
    for told in [&changed, &shown, &revealed] {
        assert!(!told.contains(OLD) && !told.contains(&KEY["whsk_".len()..]) && told.contains(PUBLIC_KEY), "{told}");
    }
    let count = Cell::new(0);
    until("the server knows the new secret", async || {
        count.set(count.get() + 1);
        let by = signed_by(&sent(&program, &receiver, &format!("n{}", count.get())).await, &[OLD, &new, PUBLIC_KEY]);
        (by == [&*new, OLD, PUBLIC_KEY]).then_some(())
    })
    .await;
    let ended = home.cli(&["webhooks", "update", "w", "--signing-grace", "0", "--signing-key", "none", "--json"]).await;
    // The grace is for what is changed along with it.
    let ended = ended.json();
    assert_eq!((&ended["signingPublicKey"], &ended["previousSigningKeys"]), (&Value::Null, &json!([])));
    let ended = home.cli(&["webhooks", "update", "w", "--signing-grace", "0", "--json"]).await.json();
    assert_eq!(ended["previousSigningSecrets"], json!([]));
    program.stop().await;
}

#[tokio::test]
async fn by_command_mistakes_are_told_and_change_nothing() {
    let home = Home::new(&declared("declared", "https://a.example/", "note"));
    home.cli(&["webhooks", "create", "--on", "userCreated", "--url", "https://a.example/", "--id", "w"]).await.ok();
    let before = home.cli(&["webhooks", "show", "w", "--json"]).await.json();
    for (args, words) in [
        (["--signing-secret", KEY].as_slice(), "this is a key of v1a"),
        (&["--signing-key", OLD], "this is a secret of v1"),
        (&["--signing-key", "whsk_YQ=="], "this has 1 bytes"),
        (&["--signing-key", KEY, "--generate-signing-key"], "cannot be used with"),
        (&["--signing-secret", OLD, "--generate-signing-secret"], "cannot be used with"),
        (&["--signing-grace", "2592001"], "it must be whole seconds from 0 to 2592000, which is 30 days"),
        (&["--signing-grace", "-1"], "it must be whole seconds from 0 to 2592000"),
        (&["--signing-grace", "soon"], "it must be whole seconds from 0 to 2592000"),
        (&["--timeout", "-1"], "--timeout: "),
        (&["--max-age", "-1"], "--max-age: "),
        (&["--retry-schedule", "-1,5"], "--retry-schedule: "),
    ] {
        let said = home.cli(&[&["webhooks", "update", "w"], args].concat()).await.failed(2, &[words]);
        assert!(!said.contains("nWGxne") && !said.contains("C2FVsB"), "{said}");
    }
    assert_eq!(home.cli(&["webhooks", "show", "w", "--json"]).await.json(), before);
    let create = ["webhooks", "create", "--on", "userCreated", "--url", "https://a.example/", "--signing-grace", "5"];
    home.cli(&create).await.failed(2, &["--signing-grace", "no earlier"]);
    let update = ["webhooks", "update", "declared", "--generate-signing-secret"];
    home.cli(&update).await.failed(1, &["declared in the settings file"]);
}

#[tokio::test]
async fn a_declared_webhook_signs_with_all_that_is_declared() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let earlier = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let home = Home::new(&format!(
        "{}user_id = \"{USER}\"\nsigning_secret = \"{OLD}\"\nprevious_signing_secrets = [\"{earlier}\"]\nsigning_key = \"{KEY}\"\n",
        declared("w", &receiver.url("/"), "note")
    ));
    let program = home.serve().await;
    let by = signed_by(&sent(&program, &receiver, "one").await, &[OLD, earlier, PUBLIC_KEY]);
    assert_eq!(by, [OLD, earlier, PUBLIC_KEY]);
    let webhook = shown(&program, "w").await;
    assert_eq!(webhook["previousSigningSecrets"], json!([{"until": null}]));
    program.stop().await;
}
