//! The store of every version in PostgreSQL (`tests/fixtures/golden/v*/postgresql.sql`): what each version left there is shown and goes
//! on with this one, and is brought up to the very tables that this one makes anew.
//!
//! Kept as SQL, as `pg_dump --inserts` has it, and never edited: see [`super::golden`]. What was queued lies in that version's file.

use std::process::Command;

use super::golden::{
    KEPT_FOR_LONG, NEWEST, RECEIVER, as_of_now, first_and_now, golden, is_delivered_and_shown, kept, lay_files,
    left_behind, read, versions,
};
use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::postgres::{database, programs, sql};
use crate::support::program::Home;

/// The store's file, without its ending.
const STORE: &str = "postgresql";

/// The schema `hikyaku` of the database at `url` as SQL that makes it again, without what tells of server and dump.
fn dump(url: &str, more: &[&str]) -> String {
    let mut dumping = Command::new(programs().join("pg_dump"));
    dumping.args(["--schema=hikyaku", "--no-owner", "--no-privileges", "--dbname", url]).args(more);
    let output = dumping.output().expect("pg_dump; tests/run installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let tells =
        |line: &&str| !["--", "SET ", "SELECT pg_catalog.set_config", "\\"].iter().any(|it| line.starts_with(it));
    let lines = text.lines().filter(tells).filter(|line| !line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

fn home(store: &str) -> Home {
    Home::new(&format!("store.url = \"{store}\"\n{KEPT_FOR_LONG}"))
}

async fn write_down() {
    let store = database();
    let (_home, addresses) = left_behind(&format!("store.url = \"{store}\"\n")).await;
    let folder = golden().join(NEWEST);
    std::fs::create_dir_all(&folder).expect("a folder");
    let text = kept(dump(&store, &["--inserts"]), &addresses);
    std::fs::write(folder.join(format!("{STORE}.sql")), text).expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_every_version_left_in_postgresql_is_delivered_and_shown() {
    if std::env::var_os("HIKYAKU_WRITE_FIXTURES").is_some() {
        write_down().await;
    }
    for folder in versions() {
        let receiver = Receiver::start(Behaviour::Answer(200)).await;
        let address = receiver.url("");
        let names = [STORE, "queue"];
        let (first, now) = first_and_now(&folder, &names);
        let here = |sql: String| as_of_now(&sql.replace(RECEIVER, address.trim_start_matches("http://")), first, now);
        let store = database();
        sql(&store, &here(read(&folder.join(format!("{STORE}.sql")))));
        let home = home(&store);
        lay_files(&home, &["queue"], &folder, here);
        is_delivered_and_shown(&home, &receiver, &folder).await;
        assert_eq!(sql(&store, "SELECT max(version) > 0 FROM hikyaku_schema"), "t");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_every_version_left_in_postgresql_is_brought_up_to_what_this_one_makes() {
    let anew = database();
    home(&anew).serve().await.stop().await;
    let versions_of = |store: &str| sql(store, "SELECT part, version FROM hikyaku_schema ORDER BY part");
    for folder in versions() {
        let store = database();
        sql(&store, &read(&folder.join(format!("{STORE}.sql"))));
        home(&store).serve().await.stop().await;
        assert_eq!(versions_of(&store), versions_of(&anew), "{folder:?}");
        assert_eq!(dump(&store, &["--schema-only"]), dump(&anew, &["--schema-only"]), "{folder:?}");
    }
}
