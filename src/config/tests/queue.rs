//! Where the queue is, and how much it may hold.

use super::*;

#[test]
fn rabbitmq_with_a_store_in_a_file_must_be_asked_for() {
    let url = "[queue]\nurl = \"amqp://u:hunter2@a,b:5673/v\"\n";
    let problems = problems(url, &[]);
    assert!(problems.len() == 1 && problems[0].contains("queue.single_host: it is false"), "{problems:?}");
    let settings = load(&format!("{url}single_host = true\nprefix = \"x.\"\n"), &[]).expect("valid");
    assert_eq!(settings.queue.url.to_string(), "amqp://a:5672,b:5673 (virtual host \"v\")");
    assert_eq!(settings.queue.prefix, "x.");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn a_url_of_no_queue_and_a_prefix_that_cannot_be_are_refused() {
    let text = problems("[queue]\nurl = \"redis://u:hunter2@a\"\nprefix = \"amq.x\"\n", &[]).join("\n");
    assert!(text.contains("sqlite:PATH") && text.contains("amqp://user:password@host"), "{text}");
    assert!(text.contains("queue.prefix: names that begin with `amq.`") && !text.contains("hunter2"), "{text}");
    let text = problems("[queue]\nurl = \"amqp://u:hunter2@a:b\"\nprefix = \"a b\"\n", &[]).join("\n");
    assert!(text.contains("a port is no number") && text.contains("must be 1 to 100 letters"), "{text}");
}

#[test]
fn a_queue_is_bounded_unless_it_is_told_to_grow() {
    assert_eq!(load("", &[]).expect("valid").queue.bytes_max, 8 << 30);
    assert_eq!(load("[queue]\nbytes_max = 0\n", &[]).expect("valid").queue.bytes_max, 0);
    assert_eq!(load("[queue]\nbytes_max = 16777216\n", &[]).expect("valid").queue.bytes_max, 16 << 20);
    let words = problems("[queue]\nbytes_max = 1000\n", &[]);
    assert!(
        words.len() == 1 && words[0].contains("queue.bytes_max: must be 0, ") && words[0].contains("1000"),
        "{words:?}"
    );
}
