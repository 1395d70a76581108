//! Commands that ask a running hikyaku by `--url`: they say what they say beside its files.

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Ran, TOKEN, declared, events, until};

/// The words of a command that succeeded, of both outputs.
#[track_caller]
fn said(ran: Ran) -> (String, String) {
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    (ran.stdout, ran.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_and_webhooks_are_told_alike_from_the_files_and_over_the_network() {
    let (well, bad) = (Receiver::start(Behaviour::Answer(200)).await, Receiver::start(Behaviour::Answer(404)).await);
    let webhooks = declared("well", &well.url("/?token=hidden"), "note") + &declared("bad", &bad.url("/"), "note");
    let home = Home::new(&webhooks);
    let program = home.serve().await;
    home.write("token", &format!("{TOKEN}\n"));
    let create =
        ["webhooks", "create", "--id", "mine", "--user", "u1", "--url", "https://bot.example/x", "--on", "mention"];
    home.cli(
        &[&create[..], &["--secret", "s3cr3t", "--signing-secret", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]].concat(),
    )
    .await
    .ok();
    assert_eq!(program.post(events("note", "e", 300)).await.0, 200);
    let id = until("the history has all of them", async || {
        let (status, page) = program.operate("/v1/deliveries?state=dead&limit=1000").await;
        let dead = page["deliveries"].as_array().filter(|dead| status == 200 && dead.len() == 300)?;
        dead[0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let remote = ["--url", program.address.as_str(), "--token-file", "token"];
    for args in [
        vec!["deliveries", "list"],
        vec!["deliveries", "list", "--limit", "2000"],
        vec!["deliveries", "list", "--limit", "2000", "--json"],
        vec!["deliveries", "list", "--webhook", "bad", "--event", "e7", "--state", "dead", "--since", "1h"],
        vec!["deliveries", "list", "--type", "mention", "--json"],
        vec!["deliveries", "show", &id],
        vec!["deliveries", "show", &id, "--json"],
        vec!["dead", "list"],
        vec!["dead", "list", "--limit", "7", "--json"],
        vec![
            "dead",
            "list",
            "--webhook",
            "bad",
            "--reason",
            "refused",
            "--status",
            "404",
            "--since",
            "1h",
            "--limit",
            "1000",
        ],
        vec!["dead", "list", "--id", &id, "--json"],
        vec!["dead", "show", &id],
        vec!["dead", "show", &id, "--json"],
        vec!["webhooks", "list"],
        vec!["webhooks", "list", "--system", "--json"],
        vec!["webhooks", "list", "--user", "u1"],
        vec!["webhooks", "show", "mine"],
        vec!["webhooks", "show", "mine", "--reveal", "--json"],
    ] {
        let here = said(home.cli(&args).await);
        let there = [&args[..1], &remote[..], &args[1..]].concat();
        assert!(said(home.cli(&there).await) == here, "{args:?} and {there:?} say something else");
        let behind = [&args[..], &remote[..]].concat();
        assert!(said(home.cli(&behind).await) == here, "{args:?} and {behind:?} say something else");
    }
    let deleting = [&["webhooks"], &remote[..], &["delete", "mine"]].concat();
    assert_eq!(home.cli(&deleting).await.ok(), "deleted mine\n");
    home.cli(&["webhooks", "show", "mine"]).await.failed(1, &["mine"]);
    program.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_url_token_or_question_is_told_in_words() {
    let home = Home::new("");
    let program = home.serve().await;
    let address = program.address.clone();
    home.write("token", TOKEN);
    home.write("wrong", "another-token-of-some-length");
    let ask = async |args: &[&str]| home.cli(args).await;
    let list = ["deliveries", "list", "--url", &address, "--token-file"];
    ask(&[&list[..], &["wrong"]].concat()).await.failed(1, &["401", "the bearer token is wrong"]);
    ask(&[&list[..], &["absent"]].concat()).await.failed(1, &["absent"]);
    ask(&list[..4]).await.failed(2, &["--token-file", "HIKYAKU_TOKEN"]);
    ask(&["deliveries", "list", "--token-file", "token"]).await.failed(2, &["--url"]);
    ask(&[&list[..], &["token", "--since", "yesterday"]].concat()).await.failed(2, &["since", "like 2026-11-22"]);
    ask(&["deliveries", "show", "msg_abc", "--url", &address, "--token-file", "token"]).await.failed(2, &["msg_"]);
    ask(&["deliveries", "list", "--url", "ftp://a", "--token-file", "token"]).await.failed(2, &["http://"]);
    let webhooks = ["webhooks", "--url", &address, "--token-file", "token"];
    ask(&[&webhooks[..], &["show", "absent"]].concat()).await.failed(1, &["no webhook absent"]);
    let by_variable = format!("HIKYAKU_TOKEN={TOKEN} \"$HIKYAKU\" deliveries list --json --url {address}");
    // There is no history before anything was delivered, and that is told as it is beside the files.
    let ran = home.shell(&by_variable).await;
    assert!(ran.code == Some(0) || ran.stderr.contains("there is no history"), "{ran:#?}");
    program.stop().await;
    ask(&[&list[..], &["token"]].concat()).await.failed(1, &["does not answer", "server.listen"]);
}
