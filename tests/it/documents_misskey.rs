//! What docs/misskey.md tells an admin to do, done: its settings are taken, its networks are single addresses, its calls
//! register and repair a webhook at a stand-in that answers as Misskey does, and its request by hand is stored.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::misskey::Misskey;
use crate::support::program::{Home, until};
use crate::support::python::{repository, yaml};

const ALICE: &str = "9ks5o1w5k3x90001";
const MASTER: &str = "a-master-of-at-least-32-characters";

fn page() -> String {
    std::fs::read_to_string(repository("docs/misskey.md")).expect("the page")
}

/// The code blocks of `language` in `text`.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    let blocks = text.split(opening.as_str()).skip(1).map(|rest| rest.split("```").next().expect("a first part"));
    blocks.collect()
}

/// The section under `heading`, up to the next one of any level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("# {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    rest.split("\n#").next().expect("a first part")
}

/// Runs lines of bash in which each NAME=... of `values` has that value, and tells what they print.
async fn bash(lines: &str, values: &[(&str, &str)]) -> String {
    let set = |line: &str| {
        let value = values.iter().find(|(name, _)| line.starts_with(&format!("{name}=")));
        value.map_or_else(|| line.to_owned(), |(name, value)| format!("{name}='{value}'"))
    };
    let script: Vec<String> = lines.lines().map(set).collect();
    let unset: Vec<String> = values
        .iter()
        .filter(|(name, _)| !lines.lines().any(|line| line.starts_with(&format!("{name}="))))
        .map(|(name, value)| format!("{name}='{value}'"))
        .collect();
    let script = [unset.join("\n"), script.join("\n")].join("\n");
    assert!(!script.contains("=..."), "every value is known: {script}");
    let output = Command::new("bash").args(["-euc", &script]).stdin(Stdio::null()).output().await.expect("bash");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test]
async fn each_example_of_settings_is_taken() {
    let page = page();
    let examples = blocks(&page, "toml");
    assert!(examples.len() >= 5, "examples are found: {}", examples.len());
    for settings in &examples {
        // Each secret made anew, as the page says.
        let settings = settings.replace("openssl-rand-hex-32", "0123456789abcdef0123456789abcdef");
        let ran = Home::bare(&settings).cli(&["webhooks", "list"]).await;
        assert_eq!(ran.code, Some(0), "{settings}\n{}", ran.stderr);
    }
    let example = std::fs::read_to_string(repository("hikyaku.example.toml")).expect("the example");
    for named in page.split("`misskey.").skip(1) {
        let name: String = named.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        assert!(example.contains(&format!("\n{name} = ")), "misskey.{name} is no setting");
    }
}

#[tokio::test]
async fn a_secret_that_stands_on_the_page_is_taken_for_none() {
    let page = page();
    let (both, one) = (["master", "secret"], ["master"]);
    let with_secrets: Vec<&str> =
        blocks(&page, "toml").into_iter().filter(|settings| settings.contains("openssl-rand-hex-32")).collect();
    assert_eq!(with_secrets.len(), 3, "{with_secrets:?}");
    for settings in with_secrets {
        let named: &[&str] = if settings.contains("secret = ") { &both } else { &one };
        let ran = Home::bare(settings).cli(&["webhooks", "list"]).await;
        ran.failed(2, &[named, &["which everyone knows", "`openssl rand -hex 32` makes a good one"]].concat());
    }
}

#[test]
fn what_misskey_is_allowed_to_reach_is_hikyakus_address_alone() {
    let page = page();
    let folder = tempfile::tempdir().expect("a folder");
    let mut allowed = Vec::new();
    let mut composed = 0;
    for (number, block) in blocks(&page, "yaml").into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.yml"));
        std::fs::write(&path, block).expect("written");
        let document = yaml(path.to_str().expect("UTF-8"));
        if let Some(networks) = document["allowedPrivateNetworks"].as_array() {
            // Misskey 2026.7 and later does not read a list in brackets here.
            assert!(!block.contains('['), "{block}");
            allowed.extend(networks.iter().map(|network| network.as_str().expect("a text").to_owned()));
        } else {
            composed += 1;
            // The network that this repository's compose file makes, in which hikyaku has its address.
            let ours = &yaml("docker-compose.yml");
            let network = document["networks"].as_object().expect("networks").keys().next().expect("one");
            assert_eq!(ours["networks"]["misskey"]["name"], *network, "{block}");
            assert!(document["services"]["web"]["networks"].to_string().contains(network.as_str()), "{block}");
            for service in ["hikyaku", "ingest"] {
                let address = ours["services"][service]["networks"]["misskey"]["ipv4_address"].as_str();
                let address = address.expect("an address");
                assert!(page.contains(&format!("http://{address}:8787/ingest/misskey")), "{address}");
            }
        }
    }
    assert_eq!((allowed.len(), composed), (2, 1));
    for network in allowed {
        let address = network.strip_suffix("/32").unwrap_or_else(|| panic!("{network} is more than one address"));
        assert!(page.contains(&format!("ingest_url = \"http://{address}:8787/ingest/misskey\"")), "{address}");
    }
    assert!(!page.contains("//localhost"), "Misskey does not find localhost");
}

#[tokio::test]
async fn the_calls_register_a_webhook_and_repair_it() {
    let misskey = Misskey::start().await;
    let token = misskey.world(|world| {
        world.person(ALICE, "alice");
        world.app_token(ALICE, &["read:account", "write:account"])
    });
    let page = page();
    let calls = blocks(section(&page, "A person's: by API"), "sh");
    let [register, repair] = calls.as_slice() else { panic!("two blocks: {calls:?}") };
    let url = misskey.url();
    let values = [("MISSKEY", url.as_str()), ("TOKEN", &token), ("SECRET", "s3cr3t")];
    let said = bash(register, &values).await;
    let (id, created) = said.split_once('\n').expect("the id in a line of its own, and the answer");
    assert_eq!(id, format!("\"id\":\"{ALICE}\""));
    let created: Value = serde_json::from_str(created).expect("JSON");
    let every_type = created["on"].clone();
    assert_eq!(every_type.as_array().map(Vec::len), Some(8));
    assert_eq!((&created["secret"], &created["active"]), (&json!("s3cr3t"), &json!(true)));

    misskey.world(|world| {
        world.webhooks[0]["on"] = json!(["note"]);
        world.webhooks[0]["active"] = json!(false);
    });
    let webhook = created["id"].as_str().expect("an id");
    let said = bash(repair, &[&values[..], &[("WEBHOOK", webhook)]].concat()).await;
    assert!(said.contains(webhook) && !said.contains("error"), "{said}");
    let repaired = misskey.world(|world| world.webhooks[0].clone());
    assert_eq!((&repaired["on"], &repaired["active"]), (&every_type, &json!(true)));
}

#[tokio::test]
async fn a_request_by_hand_is_stored_and_counted() {
    let home = Home::new(&format!("[[misskey.ingest]]\nmaster = \"{MASTER}\"\n"));
    let program = home.serve().await;
    let secret = home.cli(&["misskey", "secret", "--user", ALICE]).await.ok();
    let page = page();
    let shown = blocks(section(&page, "5. See that it works"), "sh");
    let [counts, by_hand] = shown.as_slice() else { panic!("two blocks: {shown:?}") };
    let ingest = format!("{}/ingest/misskey", program.address);
    assert_eq!(bash(by_hand, &[("INGEST", &ingest), ("SECRET", secret.trim())]).await, "204\n");
    let counts = counts.lines().next().expect("a line").replace("http://127.0.0.87:8787", &program.metrics_address);
    until("it is counted", async || {
        let said = bash(&counts, &[]).await;
        let names =
            ["events_accepted_total{source=\"default\"} 1", "ingest_refused_total{reason", "deliveries_total{result"];
        names.iter().all(|name| said.contains(&format!("hikyaku_{name}"))).then_some(())
    })
    .await;
    let (_, there) = program.get("/metrics").await;
    for named in page.split("hikyaku_").skip(1) {
        let name: String = named.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        // Nothing more than that is the pattern of the line above.
        assert!(name.is_empty() || there.contains(&format!("# TYPE hikyaku_{name} ")), "hikyaku_{name} is no metric");
    }
    let refused = bash(by_hand, &[("INGEST", &ingest), ("SECRET", "wrong")]).await;
    assert!(refused.contains("the secret is wrong") && refused.ends_with("401\n"), "{refused}");
    program.stop().await;
}

#[tokio::test]
async fn the_commands_and_flags_that_are_named_are_there() {
    let page = page();
    let help = Home::bare("").cli(&["misskey", "connect", "--help"]).await.ok();
    let connect = section(&page, "A person's: by `connect`");
    let flags: Vec<&str> = connect.split("`--").skip(1).filter_map(|rest| rest.split('`').next()).collect();
    assert!(flags.len() >= 5, "{flags:?}");
    for flag in flags {
        assert!(help.contains(&format!("--{flag}")), "--{flag} is no flag of connect:\n{help}");
    }
}
