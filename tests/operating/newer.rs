//! What a newer hikyaku has written is refused before anything is changed, whichever part of it is the newer one.

use rusqlite::Connection;

use crate::support::postgres::{database, sql};
use crate::support::program::Home;

/// A version that none has yet.
const NEWER: usize = 99;
/// Commands that would make tables, one after the other, each part by another.
const COMMANDS: [&[&str]; 6] = [
    &["dead", "list"],
    &["webhooks", "list"],
    &["status"],
    &["forget", "--user", "u1"],
    &["deliveries", "resend", "--all"],
    &["serve"],
];

fn tables(path: &std::path::Path) -> Vec<String> {
    let file = Connection::open(path).expect("opened");
    let mut statement = file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").expect("SQL");
    let names = statement.query_map([], |row| row.get(0)).expect("rows");
    names.collect::<Result<_, _>>().expect("names")
}

/// Checks that each command says of `part` both versions.
async fn are_refused(home: &Home, part: &str) {
    for command in COMMANDS {
        let said = home
            .cli(command)
            .await
            .failed(1, &["was written by a newer hikyaku", &format!("its {part} has schema 99")]);
        assert!(said.contains("this one knows "), "{command:?}: {said}");
    }
}

#[tokio::test]
async fn files_of_which_one_part_is_newer_stay_as_they_are() {
    for (file, part) in [
        ("store.db", "registry"),
        ("store.db", "dead_letters"),
        ("store.db", "latest"),
        ("store.db", "workers"),
        ("history.db", "history"),
        ("queue.db", "queue"),
    ] {
        let home = Home::new("");
        for name in ["queue.db", "store.db"] {
            let sql = "CREATE TABLE hikyaku_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT";
            Connection::open(home.path(name)).expect("made").execute_batch(sql).expect("SQL");
        }
        let newer = Connection::open(home.path(file)).expect("opened");
        let sql = "CREATE TABLE IF NOT EXISTS hikyaku_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT";
        newer.execute_batch(sql).expect("SQL");
        newer.execute("INSERT INTO hikyaku_schema VALUES (?1, ?2)", (part, NEWER)).expect("noted");
        drop(newer);
        are_refused(&home, part).await;
        for name in ["queue.db", "store.db"] {
            assert_eq!(tables(&home.path(name)), ["hikyaku_schema"], "{part}: {name}");
        }
        assert_eq!(home.path("history.db").exists(), file == "history.db", "{part}");
    }
}

#[tokio::test]
async fn a_schema_in_postgresql_of_which_one_part_is_newer_stays_as_it_is() {
    for part in ["registry", "dead_letters", "latest", "workers", "history"] {
        let store = database();
        let made = "CREATE SCHEMA hikyaku; CREATE TABLE hikyaku.hikyaku_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)";
        sql(&store, made);
        sql(&store, &format!("INSERT INTO hikyaku.hikyaku_schema VALUES ('{part}', {NEWER})"));
        let home = Home::new(&format!("store.url = \"{store}\"\n"));
        let queue = "CREATE TABLE hikyaku_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT";
        Connection::open(home.path("queue.db")).expect("made").execute_batch(queue).expect("SQL");
        are_refused(&home, part).await;
        let tables = sql(
            &store,
            "SELECT string_agg(relname, ' ') FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace \
            WHERE nspname = 'hikyaku' AND relkind = 'r'",
        );
        assert_eq!(tables, "hikyaku_schema", "{part}");
        assert_eq!(self::tables(&home.path("queue.db")), ["hikyaku_schema"], "{part}");
    }
}
