//! What the documents say, held against the program: links lead somewhere, and the runbook's commands for RabbitMQ run. Their
//! metrics and alerts are held by `tests/deploy`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::journeys::producers;
use crate::support::broker::Broker;
use crate::support::program::{event, until};
use crate::support::python::{Producer, repository};

use tokio::io::AsyncWriteExt;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every page of documentation.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/decisions"] {
        let entries = std::fs::read_dir(repository(folder)).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        pages.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages
}

/// The lines of a page without its code blocks.
fn prose(page: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push(line);
        }
    }
    lines
}

/// Where links may lead on a page: its headings, as GitHub names them, and its anchors.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(page) {
        if line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            anchors.insert(kept.collect::<String>().replace(' ', "-"));
        }
        for anchor in line.split("<a id=\"").skip(1) {
            anchors.insert(anchor.split('"').next().unwrap_or_default().to_owned());
        }
    }
    anchors
}

/// The links of a page that lead to this repository. What stands in backticks is no link.
fn links(page: &str) -> Vec<String> {
    let text: String = prose(page).join("\n").split("](").skip(1).map(|rest| format!("{rest}\u{1}")).collect();
    let targets = text.split('\u{1}').filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned());
    targets.filter(|target| !target.contains("://") && !target.contains(' ') && !target.contains('`')).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut dead = Vec::new();
    let mut count = 0;
    for page in pages() {
        for link in links(&read(&page)) {
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            let is_there = target.exists() && (anchor.is_empty() || anchors(&read(&target)).contains(anchor));
            if !is_there {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(count > 50, "links are found: {count}");
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

/// Every file of Rust below `folder`, as one text.
fn code(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let text = entries.map(|path| match path.extension() {
        _ if path.is_dir() => code(&path),
        Some(extension) if extension == "rs" => read(&path),
        _ => String::new(),
    });
    text.collect()
}

#[test]
fn every_test_that_shows_a_promise_is_there() {
    let code = code(&repository("src")) + &code(&repository("tests"));
    let (mut count, mut missing) = (0, Vec::new());
    for page in ["ARCHITECTURE.md", "SECURITY.md"] {
        let text = read(&repository(page));
        let is_name = |word: &&str| {
            word.matches('_').count() >= 4
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        for name in text.split('`').filter(is_name) {
            count += 1;
            if !code.contains(&format!("fn {name}(")) {
                missing.push(format!("{page}: {name}"));
            }
        }
    }
    assert!(count > 60, "names of tests are found: {count}");
    assert!(missing.is_empty(), "tests that are named and not there:\n{}", missing.join("\n"));
}

#[tokio::test]
async fn the_runbooks_commands_for_rabbitmq_run() {
    let node = Broker::start().await;
    let home = producers::worker_at_home(&node).await;
    let program = home.serve().await;
    program.metric_is("hikyaku_broker_connected", 1.0).await;
    let mut producer = Producer::start(&producers::url(&node, "misskey"), "hikyaku.events");
    producer.stdin().write_all(b"{\"type\":\"note\",\"eventId\":\"no-body\"}\n").await.expect("written");
    producer.finish().await;
    program.metric_is("hikyaku_messages_rejected_total", 1.0).await;
    let runbook = read(&repository("docs/RUNBOOK.md"));
    let (_, section) = runbook.split_once("\n## RabbitMQ\n").expect("a section");
    let (section, _) = section.split_once("\n## ").expect("another section");
    let commands: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("sudo rabbitmq")).collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let command = command.replace("rabbit@c", &node.name()).replace("/tmp", &node.folder());
        let args: Vec<&str> = command.split_whitespace().map(|arg| arg.trim_matches('\'')).collect();
        let said = node.run(&format!("rabbitmq{}", args[0]), &args[1..]).await;
        if args[1] == "peek" {
            assert!(said.contains("no-body"), "the rejected event is shown: {said}");
        }
        if args[1] == "delete_queue" {
            // The next commands ask about it.
            let vhost = ["-q", "list_queues", "--vhost", "hikyaku", "name"];
            let is_there = async || node.control(&vhost).await.lines().any(|name| name == args[2]).then_some(());
            until("the queue that was deleted is declared again", is_there).await;
        }
    }
    // `hikyaku.work` was deleted: it is declared again, and work goes on.
    until("events are taken again", async || {
        let taken = program.metric("hikyaku_events_without_subscriber_total").await > 0.0;
        if !taken {
            let _refused_while_it_reconnects = program.post(event("other", "again")).await;
        }
        taken.then_some(())
    })
    .await;
    program.stop().await;
}
