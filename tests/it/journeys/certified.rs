//! Client certificates through the front door: set by API, command and settings, presented to a receiver that wants one, and
//! their keys never told.

use serde_json::{Value, json};

use crate::support::broker::{Authority, Issued};
use crate::support::program::{Home, declared, event, until};
use crate::support::tls_receiver::TlsReceiver;

fn text(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).expect("readable")
}

/// A line of the key's secret part.
fn secret_line(issued: &Issued) -> String {
    text(&issued.key).lines().nth(1).expect("a line").to_owned()
}

fn shown_of(listed: &Value) -> (String, String) {
    let shown = &listed["clientCertificate"];
    (shown["subject"].to_string(), shown["sha256"].to_string())
}

#[tokio::test]
async fn a_client_certificate_set_in_each_way_is_presented_and_its_key_is_never_told() {
    // Given a receiver of an authority of ours that wants a certificate of its clients
    let (authority, clients) = (Authority::new(), Authority::new());
    let receiver = TlsReceiver::start(&authority.issue("localhost"), Some(&clients.certificate)).await;
    let [by_settings, by_api, by_command] = ["by-settings", "by-api", "by-command"].map(|name| clients.issue(name));
    let home = Home::new(&format!(
        "store.encryption_key = \"yxnUYfoWpBOGCDzEA2O7sKpNqCMyjZuGVrlHhyKq8eo=\"\noutbound.ca_files = [{:?}]\nlog.level = \
         \"debug\"\n{}client_certificate_file = {:?}\nclient_key_file = {:?}\n",
        authority.certificate,
        declared("settings", &receiver.url(), "userCreated"),
        by_settings.certificate,
        by_settings.key,
    ));

    // When each way sets one
    let (chain, key) = (by_command.certificate.display().to_string(), by_command.key.display().to_string());
    let create = ["webhooks", "create", "--id", "command", "--on", "userCreated", "--url", &receiver.url(), "--json"];
    let created = home.cli(&[&create[..], &["--client-certificate", &chain, "--client-key", &key]].concat()).await;
    let created = created.json();
    let program = home.serve().await;
    let params = json!({"isActive": true, "name": "api", "url": receiver.url(), "on": ["userCreated"],
        "clientCertificate": text(&by_api.certificate), "clientKey": text(&by_api.key)});
    let (status, made) = program.call("admin/system-webhook/create", params).await;
    assert_eq!(status, 200, "{made}");

    // Then each webhook presents its own
    assert_eq!(program.post(event("userCreated", "e1")).await.0, 200);
    let came = until("three requests have come", async || {
        let came = receiver.came();
        (came.len() == 3).then_some(came)
    })
    .await;
    for issued in [&by_settings, &by_api, &by_command] {
        assert!(came.iter().any(|came| came.certificate.as_ref() == Some(&issued.der())), "{:?}", issued.certificate);
    }

    // And nobody is told a key
    assert_eq!(shown_of(&created).0, "\"CN=by-command\"", "{created}");
    assert_eq!(shown_of(&made).0, "\"CN=by-api\"", "{made}");
    let listed = home.cli(&["webhooks", "list", "--json"]).await.ok();
    let revealed = home.cli(&["webhooks", "show", "command", "--reveal"]).await.ok();
    let (_, answered) = program.call("admin/system-webhook/list", json!({})).await;
    let said = program.said();
    let stored = ["store.db", "store.db-wal"].map(|file| std::fs::read(home.path(file)).unwrap_or_default()).concat();
    let stored = String::from_utf8_lossy(&stored).into_owned();
    for issued in [&by_settings, &by_api, &by_command] {
        let secret = secret_line(issued);
        for place in [&listed, &revealed, &answered.to_string(), &said, &stored, &created.to_string()] {
            assert!(!place.contains(&secret), "a key is told in {place}");
        }
    }
    program.stop().await;
}

#[tokio::test]
async fn a_client_certificate_stays_until_it_is_changed_or_taken_away() {
    let clients = Authority::new();
    let (one, two) = (clients.issue("one"), clients.issue("two"));
    let home = Home::new("");
    let program = home.serve().await;
    let pem = |issued: &Issued| (json!(text(&issued.certificate)), json!(text(&issued.key)));
    let (chain, key) = pem(&one);
    let params = json!({"isActive": true, "name": "n", "url": "https://a.example/", "on": ["userCreated"],
        "clientCertificate": chain, "clientKey": key});
    let (_, made) = program.call("admin/system-webhook/create", params.clone()).await;
    let update = |change: Value| {
        let mut whole = json!({"id": made["id"], "isActive": true, "name": "n", "url": "https://a.example/", "on": ["userCreated"]});
        whole.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        program.call("admin/system-webhook/update", whole)
    };

    assert_eq!(shown_of(&update(json!({"name": "m"})).await.1).0, "\"CN=one\"");
    let (chain, key) = pem(&two);
    let both = json!({"clientCertificate": chain, "clientKey": key});
    assert_eq!(shown_of(&update(both).await.1).0, "\"CN=two\"");
    let ran = home.cli(&["webhooks", "show", made["id"].as_str().expect("an id"), "--json"]).await.json();
    assert_eq!(shown_of(&ran).0, "\"CN=two\"");
    assert_eq!(update(json!({"clientCertificate": null})).await.1["clientCertificate"], Value::Null);
    program.stop().await;
}

#[tokio::test]
async fn a_client_certificate_that_cannot_be_used_is_refused_where_it_is_set_with_the_field_named() {
    let clients = Authority::new();
    let (one, two) = (clients.issue("one"), clients.issue("two"));
    let [chain, key, other] = [&one.certificate, &one.key, &two.key].map(|file| text(file));
    let home = Home::new("");
    let program = home.serve().await;
    let cases = [
        (json!({"clientCertificate": chain}), "clientKey", "it is missing"),
        (json!({"clientKey": key}), "clientCertificate", "it is missing"),
        (
            json!({"clientCertificate": chain, "clientKey": other}),
            "clientKey",
            "not the key of the certificate (CN=one)",
        ),
        (json!({"clientCertificate": key, "clientKey": key}), "clientCertificate", "it is a key"),
        (json!({"clientCertificate": {"sha256": "x"}, "clientKey": key}), "clientCertificate", "a string in PEM"),
        (json!({"client_certificate": chain}), "client_certificate", "called clientCertificate here"),
    ];
    for (given, param, words) in cases {
        let mut params = json!({"isActive": true, "name": "n", "url": "https://a.example/", "on": ["userCreated"]});
        params.as_object_mut().expect("an object").extend(given.as_object().expect("an object").clone());
        let (status, answer) = program.call("admin/system-webhook/create", params).await;
        let info = &answer["error"]["info"];
        assert_eq!((status, &info["param"]), (400, &json!(param)), "{answer}");
        assert!(info["reason"].as_str().expect("words").contains(words), "{answer}");
    }
    program.stop().await;

    let path = |file: &std::path::Path| file.display().to_string();
    let create = ["webhooks", "create", "--id", "wh1", "--on", "userCreated", "--url", "https://a.example/"];
    let mismatched = ["--client-certificate", &path(&one.certificate), "--client-key", &path(&two.key)];
    let words = format!("--client-key: {}: it is not the key of the certificate (CN=one)", path(&two.key));
    home.cli(&[&create[..], &mismatched].concat()).await.failed(2, &[&words]);
    let alone = ["--client-certificate", &path(&one.certificate)];
    home.cli(&[&create[..], &alone].concat()).await.failed(2, &["--client-key: it is missing"]);

    let hook = declared("wh1", "https://a.example/", "userCreated");
    for (files, words) in [
        (format!("client_certificate_file = {:?}\n", one.certificate), "webhooks[0].client_key_file: it is missing"),
        (
            format!("client_certificate_file = {:?}\nclient_key_file = {:?}\n", one.certificate, two.key),
            "it is not the key of the certificate (CN=one)",
        ),
        (
            format!("client_certificate_file = \"/nowhere.pem\"\nclient_key_file = {:?}\n", one.key),
            "webhooks[0].client_certificate_file: the file \"/nowhere.pem\": it cannot be read",
        ),
    ] {
        Home::new(&format!("{hook}{files}")).cli(&["webhooks", "list"]).await.failed(2, &[words]);
    }
}
