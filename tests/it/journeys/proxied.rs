//! Proxies of the settings and of the environment, at the front door.

use std::net::TcpListener;

use serde_json::json;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, declared, event};
use crate::support::proxies::{CREDENTIALS, Kind, Proxy};

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("asked without waiting");
    let url = format!("http://{}", trap.local_addr().expect("bound"));
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let all = names.iter().flat_map(|name| [(*name).to_owned(), name.to_lowercase()]);
    let exports: Vec<String> = all.map(|name| format!("export {name}={url}")).collect();
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    // The Misskey of the settings is asked too.
    let home = Home::new(&format!(
        "misskey.url = \"{}\"\n{}",
        receiver.url(""),
        declared("mods", &receiver.url("/hook"), "userCreated")
    ));
    let program = home.serve_after(&exports.join("; ")).await;
    assert_eq!(program.post(event("userCreated", "e1")).await.0, 200);
    receiver.until_distinct(1).await;
    let came = trap.accept().map(|(_, from)| from);
    assert_eq!(came.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock), "the proxy was connected to");
    program.stop().await;
}

#[tokio::test]
async fn deliveries_go_through_the_proxy_of_the_settings_and_its_password_is_told_nowhere() {
    let (proxy, receiver) = (Proxy::start(Kind::Tinyproxy, true).await, Receiver::start(Behaviour::Answer(200)).await);
    let settings = |url: &str| {
        format!(
            "outbound.proxy = \"{url}\"\nlog.level = \"trace\"\n{}",
            declared("mods", &receiver.url("/hook"), "userCreated")
        )
    };
    let home = Home::new(&settings(&proxy.url()));
    let program = home.serve().await;
    assert_eq!(program.post(event("userCreated", "e1")).await.0, 200);
    receiver.until_distinct(1).await;
    assert!(proxy.said().contains("CONNECT 127.0.0.1:"), "{}", proxy.said());
    assert!(!program.said().contains(CREDENTIALS.1), "{}", program.said());
    program.stop().await;

    // A proxy that does not take us is our failure, and the log says which.
    let home = Home::new(&settings(&proxy.url_as("hikyaku:wr0ng-s3cr3t@")));
    let mut program = home.serve().await;
    assert_eq!(program.post(event("userCreated", "e2")).await.0, 200);
    let line = program.line("an attempt could not be made here").await;
    assert!(
        line.contains("the proxy http://127.0.0.1:") && line.contains("does not take the user and password"),
        "{line}"
    );
    program.metric_is("hikyaku_parked_total{reason=\"our_fault\"}", 1.0).await;
    let (_, listed) = program.call("admin/system-webhook/list", json!({})).await;
    for place in [program.said(), listed.to_string()] {
        assert!(!place.contains("wr0ng-s3cr3t"), "{place}");
    }
    assert_eq!(receiver.book().arrived.len(), 1);
    program.stop().await;
}

#[tokio::test]
async fn a_proxy_that_is_none_is_refused_at_the_start_without_its_password() {
    for (settings, words) in [
        ("proxy = \"socks5h://u:hunter2@p.example\"", "outbound.proxy: names are looked up here"),
        ("proxy = \"https://u:hunter2@p.example\"", "outbound.proxy: a proxy that is spoken to by TLS"),
        ("proxy_resolves = true", "outbound.proxy_resolves: it is true, and outbound.proxy is not set"),
    ] {
        let said = Home::new(&format!("[outbound]\n{settings}\n")).cli(&["webhooks", "list"]).await.failed(2, &[words]);
        assert!(!said.contains("hunter2"), "{said}");
    }
}
