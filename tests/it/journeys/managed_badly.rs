//! What the management API refuses, and in which words: each refusal names the parameter and says why, in Misskey's shape.

use serde_json::{Value, json};

use super::managed::created;
use crate::support::patience::LONGEST;
use crate::support::program::{Home, TOKEN, declared};

/// The limit of a request's body.
const BODY_BYTES_MAX: usize = 64 * 1024;

fn with(base: &Value, name: &str, value: Value) -> Value {
    let mut params = base.clone();
    match value {
        Value::String(text) if text == "(left out)" => {
            params.as_object_mut().expect("an object").remove(name);
        }
        value => params[name] = value,
    }
    params
}

/// What is wrong with a parameter, the place that is told, and a part of the words.
fn mistakes() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let long = |count: usize| Value::from("x".repeat(count));
    let left_out = || json!("(left out)");
    vec![
        ("name", left_out(), "name", "it is missing"),
        ("name", json!(""), "name", "it has 0 characters"),
        ("name", json!(5), "name", "must be a string, and this is a number"),
        (
            "name",
            json!("a\u{7}b"),
            "name",
            "its character number 2 is a control character (U+0007), which is no part of a name",
        ),
        ("name", json!("a\u{202e}b"), "name", "(U+202E) that turns round what is written beside it"),
        ("name", json!(" \u{200b}"), "name", "nothing of it can be seen"),
        ("url", left_out(), "url", "it is missing"),
        ("url", json!("bot.example"), "url", "is no URL"),
        ("url", json!("ftp://a.example/"), "url", "only http and https"),
        ("url", json!("https://u:hunter2@a.example/"), "url", "user name or password"),
        (
            "url",
            Value::from(format!("https://a.example/{}", "x".repeat(1007))),
            "url",
            "1025 characters, and 1 to 1024",
        ),
        ("url", json!(null), "url", "this is null"),
        ("secret", long(1025), "secret", "1025 characters, and 1024"),
        ("secret", json!("合言葉"), "secret", "which no header can carry"),
        ("secret", json!("a\r\nX-Evil: 1"), "secret", "control character"),
        ("secret", json!(" a"), "secret", "which no header can carry"),
        ("secret", json!({}), "secret", "this is an object"),
        ("on", left_out(), "on", "it is missing"),
        ("on", json!("note"), "on", "must be an array"),
        ("on", json!([7]), "on[0]", "must be a string"),
        ("on", json!(["none of ours"]), "on[0]", "no event type known here"),
        ("on", json!([""]), "on[0]", "empty"),
        ("on", Value::from(vec![json!("reportAutoResolved"); 101]), "on", "101 items, and 100"),
        ("source", json!(""), "source", "empty"),
        ("format", json!("teams"), "format", "\"teams\" is none; it is misskey, discord, slack or cloudevents"),
        ("format", json!(""), "format", "misskey, discord, slack or cloudevents"),
        ("format", json!(["discord"]), "format", "a string or null, and this is an array"),
        ("sendSecret", json!("no"), "sendSecret", "true, false or null"),
        ("signingSecret", json!("plain"), "signingSecret", "does not begin with `whsec_`"),
        ("signingSecret", json!(5), "signingSecret", "must be a string, and this is a number"),
        ("signingKey", json!("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"), "signingKey", "this is a secret of v1"),
        ("signingKey", json!("whsk_YQ=="), "signingKey", "32 bytes, or 64 with the public key; and this has 1 bytes"),
        ("generateSigningSecret", json!("yes"), "generateSigningSecret", "true, false or null, and this is a string"),
        ("generateSigningKey", json!(1), "generateSigningKey", "true, false or null"),
        ("signingGraceS", json!(2_592_001), "signingGraceS", "whole numbers from 0 to 2592000"),
        ("signingGraceS", json!("1"), "signingGraceS", "a whole number, and this is a string"),
        ("retryScheduleS", json!([1, "2"]), "retryScheduleS[1]", "a number of seconds"),
        ("retryScheduleS", json!([0]), "retryScheduleS[0]", "0.01 to 604800 seconds"),
        ("retryScheduleS", Value::from(vec![json!(1); 101]), "retryScheduleS", "101 items"),
        ("maxAgeS", json!(0), "maxAgeS", "from 1 to 31536000"),
        ("maxAgeS", json!(1.5), "maxAgeS", "whole numbers"),
        ("timeoutMs", json!(99), "timeoutMs", "from 100 to 600000"),
        ("filters", json!({}), "filters", "must be an array of conditions"),
        (
            "filters",
            json!([{"path": "/a", "equals": 1}, {"path": "/a"}]),
            "filters[1]",
            "no operator; give one of equals",
        ),
        ("filters", json!([{"path": "note.text", "contains": "a"}]), "filters[0].path", "such as /note/user/username"),
        ("filters", json!([{"path": "/a", "in": [1, {}]}]), "filters[0].in[1]", "and this is an object"),
        (
            "filters",
            json!([{"path": "/a", "exists": true, "types": ["none of ours"]}]),
            "filters[0].types[0]",
            "no event type known here",
        ),
        ("filters", Value::from(vec![json!({"path": "/a", "exists": true}); 17]), "filters", "17 conditions, and 16"),
        (
            "rateLimit",
            json!(1),
            "rateLimit",
            "an object such as {\"perSecond\":5,\"burst\":10}, or null, and this is a number",
        ),
        ("rateLimit", json!({}), "rateLimit.perSecond", "it is missing"),
        ("rateLimit", json!({"perSecond": 0}), "rateLimit.perSecond", "0.001 to 10000 requests per second"),
        ("rateLimit", json!({"perSecond": "5"}), "rateLimit.perSecond", "a number, and this is a string"),
        ("rateLimit", json!({"perSecond": 5, "burst": 0}), "rateLimit.burst", "from 1 to 10000"),
        ("rateLimit", json!({"perSecond": 5, "burst": 1.5}), "rateLimit.burst", "whole numbers from 1 to 10000"),
        (
            "rateLimit",
            json!({"perSecond": 5, "per_second": 5}),
            "rateLimit.per_second",
            "known are perSecond and burst",
        ),
        ("rate_limit", json!({}), "rate_limit", "called rateLimit here"),
        ("signing_secret", json!("x"), "signing_secret", "called signingSecret here"),
        ("signing_key", json!("x"), "signing_key", "called signingKey here"),
        ("signing_grace_s", json!(1), "signing_grace_s", "called signingGraceS here"),
        ("generateSigningSecrets", json!(true), "generateSigningSecrets", "did you mean generateSigningSecret?"),
        ("filter", json!([]), "filter", "did you mean filters?"),
        ("sendsecret", json!(false), "sendsecret", "did you mean sendSecret?"),
    ]
}

/// Checks one refusal for a parameter.
#[track_caller]
fn assert_refused(what: &str, answer: &(u16, Value), param: &str, words: &str) {
    let (status, error) = answer;
    let error = &error["error"];
    assert_eq!(*status, 400, "{what}: {error}");
    assert_eq!((&error["code"], &error["kind"]), (&json!("INVALID_PARAM"), &json!("client")), "{what}");
    let id = "3d81ceae-475f-4600-b2a8-2bc116157532";
    assert_eq!((&error["id"], &error["message"]), (&json!(id), &json!("Invalid param.")), "{what}");
    assert_eq!(error["info"]["param"], param, "{what}: {error}");
    let reason = error["info"]["reason"].as_str().expect("words");
    assert!(reason.contains(words), "{what}: {reason}");
    assert!(!reason.contains("hunter2"), "{what}: {reason}");
}

#[tokio::test]
async fn each_mistake_in_a_parameter_is_told_with_its_name_and_why_and_changes_nothing() {
    let home = Home::new("");
    let program = home.serve().await;
    let id = created(&program, "https://a.example/").await;
    let before = program.call("i/webhooks/show", json!({"webhookId": id})).await;
    let user = json!({"userId": "u", "name": "n", "url": "https://a.example/", "on": ["note"]});
    let system = json!({"isActive": true, "name": "n", "url": "https://a.example/", "on": ["userCreated"]});
    for (name, value, param, words) in mistakes() {
        let what = format!("{name} = {value}");
        let system = with(&system, name, value.clone());
        assert_refused(&what, &program.call("admin/system-webhook/create", system).await, param, words);
        let answer = program.call("i/webhooks/create", with(&user, name, value.clone())).await;
        assert_refused(&what, &answer, param, words);
        if value != json!("(left out)") {
            let update = with(&json!({"webhookId": id}), name, value);
            assert_refused(&what, &program.call("i/webhooks/update", update).await, param, words);
        }
    }
    for (name, value, param, words) in [
        ("name", Value::from("x".repeat(101)), "name", "101 characters, and 1 to 100"),
        ("userId", json!("(left out)"), "userId", "say whose webhook it is"),
        ("source", json!("default "), "source", "white space at an end"),
        ("source", json!("\u{202e}tluafed"), "source", "turns round"),
        ("on", json!(["note", "userCreated"]), "on[1]", "no event type known here; known are note, reply"),
        ("active", json!("yes"), "active", "true or false"),
    ] {
        let answer = program.call("i/webhooks/create", with(&user, name, value)).await;
        assert_refused(name, &answer, param, words);
    }
    // Who sends an answer back to change something means well; who makes a webhook of them is told what to do.
    for (name, value, words) in [
        ("signingPublicKey", json!("whpk_YQ=="), "give the key itself as signingKey"),
        ("previousSigningSecrets", json!([{"until": null}]), "then update it with the new one"),
        ("previousSigningKeys", json!(["whsk_YQ=="]), "then update it with the new one"),
    ] {
        let answer = program.call("i/webhooks/create", with(&user, name, value.clone())).await;
        assert_refused(name, &answer, name, words);
        let answer = program.call("admin/system-webhook/create", with(&system, name, value)).await;
        assert_refused(name, &answer, name, words);
    }
    for (name, value, param, words) in [
        ("name", Value::from("x".repeat(256)), "name", "256 characters, and 1 to 255"),
        ("isActive", json!("(left out)"), "isActive", "it is missing"),
        ("userId", json!("u"), "userId", "no user's"),
        ("on", json!(["note"]), "on[0]", "no event type known here; known are abuseReport"),
    ] {
        let answer = program.call("admin/system-webhook/create", with(&system, name, value)).await;
        assert_refused(name, &answer, param, words);
    }
    for (params, param, words) in [
        (json!({}), "webhookId", "it is missing"),
        (json!({"webhookId": "a b"}), "webhookId", "letters, digits"),
        (json!({"webhookId": id, "userId": "other"}), "userId", "stays its owner's"),
        (json!({"webhookId": id, "source": "other"}), "source", "stays of its source"),
    ] {
        assert_refused(param, &program.call("i/webhooks/update", params).await, param, words);
    }
    assert_eq!(program.call("i/webhooks/show", json!({"webhookId": id})).await, before, "nothing was changed");
    assert_eq!(program.call("admin/system-webhook/list", json!({})).await.1, json!([]), "nothing was made");
    program.stop().await;
}

#[tokio::test]
async fn a_name_at_the_limit_counts_characters_and_not_bytes() {
    let home = Home::new("");
    let program = home.serve().await;
    let params = json!({"userId": "u", "name": "名".repeat(100), "url": "https://a.example/", "on": ["note"]});
    assert_eq!(program.call("i/webhooks/create", params).await.0, 200);
    program.stop().await;
}

#[tokio::test]
async fn as_deep_as_is_read_is_deep_enough_for_a_parameter_that_nobody_knows() {
    let home = Home::new("");
    let program = home.serve().await;
    let body = format!("{{\"i\":\"{TOKEN}\",\"x\":{}{}}}", "[".repeat(126), "]".repeat(126));
    assert_eq!(program.call_raw("i/webhooks/list", body).await, (200, "[]".to_owned()));
    program.stop().await;
}

#[tokio::test]
async fn a_type_that_is_named_twice_counts_once() {
    let declared = declared("declared", "https://a.example/", "note").replace("[\"note\"]", "[\"note\", \"note\"]");
    let home = Home::new(&declared);
    let program = home.serve().await;
    let params = json!({"userId": "u", "name": "n", "url": "https://a.example/", "on": ["note", "reply", "note"]});
    let (_, made) = program.call("i/webhooks/create", params).await;
    assert_eq!(made["on"], json!(["note", "reply"]));
    let update = json!({"webhookId": made["id"], "on": ["reply", "reply"]});
    assert_eq!(program.call("i/webhooks/update", update).await.0, 204);
    assert_eq!(program.call("i/webhooks/show", json!({"webhookId": made["id"]})).await.1["on"], json!(["reply"]));
    let create = ["webhooks", "create", "--url", "https://a.example/", "--on", "note,mention,note", "--json"];
    assert_eq!(home.cli(&create).await.json()["on"], json!(["note", "mention"]));
    assert_eq!(home.cli(&["webhooks", "show", "declared", "--json"]).await.json()["on"], json!(["note"]));
    program.stop().await;
}

#[tokio::test]
async fn what_a_webhook_is_answered_with_can_be_sent_back_as_it_is() {
    let home = Home::new("");
    let program = home.serve().await;
    let id = created(&program, "https://a.example/").await;
    let (_, mut webhook) = program.call("i/webhooks/show", json!({"webhookId": id})).await;
    webhook["webhookId"] = json!(id);
    let (status, error) = program.call("i/webhooks/update", webhook).await;
    assert_eq!(status, 204, "{error}");
    program.stop().await;
}

#[tokio::test]
async fn what_is_no_json_object_no_post_or_no_endpoint_is_told_in_misskeys_shape() {
    let home = Home::new("");
    let program = home.serve().await;
    let deep = format!("{{\"on\":{}{}}}", "[".repeat(127), "]".repeat(127));
    for (body, words) in [
        ("{", "no JSON"),
        ("[]", "this is an array"),
        ("name=x", "no JSON"),
        ("\u{feff}{}", "no JSON"),
        (deep.as_str(), "nests deeper than 127 levels"),
    ] {
        let (status, text) = program.call_raw("i/webhooks/list", body.to_owned()).await;
        let error: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((status, &error["error"]["code"]), (400, &json!("INVALID_PARAM")), "{body}: {error}");
        let reason = error["error"]["info"]["reason"].as_str().expect("words");
        assert!(reason.contains(words), "{body}: {reason}");
    }
    let (status, error) = program.call("notes/create", json!({})).await;
    assert_eq!((status, &error["error"]["code"]), (404, &json!("UNKNOWN_API_ENDPOINT")));
    let asked = reqwest::get(program.api_url("i/webhooks/list")).await.expect("an answer");
    assert_eq!((asked.status().as_u16(), asked.headers()["allow"].to_str().expect("text")), (405, "POST"));
    let error: Value = serde_json::from_str(&asked.text().await.expect("a body")).expect("JSON");
    assert_eq!(error["error"]["code"], "METHOD_NOT_ALLOWED");
    let compressed = program.api("i/webhooks/list").header("content-encoding", "gzip").body("x").send().await;
    assert_eq!(compressed.expect("an answer").status().as_u16(), 415);
    program.stop().await;
}

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_byte_over_it_is_413_whether_its_length_is_told_or_not() {
    let home = Home::new("");
    let program = home.serve().await;
    let frame = format!("{{\"i\":\"{TOKEN}\",\"pad\":\"\"}}").len();
    let body = |bytes: usize| format!("{{\"i\":\"{TOKEN}\",\"pad\":\"{}\"}}", "x".repeat(bytes - frame));
    assert_eq!(program.call_raw("i/webhooks/list", body(BODY_BYTES_MAX)).await.0, 200);
    let over = body(BODY_BYTES_MAX + 1);
    let (status, text) = program.call_raw("i/webhooks/list", over.clone()).await;
    assert_eq!(status, 413, "{text}");
    let error: Value = serde_json::from_str(&text).expect("JSON");
    assert!(error["error"]["info"]["reason"].as_str().expect("words").contains("more than 65536 bytes"), "{text}");
    // In chunks, so that the length is found out by counting.
    let chunks: Vec<std::io::Result<String>> = vec![Ok(over)];
    let stream = reqwest::Body::wrap(http_body_util::StreamBody::new(futures_util::stream::iter(
        chunks.into_iter().map(|chunk| chunk.map(|chunk| http_body::Frame::data(bytes::Bytes::from(chunk)))),
    )));
    assert_eq!(program.call_raw("i/webhooks/list", stream).await.0, 413);
    // What is announced and never comes is refused before it is waited for.
    let announced =
        program.api("i/webhooks/list").header("expect", "100-continue").header("content-length", "1000000000");
    assert_eq!(announced.body("").send().await.expect("an answer").status().as_u16(), 413);
    program.stop().await;
}

#[tokio::test]
async fn a_missing_and_a_wrong_token_are_told_as_misskey_does_and_many_wrong_ones_are_slowed_down_and_keep_nobody_out()
{
    let home = Home::new("");
    let program = home.serve().await;
    let answer = program.api("i/webhooks/list").body("{}").send().await.expect("an answer");
    assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"Misskey\"");
    let status = answer.status().as_u16();
    let error: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    assert_eq!((status, &error["error"]["code"]), (401, &json!("CREDENTIAL_REQUIRED")), "{error}");
    for endpoint in ["i/webhooks/list", "admin/system-webhook/list"] {
        let (status, error) = program.call(endpoint, json!({"i": "a-wrong-token-for-journeys"})).await;
        assert_eq!((status, &error["error"]["code"]), (401, &json!("AUTHENTICATION_FAILED")), "{error}");
        assert_eq!(error["error"]["id"], "b0a7f5f8-dc2f-4171-b91f-de88ad238e14");
    }
    assert_eq!(program.call("i/webhooks/list", json!({"i": 5})).await.1["error"]["info"]["param"], "i");

    // Far more at once than are answered at once. How soon they come the machine decides, so it may take several floods.
    let wrong = async || program.call("i/webhooks/list", json!({"i": "a-wrong-token-for-journeys"})).await.0;
    let began = std::time::Instant::now();
    let mut sent = 2;
    let mut told = false;
    while !told {
        let admin = async {
            for _ in 0..20 {
                assert_eq!(
                    program.call("i/webhooks/list", json!({})).await.0,
                    200,
                    "the admin is let in all the while"
                );
            }
        };
        let flood = futures_util::future::join_all((0..100).map(|_| wrong()));
        let (statuses, ()) = futures_util::future::join(flood, admin).await;
        assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
        (sent, told) = (sent + 100, statuses.contains(&429));
        assert!(began.elapsed() < LONGEST, "none of {sent} wrong tokens was told that it is too much");
    }
    assert!(began.elapsed().as_secs() >= 1, "refusals are slowed down: {:?}", began.elapsed());
    program.metric_is("hikyaku_tokens_refused_total", f64::from(sent)).await;
    assert!(program.said().contains("a request to /api was refused: its token is wrong"), "{}", program.said());
    assert!(!program.said().contains("a-wrong-token"), "{}", program.said());
    program.stop().await;
}

#[tokio::test]
async fn without_an_admin_token_the_api_says_what_to_set() {
    let home = Home::bare("server.listen = \"127.0.0.1:0\"\n");
    let program = home.serve().await;
    let (status, error) = program.call("i/webhooks/list", json!({"i": "anything-at-all-here"})).await;
    assert_eq!((status, &error["error"]["code"]), (401, &json!("CREDENTIAL_REQUIRED")));
    assert!(error["error"]["info"]["reason"].as_str().expect("words").contains("server.admin_token"), "{error}");
    program.stop().await;
}

/// Tries wrong tokens, each request made by `guesser`, until some are told that it is too much; and all the while a few by
/// `other`, who has tried none before.
async fn assert_guesser_slows_nobody(
    guess: impl Fn() -> reqwest::RequestBuilder,
    other: impl Fn() -> reqwest::RequestBuilder,
) {
    let wrong = async |request: reqwest::RequestBuilder| {
        let answer = request.body(json!({"i": "a-wrong-token-for-journeys"}).to_string()).send().await;
        answer.expect("an answer").status().as_u16()
    };
    let began = std::time::Instant::now();
    loop {
        let statuses = futures_util::future::join_all((0..100).map(|_| wrong(guess()))).await;
        if statuses.contains(&429) {
            break;
        }
        assert!(began.elapsed() < LONGEST, "the guesser is never told that it is too much");
    }
    let flood = futures_util::future::join_all((0..100).map(|_| wrong(guess())));
    let others = async {
        for _ in 0..5 {
            assert_eq!(wrong(other()).await, 401, "another's first wrong tokens are answered");
        }
    };
    let (statuses, ()) = futures_util::future::join(flood, others).await;
    assert!(statuses.contains(&429), "the guesser was slowed down meanwhile: {statuses:?}");
}

#[tokio::test]
async fn who_guesses_tokens_slows_down_nobody_at_another_address() {
    let home = Home::new("");
    let program = home.serve().await;
    #[expect(clippy::disallowed_methods, reason = "a stranger's client, not ours")]
    let client = |address: &str| {
        let address: std::net::IpAddr = address.parse().expect("an address");
        reqwest::Client::builder().local_address(address).build().expect("a client")
    };
    let (guesser, other, url) = (client("127.0.0.2"), client("127.0.0.3"), program.api_url("i/webhooks/list"));
    assert_guesser_slows_nobody(|| guesser.post(&url), || other.post(&url)).await;
    program.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_who_guesses_is_told_apart_whatever_he_writes_into_the_list_himself() {
    let home = Home::new("server.trusted_proxies = [\"127.0.0.0/8\"]\n");
    let program = home.serve().await;
    let number = std::cell::Cell::new(0);
    let guess = || {
        number.set(number.get() + 1);
        let list = format!("198.51.100.{}, 203.0.113.9", number.get() % 250);
        program.api("i/webhooks/list").header("x-forwarded-for", list)
    };
    let other = || program.api("i/webhooks/list").header("x-forwarded-for", "203.0.113.10");
    assert_guesser_slows_nobody(guess, other).await;
    program.stop().await;
}
