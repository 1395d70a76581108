//! `hikyaku check --health` and `--ready`: for a container's health check, which knows the exit codes 0 and 1.

use std::net::TcpListener;

use crate::support::program::{Home, Program, TOKEN, until};

/// What a server's address is for `--listen`.
fn address(program: &Program) -> String {
    program.address.trim_start_matches("http://").to_owned()
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

#[tokio::test]
async fn a_hikyaku_that_runs_is_alive_and_ready_and_one_that_does_not_is_neither() {
    let home = Home::new("");
    let program = home.serve().await;
    let listen = address(&program);
    for (question, answer) in [("--health", "ok\n"), ("--ready", "ready\n")] {
        assert_eq!(home.cli(&["check", question, "--listen", &listen]).await.ok(), answer);
    }

    program.stop().await;

    for question in ["--health", "--ready"] {
        let ran = home.cli(&["check", question, "--listen", &listen]).await;
        ran.failed(1, &[&listen, "nobody listens there", "is hikyaku running?"]);
    }
}

#[tokio::test]
async fn it_is_asked_at_the_address_of_its_settings_or_where_those_tell_health() {
    let (port, apart) = (free_port(), free_port());
    let everywhere = format!("server.listen = \"0.0.0.0:{port}\"\nserver.admin_token = \"{TOKEN}\"\n");
    for settings in [everywhere.clone(), format!("{everywhere}server.metrics_listen = \"0.0.0.0:{apart}\"\n")] {
        let home = Home::bare(&settings);
        let program = home.serve().await;
        assert_eq!(home.cli(&["check", "--health"]).await.ok(), "ok\n", "{settings}");
        program.stop().await;
    }
}

#[tokio::test]
async fn one_that_lives_without_its_broker_is_not_ready_and_the_reasons_are_told() {
    let home = Home::new("queue.url = \"amqp://127.0.0.1:1\"\nqueue.single_host = true\n");
    let program = home.serve().await;
    let listen = address(&program);

    assert_eq!(home.cli(&["check", "--health", "--listen", &listen]).await.ok(), "ok\n");

    home.cli(&["check", "--ready", "--listen", &listen]).await.failed(1, &["RabbitMQ", "127.0.0.1:1"]);
    program.stop().await;
}

#[tokio::test]
async fn whatever_is_wrong_the_exit_code_is_1_and_nothing_is_made() {
    let home = Home::bare("server.lissten = \"127.0.0.1:1\"\n");
    home.cli(&["check", "--health"]).await.failed(1, &["server.lissten"]);
    let home = Home::bare("server.listen = \"127.0.0.1:0\"\n");
    home.cli(&["check", "--health"]).await.failed(1, &["port 0", "--listen"]);
    assert!(!home.path("queue.db").exists() && !home.path("store.db").exists(), "queue and store are not touched");
}

#[tokio::test]
async fn who_listens_and_says_nothing_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = silent.local_addr().expect("an address").to_string();
    let home = Home::bare("");
    home.cli(&["check", "--health", "--listen", &listen]).await.failed(1, &["has not answered within 3 s"]);
}

#[tokio::test]
async fn one_on_its_way_out_is_alive_and_no_longer_ready() {
    use crate::support::journey_receiver::{Behaviour, Receiver};
    use crate::support::program::{declared, event};

    let receiver = Receiver::start(Behaviour::Hold).await;
    let home = Home::new(&declared("hook", &receiver.url("/"), "note"));
    let program = home.serve().await;
    let listen = address(&program);
    assert_eq!(program.post(event("note", "e")).await.0, 200);
    receiver.until_distinct(1).await;

    program.signal("TERM").await;

    until("it is not ready", async || {
        let ran = home.cli(&["check", "--ready", "--listen", &listen]).await;
        (ran.code == Some(1)).then(|| assert!(ran.stderr.contains("shutting down"), "{ran:?}"))
    })
    .await;
    assert_eq!(home.cli(&["check", "--health", "--listen", &listen]).await.ok(), "ok\n");
    receiver.behave(Behaviour::Answer(200));
    assert_eq!(program.ended().await.0, Some(0));
}
