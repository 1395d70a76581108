//! docs/scaling.md as it stands: a broker, PostgreSQL, an ingest and two workers, by its commands and its settings.

use crate::journeys::producers;
use crate::support::broker::Broker;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::{Server, sql};
use crate::support::program::{Home, Program, TOKEN, until};
use crate::support::python::repository;

/// The lines of the page's code blocks.
fn code() -> Vec<String> {
    let page = std::fs::read_to_string(repository("docs/scaling.md")).expect("docs/scaling.md");
    page.split("```").skip(1).step_by(2).flat_map(|block| block.lines().skip(1)).map(str::to_owned).collect()
}

/// Those that begin with `start`, without it.
fn beginning(start: &str) -> Vec<String> {
    code().iter().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect()
}

/// The settings, with what the page tells the reader to put in, and where the test's servers are.
fn settings(node: &Broker, server: &Server) -> String {
    let page = std::fs::read_to_string(repository("docs/scaling.md")).expect("docs/scaling.md");
    let (_, rest) = page.split_once("```toml\n").expect("settings");
    let (toml, _) = rest.split_once("```").expect("they end");
    [
        ("TOKEN", TOKEN),
        ("RABBITMQ_PASSWORD", "hikyaku"),
        ("POSTGRES_PASSWORD", "hunter2"),
        ("rabbit.internal:5672", &node.address()),
        ("postgres.internal:5432", &server.address()),
    ]
    .iter()
    .fold(toml.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the settings");
        text.replace(from, to)
    })
}

/// The arguments of a command of the page, with the test's settings file and ports.
fn arguments(line: &str) -> Vec<String> {
    let words = line.split(' ').map(|word| match word {
        "/etc/hikyaku/hikyaku.toml" => "hikyaku.toml",
        word if word.starts_with("127.0.0.1:87") => "127.0.0.1:0",
        word => word,
    });
    words.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_about_several_machines_works_as_it_stands() {
    let (node, server) = (Broker::start().await, Server::start());
    producers::set_up(&node).await;
    let statements = beginning("sudo -u postgres psql -c ");
    assert_eq!(statements.len(), 2, "a role and a database: {statements:?}");
    for statement in statements {
        sql(&server.url("postgres"), &statement.trim_matches('"').replace("$POSTGRES_PASSWORD", "hunter2"));
    }
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::bare(&settings(&node, &server));
    let commands = beginning("hikyaku ");
    let mut programs: Vec<Program> = Vec::new();
    for command in commands.iter().filter(|command| command.contains(" serve ")) {
        let arguments = arguments(command);
        programs.push(home.serve_by(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await);
    }
    assert_eq!(programs.len(), 3, "an ingest and two workers");
    let create = commands.iter().find(|command| command.contains(" webhooks create ")).expect("a webhook is created");
    let create: Vec<String> = arguments(create)
        .iter()
        .map(|word| word.replace("http://127.0.0.1:9000/hook", &receiver.url("/hook")))
        .collect();
    home.cli(&create.iter().map(String::as_str).collect::<Vec<_>>()).await.ok();
    // Known to both workers within a second; a busy machine may take longer to say so.
    for program in &programs {
        program.metric_is("hikyaku_broker_connected", 1.0).await;
        until("it is ready", async || (program.get("/readyz").await.0 == 200).then_some(())).await;
    }
    let (_, page) = ((), code());
    let publish = page.iter().find(|line| line.starts_with("curl ") && line.contains("/v1/events")).expect("a call");
    let publish = publish.replace("http://127.0.0.1:8787", &programs[0].address).replace("$TOKEN", TOKEN);
    until("an event is published and arrives", async || {
        assert!(home.shell(&publish).await.ok().contains("\"accepted\":1"));
        (receiver.book().distinct() > 0).then_some(())
    })
    .await;
    for program in programs {
        program.stop().await;
    }
}
