//! What the suite needs of a store, and each kind of store.
//!
//! A store stands for one database that processes open, lose and open again, and into which someone else can look.

use std::path::PathBuf;
use std::time::Duration;

use hikyaku::clock::SharedClock;
use hikyaku::postgres::{Postgres, PostgresUrl};
use hikyaku::record::{
    DeadLetters, History, HistoryPolicy, HistoryReader, Latest, Receipts, RecordError, Retention, Workers,
};
use hikyaku::store::Store;
use hikyaku::telemetry::{SharedTelemetry, Telemetry};
use rusqlite::Connection;
use tempfile::TempDir;

use super::history_samples::{START, delivered, until_written};
use crate::support::postgres;

/// Which of the tables are meant: where these are files, the history has its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Store,
    History,
}

/// One empty store and those who open it.
pub(super) trait Backend: Sized + Sync {
    /// What words about the store name it by.
    const NAME: &str;

    /// The version of the history's tables.
    const HISTORY_VERSION: u32;

    async fn new() -> Self;

    /// It, as one more process opens it.
    fn store(&self) -> Store;

    async fn letters(&self, retention: Retention, clock: SharedClock) -> DeadLetters;

    async fn latest(&self) -> Latest;

    async fn receipts(&self, clock: SharedClock) -> Receipts;

    async fn workers(&self) -> Workers;

    async fn history(
        &self,
        policy: HistoryPolicy,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Result<History, RecordError>;

    fn history_reader(&self) -> HistoryReader;

    /// Someone else runs `sql`.
    async fn execute(&self, part: Part, sql: &str);

    /// Someone else asks for a number.
    async fn number(&self, part: Part, sql: &str) -> u64;

    /// Someone else keeps everybody from writing to the history, and from reading what is being written, until
    /// [`Backend::let_go`].
    async fn hold_history(&self) -> Self::Held;

    /// What keeps them.
    type Held;

    async fn let_go(&self, held: Self::Held);

    /// Puts a million deliveries of 1,000 webhooks into the history, 1 in 1,000 dead, each with an attempt, as a month might.
    /// `history` writes there.
    async fn fill_history_with_a_million(&self, history: &History);

    /// Where in the listing the `number`th of them is, as a cursor's text.
    fn place_in_the_million(number: i64) -> String;

    /// From now on the letters' table takes none with that delivery id.
    async fn refuse_letter(&self, id: &str);

    /// From now on it takes all.
    async fn refuse_no_letter(&self);
}

const MILLION: &str = "
    WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000000)
    INSERT INTO deliveries SELECT ((1774960496789 + n / 3) << 20) + n % 3, replace(replace(replace(replace(printf('msg_%032d', n),
        '0', 'a'), '1', 'b'), '8', 'c'), '9', 'd'), printf('e%d', n / 4), iif(n % 500 = 0, 'mention', 'note'), 'u1',
        'default', printf('wh%d', n % 1000), 1774960496789 + n / 3, 0, 1, 0, iif(n % 1000 = 7, 'dead', 'delivered'),
        iif(n % 1000 = 7, 'refused', NULL), 1774960496789 + n / 3, NULL, NULL, 0, 1, 1774960496789 + n / 3, 1500,
        'delivered', 200, '', 'ok', 'here/1' FROM n;
    INSERT INTO unpacked SELECT number FROM deliveries;
    INSERT INTO webhook_marks SELECT DISTINCT webhook, number >> 22 FROM deliveries;
    INSERT INTO type_marks SELECT DISTINCT type, number >> 22 FROM deliveries;
    UPDATE history_rows SET deliveries = 1000000, attempts = 1000000;
";

/// With each thing that is written, some are packed.
async fn pack_a_million(store: &impl Backend, history: &History) {
    while store.number(Part::History, "SELECT count(*) FROM unpacked").await > 8192 {
        history.note(delivered(1, START));
        until_written(history).await;
    }
}

/// SQLite files.
pub(super) struct Sqlite(TempDir);

impl Sqlite {
    /// The file of `part`.
    pub(super) fn path(&self, part: Part) -> PathBuf {
        let name = match part {
            Part::Store => "store.db",
            Part::History => "history.db",
        };
        self.0.path().join(name)
    }

    /// A connection of someone else.
    pub(super) fn stranger(&self, part: Part) -> Connection {
        hikyaku::sqlite::open(&self.path(part)).expect("opens")
    }
}

impl Backend for Sqlite {
    const NAME: &str = "store.db";
    const HISTORY_VERSION: u32 = 4;

    async fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn store(&self) -> Store {
        Store::Sqlite(self.path(Part::Store))
    }

    async fn letters(&self, retention: Retention, clock: SharedClock) -> DeadLetters {
        DeadLetters::open(&self.path(Part::Store), retention, clock).await.expect("opens")
    }

    async fn latest(&self) -> Latest {
        Latest::open(&self.path(Part::Store)).await.expect("opens")
    }

    async fn receipts(&self, clock: SharedClock) -> Receipts {
        Receipts::open(&self.path(Part::Store), clock).expect("opens")
    }

    async fn workers(&self) -> Workers {
        Workers::open(&self.path(Part::Store)).expect("opens")
    }

    async fn history(
        &self,
        policy: HistoryPolicy,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Result<History, RecordError> {
        History::open(&self.path(Part::History), &self.path(Part::Store), policy, clock, telemetry)
    }

    fn history_reader(&self) -> HistoryReader {
        HistoryReader::of(&self.path(Part::History))
    }

    async fn execute(&self, part: Part, sql: &str) {
        self.stranger(part).execute_batch(sql).expect(sql);
    }

    async fn number(&self, part: Part, sql: &str) -> u64 {
        self.stranger(part).query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    type Held = Connection;

    async fn hold_history(&self) -> Connection {
        let stranger = self.stranger(Part::History);
        stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
        stranger
    }

    async fn let_go(&self, held: Connection) {
        held.execute_batch("ROLLBACK").expect("free");
    }

    async fn fill_history_with_a_million(&self, history: &History) {
        self.execute(Part::History, MILLION).await;
        pack_a_million(self, history).await;
    }

    fn place_in_the_million(number: i64) -> String {
        let accepted_at = START.as_millis() + number / 3;
        format!("{accepted_at}.{}", (accepted_at << 20) + number % 3)
    }

    async fn refuse_letter(&self, id: &str) {
        let sql = format!(
            "CREATE TRIGGER full BEFORE INSERT ON dead_letters WHEN new.delivery_id = '{id}' \
             BEGIN SELECT raise(ABORT, 'no room'); END"
        );
        self.execute(Part::Store, &sql).await;
    }

    async fn refuse_no_letter(&self) {
        self.execute(Part::Store, "DROP TRIGGER full").await;
    }
}

/// A database of PostgreSQL's, in a server that tests share.
pub(super) struct PostgreSql {
    url: String,
}

impl PostgreSql {
    /// The database as another process has it.
    pub(super) fn database(&self) -> Postgres {
        let url = PostgresUrl::parse(&self.url).expect("a URL");
        Postgres::new(url, Telemetry::shared().expect("metrics"))
    }

    /// Someone else runs `sql`, on a thread that may wait for it.
    async fn ask(&self, sql: &str) -> String {
        let (url, sql) = (self.url.clone(), sql.to_owned());
        tokio::task::spawn_blocking(move || postgres::sql(&url, &sql)).await.expect("asked")
    }
}

const MILLION_IN_POSTGRESQL: &str = "
    INSERT INTO deliveries (accepted_at, tie, delivery_id, event_id, type, user_id, source, webhook, generation, attempts, parks, state,
            reason, changed_at, last_generation, last_attempt, started_at, took_us, outcome, status, error, response, worker)
        SELECT 1774960496789 + n / 3, n, translate('msg_' || lpad(n::text, 32, '0'), '0189', 'abcd'), 'e' || n / 4,
            CASE WHEN n % 500 = 0 THEN 'mention' ELSE 'note' END, 'u1', 'default', 'wh' || n % 1000, 0, 1, 0,
            CASE WHEN n % 1000 = 7 THEN 'dead' ELSE 'delivered' END, CASE WHEN n % 1000 = 7 THEN 'refused' END,
            1774960496789 + n / 3, 0, 1, 1774960496789 + n / 3, 1500, 'delivered', 200, '', 'ok', 'here/1'
        FROM generate_series(1, 1000000) n;
    INSERT INTO unpacked SELECT accepted_at, tie FROM deliveries;
    INSERT INTO webhook_marks SELECT DISTINCT webhook, accepted_at >> 2 FROM deliveries;
    INSERT INTO type_marks SELECT DISTINCT type, accepted_at >> 2 FROM deliveries;
    UPDATE history_rows SET deliveries = 1000000, attempts = 1000000;
";

impl Backend for PostgreSql {
    const NAME: &str = "PostgreSQL";
    const HISTORY_VERSION: u32 = 4;

    async fn new() -> Self {
        Self { url: tokio::task::spawn_blocking(postgres::database).await.expect("a database") }
    }

    fn store(&self) -> Store {
        Store::Postgres(self.database())
    }

    async fn letters(&self, retention: Retention, clock: SharedClock) -> DeadLetters {
        DeadLetters::in_store(&self.store(), retention, clock).await.expect("opens")
    }

    async fn latest(&self) -> Latest {
        Latest::in_store(&self.store()).await.expect("opens")
    }

    async fn receipts(&self, clock: SharedClock) -> Receipts {
        Receipts::in_store(&self.store(), clock).await.expect("opens")
    }

    async fn workers(&self) -> Workers {
        Workers::in_store(&self.store()).await.expect("opens")
    }

    async fn history(
        &self,
        policy: HistoryPolicy,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Result<History, RecordError> {
        History::open_postgres(&self.database(), policy, clock, telemetry).await
    }

    fn history_reader(&self) -> HistoryReader {
        HistoryReader::of_postgres(&self.database())
    }

    async fn execute(&self, _: Part, sql: &str) {
        self.ask(sql).await;
    }

    async fn number(&self, _: Part, sql: &str) -> u64 {
        self.ask(sql).await.parse().expect("a number")
    }

    type Held = hikyaku::postgres::Session;

    async fn hold_history(&self) -> Self::Held {
        let mut session = self.database().session().await.expect("connects");
        session.batch("BEGIN; LOCK TABLE deliveries IN EXCLUSIVE MODE").await.expect("locked");
        session
    }

    async fn let_go(&self, mut held: Self::Held) {
        held.batch("ROLLBACK").await.expect("free");
    }

    async fn fill_history_with_a_million(&self, history: &History) {
        let mut session = self.database().session().await.expect("connects");
        session.allow(Duration::from_secs(600)).await.expect("allowed");
        session.batch(MILLION_IN_POSTGRESQL).await.expect("filled");
        session.batch("ANALYZE deliveries, webhook_marks, type_marks").await.expect("analyzed");
        pack_a_million(self, history).await;
    }

    fn place_in_the_million(number: i64) -> String {
        format!("{}.0", START.as_millis() + number / 3)
    }

    async fn refuse_letter(&self, id: &str) {
        self.ask(&format!("ALTER TABLE dead_letters ADD CONSTRAINT full_of CHECK (delivery_id <> '{id}')")).await;
    }

    async fn refuse_no_letter(&self) {
        self.ask("ALTER TABLE dead_letters DROP CONSTRAINT full_of").await;
    }
}
