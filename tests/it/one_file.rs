//! The parts of one process that write to `store.db`: none of them finds it locked by another, however long that takes.

use std::sync::Arc;
use std::time::Duration;

use hikyaku::clock::{ManualClock, SharedClock};
use hikyaku::model::{EventId, EventType, Options, Owner, ReceiptKey, Secret, Source, Timestamp, WebhookId};
use hikyaku::record::{DeadLetters, Filter, Latest, Receipts, Retention};
use hikyaku::registry::{NewWebhook, Registry, Seals};
use hikyaku::sqlite::WriteTurns;
use hikyaku::store::Store;

fn new_webhook() -> NewWebhook {
    NewWebhook {
        id: Some(WebhookId::new("wh1").expect("an id")),
        owner: Owner::System,
        source: Source::default(),
        name: String::new(),
        url: "https://bot.example/hook".parse().expect("a URL"),
        secret: Secret::new(""),
        on: vec![EventType::new("userCreated").expect("a type")],
        active: true,
        options: Options::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_to_the_store_waits_until_the_others_of_its_process_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let clock: SharedClock = Arc::new(ManualClock::new(Timestamp::from_millis(1_774_960_496_789), 0.5));
    let registry = Registry::open(&Store::Sqlite(path.clone()), Seals::default(), Vec::new(), Arc::clone(&clock))
        .await
        .expect("opens");
    let latest = Latest::open(&path).await.expect("opens");
    let retention = Retention { age: Duration::from_secs(60), count_max: 10 };
    let letters = DeadLetters::open(&path, retention, Arc::clone(&clock)).await.expect("opens");
    let receipts = Receipts::open(&path, clock).expect("opens");

    let turns = WriteTurns::of(&path);
    let (free, until_free) = std::sync::mpsc::sync_channel::<()>(0);
    let (held, is_held) = tokio::sync::oneshot::channel();
    let holder = tokio::task::spawn_blocking(move || {
        let _turn = turns.wait();
        held.send(()).expect("waited for");
        let _freed = until_free.recv();
    });
    is_held.await.expect("its turn comes");

    let key = ReceiptKey::of(&Source::default(), None, "hook", &EventId::new("e1").expect("valid"));
    latest.note(&WebhookId::new("wh1").expect("an id"), Timestamp::from_millis(1), 200);
    let everything = Filter::default();
    let mut writes = [
        ("registry", tokio::spawn(async move { registry.create(new_webhook()).await.map(drop).is_ok() })),
        ("latest", tokio::spawn(async move { latest.flush().await.is_ok() })),
        ("letters", tokio::spawn(async move { letters.purge(&everything).await.is_ok() })),
        ("receipts", tokio::spawn(async move { receipts.note(key).await.is_ok() })),
    ];
    for (part, write) in &mut writes {
        let early = tokio::time::timeout(Duration::from_millis(200), write).await;
        assert!(early.is_err(), "{part} did not wait for its turn");
    }
    drop(free);
    for (part, write) in writes {
        assert!(write.await.expect("ends"), "{part} writes when its turn comes");
    }
    holder.await.expect("ends");
}
