//! The address guard at the front door: what is refused at registration, in which words, and what the settings open.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::managed::created;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::misskey::Misskey;
use crate::support::program::{Home, Program, TOKEN, declared, event, until};

const ALICE: &str = "9ks5o1w5k3x9alice";
/// Addresses that are forbidden without settings, in several notations.
const INSIDE: [&str; 6] = [
    "http://127.0.0.1:9000/hook",
    "http://2130706433/",
    "http://169.254.169.254/latest/meta-data/",
    "https://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[fd00::1]:8080/",
];

/// Checks that `answer` refuses the parameter `param` for its address.
#[track_caller]
fn assert_refused(answer: &(u16, Value), param: &str) {
    let (status, error) = (answer.0, &answer.1["error"]);
    assert_eq!(
        (status, &error["code"], &error["info"]["param"]),
        (400, &json!("INVALID_PARAM"), &json!(param)),
        "{error}"
    );
    let reason = error["info"]["reason"].as_str().expect("a reason");
    assert!(reason.contains(" is forbidden: "), "{reason}");
}

fn system_hook(url: &str) -> Value {
    json!({"isActive": true, "name": "n", "url": url, "on": ["userCreated"]})
}

#[tokio::test]
async fn a_url_that_is_a_forbidden_address_is_refused_by_every_call_that_takes_one() {
    let home = Home::guarded("");
    let program = home.serve().await;
    let id = created(&program, "https://a.example/").await;
    for url in INSIDE {
        let params = json!({"userId": ALICE, "name": "hook", "url": url, "secret": "s", "on": ["note"]});
        assert_refused(&program.call("i/webhooks/create", params).await, "url");
        assert_refused(&program.call("i/webhooks/update", json!({"webhookId": id, "url": url})).await, "url");
        assert_refused(&program.call("admin/system-webhook/create", system_hook(url)).await, "url");
        let test = json!({"webhookId": id, "type": "note", "override": {"url": url}});
        assert_refused(&program.call("i/webhooks/test", test).await, "override.url");
    }
    let (_, listed) = program.call("i/webhooks/list", json!({})).await;
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["url"]), (Some(1), &json!("https://a.example/")));
    program.stop().await;
}

#[tokio::test]
async fn a_url_that_is_a_forbidden_address_is_refused_by_command_and_in_the_settings_with_the_way_out() {
    let way_out = "delivery.allowed_private_networks = [\"127.0.0.1/32\"]";
    let home = Home::guarded("");
    let create = ["webhooks", "create", "--id", "wh1", "--on", "note", "--url"];
    home.cli(&[&create[..], &["http://127.1:9000/hook"]].concat())
        .await
        .failed(2, &["url: 127.0.0.1 is forbidden", way_out]);
    home.cli(&[&create[..], &["https://a.example/"]].concat()).await.ok();
    let update = ["webhooks", "update", "wh1", "--url", "http://127.0.0.1/"];
    home.cli(&update).await.failed(2, &["url: 127.0.0.1 is forbidden", way_out]);

    let settings = declared("mods", "http://127.0.0.1:9000/hook", "userCreated");
    let refused = Home::guarded(&settings).cli(&["webhooks", "list"]).await;
    refused.failed(
        2,
        &["webhooks: the url of the webhook mods: 127.0.0.1 is forbidden: 127.0.0.0/8 is loopback", way_out],
    );
    let opened = format!("delivery.allowed_private_networks = [\"127.0.0.1/32:9000\"]\n{settings}");
    Home::guarded(&opened).cli(&["webhooks", "list"]).await.ok();
}

#[tokio::test]
async fn what_the_settings_open_is_delivered_to_and_what_they_close_again_is_dead_at_once_with_words() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::guarded("delivery.allowed_private_networks = [\"127.0.0.1/32\"]\n");
    let program = home.serve().await;
    let (_, hook) = program.call("admin/system-webhook/create", system_hook(&receiver.url("/"))).await;
    assert_eq!(program.post(event("userCreated", "e1")).await.0, 200);
    receiver.until_distinct(1).await;
    program.stop().await;

    home.write("hikyaku.toml", &format!("server.listen = \"127.0.0.1:0\"\nserver.admin_token = \"{TOKEN}\"\n"));
    let program = home.serve().await;
    assert_eq!(program.post(event("userCreated", "e2")).await.0, 200);
    program.metric_is("hikyaku_dead_letters_total{reason=\"forbidden\"}", 1.0).await;
    let letter = until("the dead letter is listed", async || {
        let letters = home.cli(&["dead", "list", "--json"]).await.ok();
        letters.contains("127.0.0.1").then_some(letters)
    })
    .await;
    assert!(letter.contains("127.0.0.1 is forbidden: 127.0.0.0/8 is loopback"), "{letter}");
    assert!(letter.contains("delivery.allowed_private_networks"), "{letter}");
    assert_eq!(receiver.book().arrived.len(), 1);

    // Whoever changes something else is not asked about the address.
    let mut update = system_hook(&receiver.url("/"));
    (update["id"], update["isActive"]) = (hook["id"].clone(), json!(false));
    assert_eq!(program.call("admin/system-webhook/update", update).await.0, 200);
    program.stop().await;
}

#[tokio::test]
async fn a_test_of_a_webhook_whose_name_leads_inside_sends_nothing_and_says_why() {
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("asked without waiting");
    let url = format!("http://localhost:{}/hook", trap.local_addr().expect("bound").port());
    let home = Home::guarded("");
    let program = home.serve().await;
    let id = created(&program, &url).await;

    let test = json!({"webhookId": id, "type": "note", "wait": true});
    let (status, tested) = program.call("i/webhooks/test", test).await;
    assert_eq!((status, &tested["outcome"]), (200, &json!("forbidden")), "{tested}");
    let by_command = home.cli(&["webhooks", "test", &id, "--type", "note"]).await;
    assert_eq!(by_command.code, Some(1), "{by_command:#?}");
    let words = "not delivered (forbidden): the name \"localhost\" leads to an address that is not allowed. ";
    assert!(by_command.stdout.contains(words), "{by_command:#?}");

    assert!(trap.accept().is_err(), "somebody came");
    program.stop().await;
}

#[tokio::test]
async fn the_admins_misskey_may_be_private_and_its_peoples_webhooks_may_not_lead_there() {
    let misskey = Misskey::start().await;
    let alice = misskey.world(|world| world.person(ALICE, "alice"));
    let home = Home::guarded(&format!("misskey.url = \"{}\"\n", misskey.url()));
    let program = home.serve().await;
    let hook = |url: &str| json!({"i": alice, "name": "hook", "url": url, "secret": "s", "on": ["note"]});

    assert_eq!(
        program.call("i/webhooks/create", hook("https://a.example/")).await.0,
        200,
        "Misskey was asked who she is"
    );

    assert_refused(&program.call("i/webhooks/create", hook(&format!("{}/api/x", misskey.url()))).await, "url");
    program.stop().await;
}

#[tokio::test]
async fn a_person_is_not_told_to_which_address_inside_a_name_leads() {
    let misskey = Misskey::start().await;
    let alice = misskey.world(|world| world.person(ALICE, "alice"));
    let home = Home::guarded(&format!("misskey.url = \"{}\"\n", misskey.url()));
    let program = home.serve().await;
    let hook = json!({"i": alice, "name": "hook", "url": "http://localhost/", "secret": "s", "on": ["note"]});
    let (_, made) = program.call("i/webhooks/create", hook).await;

    let test = json!({"i": alice, "webhookId": made["id"], "type": "note", "wait": true});
    let (status, tested) = program.call("i/webhooks/test", test).await;

    assert_eq!((status, &tested["outcome"]), (200, &json!("forbidden")), "{tested}");
    let words = tested["error"].as_str().expect("words");
    assert!(words.contains("an admin of hikyaku can see which"), "{words}");
    assert!(!words.contains("127.0.0.1") && !words.contains("::1"), "{words}");
    program.stop().await;
}

#[tokio::test]
async fn a_network_that_cannot_be_read_ends_the_start_with_words_and_a_variable_can_name_several() {
    let home = Home::guarded("delivery.allowed_private_networks = [\"10.0.0.5/8\", \"localhost\", \"0.0.0.0/0\"]\n");
    home.cli(&["webhooks", "list"]).await.failed(
        2,
        &[
            "delivery.allowed_private_networks[0]: \"10.0.0.5/8\" is no network; did you mean 10.0.0.0/8",
            "delivery.allowed_private_networks[1]: \"localhost\" is no IP address",
            "delivery.allowed_private_networks[2]: 0.0.0.0/0 is every address",
        ],
    );
    let line = "HIKYAKU__DELIVERY__ALLOWED_PRIVATE_NETWORKS='10.0.0.0/8:8080, [fd00::/8]:443' \"$HIKYAKU\" webhooks create \
                --id \"$0\" --on note --url";
    let home = Home::guarded("");
    home.shell(&format!("{line} http://10.0.0.5:8080/ && {line} https://[fd00::5]/")).await.failed(1, &["already"]);
    home.shell(&format!("{line} http://10.0.0.5/")).await.failed(2, &["opens it for other ports only"]);
}

#[tokio::test]
async fn the_demo_opens_the_ports_of_its_own_receivers_and_nothing_else_of_this_machine() {
    let home = Home::guarded("");
    let mut demo: Program = home.start(&["demo", "--keep"]);
    let line = demo.line("still running: events to http://").await;
    let (_, rest) = line.split_once("events to http://").expect("just found");
    let (address, _) = rest.split_once("/v1/events").expect("the address ends");
    demo.address = format!("http://{address}");
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut params = system_hook(&format!("http://{}/", trap.local_addr().expect("bound")));
    params["i"] = json!("demo-admin-token");
    let answer = demo.call("admin/system-webhook/create", params).await;
    assert_refused(&answer, "url");
    let words = answer.1["error"]["info"]["reason"].as_str().expect("a reason").to_owned();
    assert!(words.ends_with("opens it for other ports only"), "{words}");
    demo.signal("INT").await;
    demo.ended().await;
}
