//! The profile `rabbitmq` of `docker-compose.yml` without containers: a broker with `deploy/rabbitmq/rabbitmq.conf`, a store with
//! these names and the program with these variables and commands deliver together. The files themselves are held by `tests/deploy`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::broker::Broker;
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::{Server, sql};
use crate::support::program::{Home, Program, Ran, TOKEN, events, until};
use crate::support::python::{repository, yaml};

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of the Dockerfile that begin with `instruction`, continued lines joined.
fn dockerfile(instruction: &str) -> Vec<String> {
    let joined = read("deploy/Dockerfile").replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The variables of a service of docker-compose.yml, with passwords and token put in as `.env` would.
fn variables(service: &str) -> BTreeMap<String, String> {
    let compose = yaml("docker-compose.yml");
    let variables = compose["services"][service]["environment"].as_object().expect("variables").clone();
    let text = |value: &Value| {
        let mut text = value.as_str().expect("every value is a text, `true` too").to_owned();
        while let Some((before, rest)) = text.split_once("${") {
            let (name, after) = rest.split_once('}').expect("it ends");
            let value = match name.split(':').next().expect("a first part") {
                "HIKYAKU_ADMIN_TOKEN" => TOKEN,
                "RABBITMQ_PASSWORD" => "0f1e2d3c",
                "POSTGRES_PASSWORD" => "4b5a6978",
                other => panic!("{other} is not in .env as the head of docker-compose.yml makes it"),
            };
            text = format!("{before}{value}{after}");
        }
        text
    };
    variables.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// A broker as the service `rabbitmq` has it, but for its ports.
async fn broker() -> Broker {
    Broker::start_with(&read("deploy/rabbitmq/rabbitmq.conf"), variables("rabbitmq").into_iter().collect()).await
}

/// A database as the service `postgres` makes it.
fn store() -> Server {
    let server = Server::start();
    let variables = variables("postgres");
    let [user, password, name] = ["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"].map(|name| &variables[name]);
    sql(&server.url("postgres"), &format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'"));
    sql(&server.url("postgres"), &format!("CREATE DATABASE {name} OWNER {user}"));
    server
}

/// The variables of `service` on `node` and `server`, as lines of shell, but for addresses, which are the test's.
fn exports(service: &str, node: &Broker, server: &Server) -> String {
    let mut variables = variables(service);
    for line in dockerfile("ENV") {
        let (name, value) = line.split_once('=').expect("NAME=VALUE");
        variables.insert(name.to_owned(), value.to_owned());
    }
    let mut replace = |name: &str, from: &str, to: &str| {
        let value = variables.get_mut(name).unwrap_or_else(|| panic!("{name} is not set"));
        assert!(value.contains(from), "{name} is {value}, without {from}");
        *value = value.replace(from, to);
    };
    replace("HIKYAKU__QUEUE__URL", "rabbitmq:5672", &node.address());
    replace("HIKYAKU__STORE__URL", "postgres:5432", &server.address());
    replace("HIKYAKU__SERVER__LISTEN", "0.0.0.0:8787", "127.0.0.1:0");
    variables.iter().map(|(name, value)| format!("export {name}='{value}'; ")).collect()
}

/// Serves as `service` does, by its command, in a home of its own, as a container has.
async fn serve(service: &str, node: &Broker, server: &Server) -> (Home, Program) {
    let command = yaml("docker-compose.yml")["services"][service]["command"].clone();
    let command: Vec<&str> = command.as_array().expect("a command").iter().filter_map(Value::as_str).collect();
    let home = Home::bare("");
    let exports = exports(service, node, server);
    let program = home.serve_by_shell(&format!("{exports}exec \"$HIKYAKU\" {}", command.join(" "))).await;
    program.metric_is("hikyaku_broker_connected", 1.0).await;
    (home, program)
}

/// Runs a command in the container of the ingest, as `docker compose exec` does.
async fn in_ingest(home: &Home, node: &Broker, server: &Server, command: &str) -> Ran {
    home.shell(&format!("{}\"$HIKYAKU\" {command}", exports("ingest", node, server))).await
}

#[tokio::test]
async fn the_brokers_one_user_may_do_what_hikyaku_needs_and_no_more() {
    let node = broker().await;
    let quiet = |what: &'static str| [what, "--quiet", "--no-table-headers"];
    assert_eq!(node.control(&quiet("list_users")).await.trim(), "hikyaku\t[]", "no guest, and no administrator");
    let permissions = node.control(&["list_user_permissions", "hikyaku", "--quiet", "--no-table-headers"]).await;
    assert_eq!(permissions.trim(), r"hikyaku	^hikyaku\.	^hikyaku\.	^hikyaku\.");
    let limit = node.control(&["eval", "rabbit_disk_monitor:get_disk_free_limit()."]).await;
    assert_eq!(limit.trim(), "2000000000");
    let health = yaml("docker-compose.yml")["services"]["rabbitmq"]["healthcheck"]["test"].clone();
    let health: Vec<&str> = health.as_array().expect("a command").iter().filter_map(Value::as_str).collect();
    assert_eq!(health[0], "CMD");
    node.run(health[1], &health[2..]).await;
}

/// What both workers have counted together, and the lesser of the two.
async fn both(workers: &[(Home, Program); 2], metric: &str) -> (f64, f64) {
    let (one, two) = (workers[0].1.metric(metric).await, workers[1].1.metric(metric).await);
    (one + two, one.min(two))
}

const DELIVERED: &str = "hikyaku_deliveries_total{result=\"delivered\"}";
const UNWANTED: &str = "hikyaku_events_without_subscriber_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_registered_while_workers_run_is_known_to_all_of_them() {
    let (node, server) = (broker().await, store());
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let (home, ingest) = serve("ingest", &node, &server).await;
    let workers = [serve("worker", &node, &server).await, serve("worker", &node, &server).await];
    let create = format!("webhooks create --on note --url {}", receiver.url("/"));
    in_ingest(&home, &node, &server, &create).await.ok();
    let mut round = 0;
    loop {
        let before = (both(&workers, UNWANTED).await.0, both(&workers, DELIVERED).await);
        round += 1;
        assert_eq!(ingest.post(events("note", &format!("round{round}-"), 40)).await.0, 200);
        let taken = async || {
            let (unwanted, delivered) = (both(&workers, UNWANTED).await.0, both(&workers, DELIVERED).await);
            let is_all = unwanted + delivered.0 >= before.0 + before.1.0 + 40.0;
            is_all.then_some(unwanted <= before.0 && delivered.1 > before.1.1)
        };
        // Until both have taken a part of a round, and none of it was without a webhook.
        if until("a round is taken", taken).await {
            break;
        }
        assert!(round < 100, "one of the workers does not come to know the webhook");
    }
    for (_home, worker) in workers {
        worker.stop().await;
    }
    ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_of_two_workers_gives_up_is_known_to_both_and_to_the_ingest() {
    let (node, server) = (broker().await, store());
    let receiver = Receiver::start(Behaviour::Answer(410)).await;
    let (home, ingest) = serve("ingest", &node, &server).await;
    let run = async |command: &str| in_ingest(&home, &node, &server, command).await;
    run(&format!("webhooks create --id hook --on note --url {}", receiver.url("/"))).await.ok();
    let (one, two) = (serve("worker", &node, &server).await, serve("worker", &node, &server).await);
    assert_eq!(ingest.post(events("note", "first", 1)).await.0, 200);
    until("the webhook is deactivated", async || {
        run("webhooks show hook --json").await.json().to_string().contains("gone").then_some(())
    })
    .await;
    let skipped = async |program: &Program| program.metric("hikyaku_deliveries_skipped_total").await;
    until("both workers know it", async || {
        assert_eq!(ingest.post(events("note", "later", 40)).await.0, 200);
        (skipped(&one.1).await > 0.0 && skipped(&two.1).await > 0.0).then_some(())
    })
    .await;
    until("the dead letter is in the store", async || {
        let letters = run("dead list --json").await.json();
        letters.as_array().is_some_and(|letters| !letters.is_empty()).then_some(())
    })
    .await;
    for program in [one.1, two.1, ingest] {
        program.stop().await;
    }
}
