//! Files of every version (`tests/fixtures/golden/v*`): what each version left in its files is delivered, shown and exported by this
//! one, and this one's tables are those of the newest of them.
//!
//! The files are kept as SQL, which says more in a review than bytes do. They are never edited: who changes tables makes a folder for
//! the new version, by `HIKYAKU_WRITE_FIXTURES=1 cargo test --test operating golden`, and leaves the others as they are. A version that
//! is not released yet may so have several.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, event, until};

/// The version whose tables are as this one makes them.
pub(crate) const NEWEST: &str = "v0.1.0-history";
const FILES: [&str; 3] = ["queue", "store", "history"];
/// Ten years: old letters are not to go for their age.
pub(crate) const KEPT_FOR_LONG: &str = "dead_letters.retention_s = 315360000\n";
/// What stands in the files for where the receivers were.
pub(crate) const RECEIVER: &str = "receiver.invalid:9";

pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden")
}

pub(crate) fn versions() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden()).expect("versions");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    assert!(folders.contains(&golden().join(NEWEST)), "{folders:?}");
    folders
}

/// What makes the tables of a file, in words: every table, index and trigger.
fn tables(connection: &Connection) -> Vec<String> {
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
        ORDER BY type <> 'table', type, name";
    strings(connection, sql)
}

fn strings(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).expect("SQL");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("texts")
}

/// A file as SQL that makes it again: tables, rows, and then what would act on rows.
fn dump(connection: &Connection) -> String {
    let of_tables =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let mut rows = Vec::new();
    for table in strings(connection, of_tables) {
        let columns =
            strings(connection, &format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')"));
        let values = columns.join(" || ', ' || ");
        let sql = format!("SELECT 'INSERT INTO {table} VALUES (' || {values} || ');' FROM {table} ORDER BY 1");
        rows.extend(strings(connection, &sql));
    }
    let all = tables(connection);
    let (makes, acts): (Vec<_>, Vec<_>) = all.into_iter().partition(|sql| sql.starts_with("CREATE TABLE"));
    let end = |sql: String| sql + ";";
    let lines = makes.into_iter().map(end).chain(rows).chain(acts.into_iter().map(end));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// What this version leaves behind: an event that nobody has taken, a delivery that waits for its second attempt, a dead letter, and
/// a paused webhook; with `settings`. And the addresses of the receivers, which are to be written down as [`RECEIVER`].
pub(crate) async fn left_behind(settings: &str) -> (Home, [String; 2]) {
    let (failing, refusing) =
        (Receiver::start(Behaviour::Answer(503)).await, Receiver::start(Behaviour::Answer(404)).await);
    // Nobody collects traces there; what is stored belongs to one all the same.
    let traces = "traces.otlp_url = \"http://127.0.0.1:9\"";
    let home = Home::new(&format!("delivery.retry_schedule_s = [3600]\n{traces}\n{settings}"));
    for (id, url, on, more) in [
        ("failing", failing.url("/failing"), "note", "--secret=s3cr3t-s3cr3t"),
        ("refusing", refusing.url("/refusing"), "mention", "--rate-limit=5/s"),
        ("paused", failing.url("/paused"), "reply", "--paused"),
        ("later", failing.url("/later"), "follow", "--name=Später"),
    ] {
        home.cli(&["webhooks", "create", "--id", id, "--url", &url, "--on", on, more]).await.ok();
    }
    let program = home.serve().await;
    assert_eq!(program.post(event("note", "waits")).await.0, 200);
    assert_eq!(program.post(event("mention", "died")).await.0, 200);
    program.metric_is("hikyaku_dead_letters", 1.0).await;
    program.metric_is("hikyaku_queue_depth{queue=\"delay\"}", 1.0).await;
    until("the history has both", async || (program.metric("hikyaku_history_deliveries").await >= 2.0).then_some(()))
        .await;
    program.stop().await;
    let file = home.write("fresh.ndjson", &(event("follow", "fresh") + "\n"));
    home.cli(&["publish", file]).await.ok();
    (home, [failing.url(""), refusing.url("")].map(|url| url.trim_start_matches("http://").to_owned()))
}

/// The text with [`RECEIVER`] in the place of `addresses`.
pub(crate) fn kept(text: String, addresses: &[String]) -> String {
    addresses.iter().fold(text, |text, address| text.replace(address, RECEIVER))
}

/// Makes the files of this version, and writes down what they hold.
async fn write_down() {
    let (home, addresses) = left_behind("").await;
    let folder = golden().join(NEWEST);
    std::fs::create_dir_all(&folder).expect("a folder");
    let kept = |text| kept(text, &addresses);
    for name in FILES {
        let connection = Connection::open(home.path(&format!("{name}.db"))).expect("opened");
        std::fs::write(folder.join(format!("{name}.sql")), kept(dump(&connection))).expect("written");
    }
    let letters = home.cli(&["dead", "export"]).await.ok();
    std::fs::write(folder.join("letters.ndjson"), kept(letters)).expect("written");
}

/// A home with the files of the version in `folder`, each changed by `change`.
fn home_of(folder: &Path, change: impl Fn(String) -> String) -> Home {
    let home = Home::new(KEPT_FOR_LONG);
    lay_files(&home, &FILES, folder, change);
    home
}

/// Lays those of the files into `home`.
pub(crate) fn lay_files(home: &Home, names: &[&str], folder: &Path, change: impl Fn(String) -> String) {
    for name in names {
        let sql = change(read(&folder.join(format!("{name}.sql"))));
        let connection = Connection::open(home.path(&format!("{name}.db"))).expect("made");
        connection.execute_batch(&sql).unwrap_or_else(|error| panic!("{}, {name}: {error}", folder.display()));
    }
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A number of as many digits as milliseconds since 1970 have, and they alone in these files.
fn moment(word: &str) -> Option<i64> {
    (word.len() == 13).then(|| word.parse().ok()).flatten()
}

/// The SQL with every moment in it moved, so that what was written down long ago is as if it had been just now: else it would be
/// too old to be delivered, or to be kept.
pub(crate) fn as_of_now(sql: &str, first: i64, now: i64) -> String {
    let is_digit = |c: char| c.is_ascii_digit();
    let mut moved = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(is_digit) {
        let (before, from) = rest.split_at(at);
        let (digits, after) = from.split_at(from.find(|c| !is_digit(c)).unwrap_or(from.len()));
        // What hexadecimal digits hold is no moment.
        let is_number = before.ends_with([' ', ',', '(']);
        let moment = moment(digits).filter(|_| is_number);
        moved += before;
        moved += &moment.map_or_else(|| digits.to_owned(), |moment| (moment - first + now).to_string());
        rest = after;
    }
    moved + rest
}

/// The first moment in the files in `folder` that are called so, and this moment.
pub(crate) fn first_and_now(folder: &Path, names: &[&str]) -> (i64, i64) {
    let texts: Vec<String> = names.iter().map(|name| read(&folder.join(format!("{name}.sql")))).collect();
    let words = texts.iter().flat_map(|text| text.split([' ', ',', '(', ')']));
    let first = words.filter_map(moment).min().expect("a moment");
    let clock = Connection::open_in_memory().expect("memory");
    let now: Result<i64, _> =
        clock.query_row("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)", [], |row| row.get(0));
    // They took some seconds to come about.
    (first, now.expect("a clock") - 30_000)
}

#[tokio::test]
async fn this_versions_tables_are_those_of_the_newest_version_on_record() {
    if std::env::var_os("HIKYAKU_WRITE_FIXTURES").is_some() {
        write_down().await;
    }
    let home = Home::new("");
    home.serve().await.stop().await;
    for name in FILES {
        let kept = Connection::open_in_memory().expect("memory");
        let path = golden().join(NEWEST).join(format!("{name}.sql"));
        kept.execute_batch(&read(&path)).expect("its SQL");
        let made = Connection::open(home.path(&format!("{name}.db"))).expect("opened");
        let versions = "SELECT part || ' ' || version FROM hikyaku_schema ORDER BY 1";
        assert_eq!(strings(&made, versions), strings(&kept, versions), "{name}.db: see the head of this file");
        assert_eq!(tables(&made), tables(&kept), "{name}.db: see the head of this file");
    }
}

/// What was waiting has arrived, whole: the second attempt of the one, the first of the other.
#[track_caller]
fn assert_arrived(receiver: &Receiver, folder: &Path) {
    let book = receiver.book();
    let mut arrived: Vec<(String, String, String)> = book
        .arrived
        .iter()
        .map(|arrived| (arrived.path.clone(), arrived.event_id(), arrived.attempt().to_owned()))
        .collect();
    arrived.sort();
    let expected = [("/failing", "waits", "2"), ("/later", "fresh", "1")];
    assert_eq!(arrived, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())), "{folder:?}");
    assert!(book.arrived.iter().all(|one| one.body.ends_with(b"}}")), "bodies are whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_every_version_left_in_its_files_is_delivered_and_shown() {
    for folder in versions() {
        let receiver = Receiver::start(Behaviour::Answer(200)).await;
        let address = receiver.url("");
        let (first, now) = first_and_now(&folder, &FILES);
        let here = |sql: String| as_of_now(&sql.replace(RECEIVER, address.trim_start_matches("http://")), first, now);
        is_delivered_and_shown(&home_of(&folder, here), &receiver, &folder).await;
    }
}

/// Checks that what `home` has of the version in `folder` goes on with this one.
pub(crate) async fn is_delivered_and_shown(home: &Home, receiver: &Receiver, folder: &Path) {
    // It would be due in an hour.
    let queue = Connection::open(home.path("queue.db")).expect("opened");
    queue.execute("UPDATE delay SET due_ms = 0", []).expect("due");
    drop(queue);

    let program = home.serve().await;

    receiver.until_distinct(2).await;
    assert_arrived(receiver, folder);
    let letters = home.cli(&["dead", "list", "--json"]).await.json();
    assert_eq!(letters[0]["webhookId"], "refusing", "{folder:?}: {letters}");
    let webhooks = home.cli(&["webhooks", "list", "--json"]).await.json();
    assert_eq!(webhooks.as_array().map(Vec::len), Some(4), "{folder:?}: {webhooks}");
    let deliveries = home.cli(&["deliveries", "list", "--json"]).await.json();
    assert!(deliveries.to_string().contains("died"), "{folder:?}: {deliveries}");
    program.stop().await;
}

#[tokio::test]
async fn an_export_of_dead_letters_is_as_the_newest_version_on_record_wrote_it() {
    let folder = golden().join(NEWEST);
    let home = home_of(&folder, |sql| sql);
    assert_eq!(home.cli(&["dead", "export"]).await.ok(), read(&folder.join("letters.ndjson")));
}

#[tokio::test]
async fn letters_that_every_version_exported_are_imported() {
    for folder in versions() {
        let home = Home::new(KEPT_FOR_LONG);
        let file = folder.join("letters.ndjson").display().to_string();
        home.cli(&["dead", "import", &file]).await.ok();
        let letters = home.cli(&["dead", "list", "--json"]).await.json();
        assert_eq!(letters[0]["webhookId"], "refusing", "{folder:?}: {letters}");
    }
}
