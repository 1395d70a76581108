//! The same with RabbitMQ, which remembers nothing: the store does.

use serde_json::json;

use super::{Scene, give_up_notes, scene};
use crate::support::broker::{own_prefix, shared_url};

#[tokio::test]
async fn on_rabbitmq_too_what_misskey_gave_up_is_taken_in_once() {
    let (url, prefix) = (shared_url().await, own_prefix());
    let queue = format!("queue.url = \"{url}\"\nqueue.prefix = \"{prefix}\"\nqueue.single_host = true\n");
    let Scene { misskey, receiver, home, .. } = scene(&queue, str::to_owned).await;
    misskey.world(|world| give_up_notes(world, "e", 3));
    for (taken_in, known) in [(3, 0), (0, 3)] {
        let done = home.cli(&["reconcile", "--json"]).await.json();
        assert_eq!((&done["takenIn"], &done["known"]), (&json!(taken_in), &json!(known)), "{done}");
    }
    let mut program = home.serve().await;
    program.line("0 taken in, 3 known already").await;
    receiver.until_distinct(3).await;
    program.stop().await;
    assert_eq!(receiver.book().repeats(), 0);
}
