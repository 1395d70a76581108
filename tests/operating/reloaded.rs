//! SIGHUP: a running hikyaku reads its settings again, all or nothing.

use reqwest::Method;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::database;
use crate::support::program::{Home, Program, TOKEN, declared, event, events, until};

const OTHER_TOKEN: &str = "another-token-for-journeys";

/// Settings with that token, and `more`.
fn settings(token: &str, more: &str) -> String {
    format!("server.listen = \"127.0.0.1:0\"\nserver.admin_token = \"{token}\"\n{more}")
}

/// The status of a question with `token`, on a connection that is kept.
async fn asked_with(program: &Program, token: &str) -> u16 {
    let request = program.asking(Method::GET, &format!("{}/v1/webhooks", program.address)).bearer_auth(token);
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn what_can_change_changes_what_cannot_is_named_and_tokens_count_from_the_next_request_on() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let mut program = home.serve().await;
    assert_eq!((asked_with(&program, TOKEN).await, asked_with(&program, OTHER_TOKEN).await), (200, 401));

    let more = format!(
        "log.level = \"debug\"\ndelivery.concurrency = 64\nqueue.prefetch = 128\n{}",
        declared("hook", &receiver.url("/"), "note")
    );
    home.write("hikyaku.toml", &settings(OTHER_TOKEN, &more));
    program.signal("HUP").await;

    let line = program.line("the settings were read again; changed: ").await;
    assert!(line.ends_with("changed: server.admin_token, log.level, webhooks"), "{line}");
    for name in ["queue.prefetch", "delivery.concurrency", "delivery.slots_per_webhook"] {
        program.line(&format!("the setting {name} has changed and needs a restart")).await;
    }
    let taken = async || (asked_with(&program, OTHER_TOKEN).await == 200).then_some(());
    until("the other token is let in", taken).await;
    assert_eq!(asked_with(&program, TOKEN).await, 401);

    // The webhook that is declared now gets what comes now, and its delivery has a line of its level.
    let published =
        program.request().bearer_auth(OTHER_TOKEN).body(event("note", "e")).send().await.expect("an answer");
    assert_eq!(published.status().as_u16(), 200);
    receiver.until_distinct(1).await;
    program.line("delivered").await;
    program.stop().await;
}

#[tokio::test]
async fn with_one_mistake_everything_stays_and_once_it_is_mended_all_is_taken() {
    let home = Home::new("");
    let mut program = home.serve().await;

    home.write("hikyaku.toml", &settings(OTHER_TOKEN, "log.level = \"debug\"\nlog.fromat = \"json\"\n"));
    program.signal("HUP").await;
    let line = program.line("cannot be used; hikyaku goes on with those that it had").await;
    assert!(line.contains("ERROR") && line.contains("log.fromat") && line.contains("`format`"), "{line}");
    assert_eq!((asked_with(&program, TOKEN).await, asked_with(&program, OTHER_TOKEN).await), (200, 401));

    home.write("hikyaku.toml", &settings(OTHER_TOKEN, ""));
    program.signal("HUP").await;
    program.line("the settings were read again; changed: server.admin_token").await;
    let taken = async || (asked_with(&program, TOKEN).await == 401).then_some(());
    until("the earlier token is refused", taken).await;
    assert!(!program.said().contains(OTHER_TOKEN) && !program.said().contains(TOKEN), "{}", program.said());
    program.stop().await;
}

#[tokio::test]
async fn a_webhook_that_is_taken_out_gets_no_more_and_one_that_the_store_has_too_is_refused() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let url = receiver.url("/");
    let home = Home::new(&declared("first", &url, "note"));
    let mut program = home.serve().await;
    home.cli(&["webhooks", "create", "--on", "other", "--any-type", "--url", &url, "--id", "stored"]).await.ok();

    home.write("hikyaku.toml", &settings(TOKEN, &declared("stored", &url, "note")));
    program.signal("HUP").await;
    let line = program.line("cannot be used; hikyaku goes on with those that it had").await;
    assert!(line.contains("declared in the settings file and also kept in the store: stored"), "{line}");
    assert_eq!(program.post(event("note", "before")).await.0, 200);
    receiver.until_distinct(1).await;

    home.write("hikyaku.toml", &settings(TOKEN, &declared("second", &url, "mention")));
    program.signal("HUP").await;
    program.line("the settings were read again; changed: webhooks").await;
    assert_eq!(program.post(event("note", "to-nobody")).await.0, 200);
    assert_eq!(program.post(event("mention", "to-second")).await.0, 200);
    receiver.until("the second webhook gets its event", |book| book.event_ids.contains("to-second")).await;
    assert!(!receiver.book().event_ids.contains("to-nobody"));
    program.stop().await;
}

/// Checks that what is kept follows the settings that are read again, over the store that `store` names.
async fn retention_follows(store: &str) {
    const DEAD: usize = 1200;
    let receiver = Receiver::start(Behaviour::Answer(404)).await;
    let webhook = declared("hook", &receiver.url("/"), "note");
    let home = Home::new(&format!("{store}{webhook}"));
    let mut program = home.serve().await;
    assert_eq!(program.post(events("note", "e", DEAD)).await.0, 200);
    program.metric_is("hikyaku_dead_letters", 1200.0).await;
    program.metric_is("hikyaku_history_deliveries", 1200.0).await;

    let less = "dead_letters.count_max = 100\nhistory.count_max = 1000\n";
    home.write("hikyaku.toml", &settings(TOKEN, &format!("{store}{less}{webhook}")));
    program.signal("HUP").await;
    let line = program.line("the settings were read again; changed: ").await;
    assert!(line.ends_with("changed: dead_letters.count_max, history.count_max"), "{line}");

    program.metric_is("hikyaku_dead_letters", 100.0).await;
    assert_eq!(
        home.cli(&["dead", "list", "--limit", "1000", "--json"]).await.json().as_array().map(Vec::len),
        Some(100)
    );
    // The history is pruned as it is written.
    assert_eq!(program.post(event("note", "one-more")).await.0, 200);
    until("the history has no more", async || {
        (program.metric("hikyaku_history_deliveries").await <= 1000.0).then_some(())
    })
    .await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_follows_a_retention_that_is_read_again() {
    retention_follows("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_in_postgresql_follows_a_retention_that_is_read_again() {
    retention_follows(&format!("store.url = \"{}\"\n", database())).await;
}

#[tokio::test]
async fn what_goes_together_only_after_a_restart_is_refused_with_the_reason() {
    let home = Home::guarded("");
    let mut program = home.serve().await;
    let opened = "delivery.allowed_private_networks = [\"127.0.0.1/32\"]\n";
    home.write(
        "hikyaku.toml",
        &settings(TOKEN, &format!("{opened}{}", declared("inside", "http://127.0.0.1:9/", "note"))),
    );

    program.signal("HUP").await;

    let line = program.line("cannot be used; hikyaku goes on with those that it had").await;
    assert!(line.contains("needs a restart (delivery.allowed_private_networks): start hikyaku again"), "{line}");
    program.stop().await;
}

#[tokio::test]
async fn the_logs_level_is_set_while_it_runs_by_whoever_may_change_things() {
    let board = "[[server.tokens]]\nname = \"board\"\ntoken = \"a-token-to-look-with\"\naccess = \"read\"\n";
    let home = Home::new(board);
    let mut program = home.serve().await;
    assert_eq!(program.operate("/v1/log-level").await, (200, serde_json::json!({"level": "info"})));

    let url = format!("{}/v1/log-level?level=debug", program.address);
    let refused = program.asking(Method::PUT, &url).bearer_auth("a-token-to-look-with").send().await;
    assert_eq!(refused.expect("an answer").status().as_u16(), 403);
    let (status, problem) = program.operate_by(Method::PUT, "/v1/log-level?level=loud", "").await;
    assert!(status == 400 && problem.to_string().contains("error, warn, info, debug, trace"), "{problem}");
    assert!(!program.said().contains("answered"), "{}", program.said());

    let set = program.operate_by(Method::PUT, "/v1/log-level?level=debug", "").await;
    assert_eq!(set, (200, serde_json::json!({"level": "debug"})));
    program.line("admin has set the log's level from info to debug").await;
    assert_eq!(program.operate("/v1/log-level").await, (200, serde_json::json!({"level": "debug"})));
    program.line("answered").await;
    program.stop().await;
}

#[tokio::test]
async fn a_secret_comes_as_a_credential_and_one_that_names_nothing_is_told() {
    let home = Home::bare("server.listen = \"127.0.0.1:0\"\nserver.admin_token = \"a-token-of-the-file\"\n");
    std::fs::create_dir(home.path("credentials")).expect("a folder");
    home.write("credentials/hikyaku_server.admin_token", &format!("{TOKEN}\n"));
    let start = "CREDENTIALS_DIRECTORY=$PWD/credentials exec \"$HIKYAKU\" serve";
    let program = home.serve_by_shell(start).await;
    assert_eq!((asked_with(&program, TOKEN).await, asked_with(&program, "a-token-of-the-file").await), (200, 401));
    program.stop().await;

    home.write("credentials/hikyaku_server.admin_token", "short");
    home.write("credentials/hikyaku_token", TOKEN);
    let ran = home.shell(start).await;
    let said = ran.failed(
        2,
        &[
            "the credential hikyaku_server.admin_token: server.admin_token: it has 5 characters",
            "the credential hikyaku_token: it is called as no setting",
        ],
    );
    assert!(!said.contains(TOKEN), "{said}");
}
