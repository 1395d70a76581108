//! `hikyaku check` against real servers: RabbitMQ and PostgreSQL, as they are and as they should not be.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

use crate::checked::{findings, found, tells_both_versions};
use crate::servers::broker;
use crate::support::broker::Broker;
use crate::support::postgres::{database, sql};
use crate::support::program::Home;

fn on_rabbitmq(url: &str, prefix: &str) -> Home {
    Home::new(&format!("queue.url = \"{url}\"\nqueue.prefix = \"{prefix}\"\nqueue.single_host = true\n"))
}

/// The names of queues and exchanges that begin with `prefix`.
async fn names(node: &Broker, prefix: &str) -> Vec<String> {
    let queues = node.control(&["-q", "list_queues", "--no-table-headers", "name"]).await;
    let exchanges = node.control(&["-q", "list_exchanges", "--no-table-headers", "name"]).await;
    let lines = queues.lines().chain(exchanges.lines());
    lines.map(str::trim).filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_is_found_fit_before_the_first_start_and_after_it_and_nothing_is_declared() {
    let node = broker().await;
    let home = on_rabbitmq(&node.url(), "fit.");

    let before = findings(&home.cli(&["check", "--json"]).await);

    assert_eq!(found(&before, "queue", "RabbitMQ 3.").0, "ok", "{before:#?}");
    assert_eq!(found(&before, "queue", "none of the exchanges and queues fit.* is there").0, "ok");
    assert_eq!(found(&before, "queue", "the user may configure, write and read").0, "ok");
    assert_eq!(names(node, "fit.").await, Vec::<String>::new(), "nothing is declared");
    home.serve().await.stop().await;
    let after = findings(&home.cli(&["check", "--json"]).await);
    assert_eq!(found(&after, "queue", "are there and as they must be").0, "ok", "{after:#?}");
    assert_eq!(found(&after, "queue", "the user may configure, write and read").0, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_that_the_user_lacks_is_an_error_whether_or_not_the_queues_are_there() {
    let node = broker().await;
    node.control(&["add_user", "weak", "hunter2"]).await;
    let url = node.url().replace("guest:guest", "weak:hunter2");
    let (full, none) = ("^weak\\.", "^$");
    for round in ["absent", "present"] {
        let cases: [(_, &[&str]); 2] =
            [([none, full, none], &["right to configure", "right to read"]), ([full, none, full], &["right to write"])];
        for (rights, lacking) in cases {
            node.control(&["set_permissions", "-p", "/", "weak", rights[0], rights[1], rights[2]]).await;
            let found_here = findings(&on_rabbitmq(&url, "weak.").cli(&["check", "--json"]).await);
            for right in lacking {
                let (level, told) = found(&found_here, "queue", right);
                assert!(level == "error" && told.contains("set_permissions"), "{round} {right}: {told}");
                assert!(!told.contains("hunter2"), "{told}");
            }
            let errors = found_here.iter().filter(|finding| finding["level"] == "error").count();
            assert_eq!(errors, lacking.len(), "{round} {lacking:?}: {found_here:#?}");
        }
        on_rabbitmq(&node.url(), "weak.").serve().await.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_arguments_and_a_wrong_password_are_errors() {
    let node = broker().await;
    let stranger = Connection::connect(&node.url(), ConnectionProperties::default()).await.expect("connected");
    let channel = stranger.create_channel().await.expect("a channel");
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("clash.work".into(), options, FieldTable::default()).await.expect("declared");

    let found_here = findings(&on_rabbitmq(&node.url(), "clash.").cli(&["check", "--json"]).await);

    let (level, told) = found(&found_here, "queue", "clash.work");
    assert!(
        level == "error" && told.contains("hikyaku needs `clash.rejected`") && told.contains("drain and delete"),
        "{told}"
    );
    let kept_out = on_rabbitmq(&node.url().replace("guest:guest", "guest:hunter2"), "clash.");
    let found_here = findings(&kept_out.cli(&["check", "--json"]).await);
    let (level, told) = found(&found_here, "queue", "ACCESS_REFUSED");
    assert!(level == "error" && !told.contains("hunter2"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_of_rabbitmq_is_an_error_and_so_is_a_broker_that_is_away() {
    // Its own: an alarm is everybody's.
    let node = Broker::start().await;
    let home = on_rabbitmq(&node.url(), "alarm.");
    home.serve().await.stop().await;
    node.control(&["set_vm_memory_high_watermark", "absolute", "20MB"]).await;
    let found_here = findings(&home.cli(&["check", "--json"]).await);
    let (level, told) = found(&found_here, "queue", "takes no messages for now");
    assert!(level == "error" && told.contains("rabbitmqctl status"), "{told}");
    node.kill().await;
    let found_here = findings(&home.cli(&["check", "--json"]).await);
    assert_eq!(found(&found_here, "queue", "cannot be reached").0, "error", "{found_here:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_found_fit_and_each_right_that_is_lacking_and_a_newer_schema_are_errors() {
    let url = database();
    let home = Home::new(&format!("store.url = \"{url}\"\n"));
    let fit = findings(&home.cli(&["check", "--json"]).await);
    assert_eq!(found(&fit, "store", "the schema hikyaku is not there").0, "ok");
    assert_eq!(found(&fit, "store", "PostgreSQL 1").0, "ok");
    assert_eq!(found(&fit, "clock", "PostgreSQL's agree").0, "ok");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'hikyaku'";
    assert_eq!(sql(&url, schemas).trim(), "0", "nothing is made");

    // Roles are the server's, which other tests share.
    let user = format!("weak{}", std::process::id());
    sql(&url, &format!("CREATE USER {user} PASSWORD 'hunter2'"));
    let (_, rest) = url.split_once('@').expect("a user");
    let weak = Home::new(&format!("store.url = \"postgres://{user}:hunter2@{rest}\"\n"));
    let found_here = findings(&weak.cli(&["check", "--json"]).await);
    let (level, told) = found(&found_here, "store", "may not make it");
    assert!(level == "error" && told.contains(&format!("CREATE SCHEMA hikyaku AUTHORIZATION {user}")), "{told}");

    home.serve().await.stop().await;
    let after = findings(&home.cli(&["check", "--json"]).await);
    assert_eq!(found(&after, "store", "the schema hikyaku is there").0, "ok", "{after:#?}");
    sql(&url, &format!("GRANT USAGE ON SCHEMA hikyaku TO {user}"));
    let found_here = findings(&weak.cli(&["check", "--json"]).await);
    assert_eq!(found(&found_here, "store", "may not make tables in it").0, "error");
    assert_eq!(found(&found_here, "store", "may not read and change the tables").0, "error");

    sql(&url, "UPDATE hikyaku.hikyaku_schema SET version = 99 WHERE part = 'registry'");
    let found_here = findings(&home.cli(&["check", "--json"]).await);
    let (level, told) = found(&found_here, "store", "newer hikyaku");
    assert_eq!(level, "error", "{told}");
    tells_both_versions(&told, "registry");
}
