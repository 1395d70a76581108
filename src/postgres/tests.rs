//! What is promised of PostgreSQL, on servers of the tests' own.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::server::{self, Server};
use super::*;
use crate::telemetry::Telemetry;

/// Far longer than anything here takes on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);

fn at(url: &str) -> Postgres {
    Postgres::new(PostgresUrl::parse(url).expect("a URL"), Telemetry::shared().expect("metrics"))
}

async fn one(postgres: &Postgres, sql: &str) -> Result<i64, PostgresError> {
    let row = postgres.session().await?.query_opt(sql, &[]).await?.expect("a row");
    Ok(row.get(0))
}

/// Asks until PostgreSQL answers.
async fn answers(postgres: &Postgres) {
    let asking = async {
        while one(postgres, "SELECT 1::bigint").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONGEST, asking).await.expect("it answers again");
}

#[tokio::test]
async fn steps_run_once_and_parts_do_not_mix() {
    let postgres = at(&server::database());
    let (first, second) = ("CREATE TABLE a (x INTEGER)", "ALTER TABLE a ADD COLUMN y INTEGER");
    postgres.migrate("one", &[first]).await.expect("first");
    postgres.migrate("one", &[first, second]).await.expect("second");
    postgres.migrate("one", &[first, second]).await.expect("again");
    postgres.migrate("other", &["CREATE TABLE b (x INTEGER)"]).await.expect("another part");
    let mut session = postgres.session().await.expect("a session");
    session.execute("INSERT INTO a (x, y) VALUES (1, 2)", &[]).await.expect("both steps ran");
    session.execute("INSERT INTO hikyaku.b (x) VALUES (1)", &[]).await.expect("the other's ran, in our schema");
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused_with_both_versions() {
    let postgres = at(&server::database());
    postgres.migrate("one", &["CREATE TABLE a (x INTEGER)", "CREATE TABLE b (x INTEGER)"]).await.expect("new");
    let error = postgres.migrate("one", &["CREATE TABLE a (x INTEGER)"]).await.expect_err("an older program");
    assert!(matches!(error, PostgresError::Newer { part: "one", found: 2, known: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_step_that_fails_leaves_what_was_there_usable() {
    let url = server::database();
    let postgres = at(&url);
    let first = "CREATE TABLE a (x INTEGER)";
    postgres.migrate("one", &[first]).await.expect("first");
    let failing =
        [first, "ALTER TABLE a ADD COLUMN y INTEGER; INSERT INTO a VALUES (1, 2)", "CREATE TABEL b (x INTEGER)"];
    let error = postgres.migrate("one", &failing).await.expect_err("no SQL").to_string();
    assert!(error.contains("TABEL") && error.contains("courier@127.0.0.1"), "{error}");
    postgres.migrate("one", &[first]).await.expect("the older program goes on");
    server::sql(&url, "INSERT INTO a VALUES (7)");
    assert_eq!(server::sql(&url, "SELECT * FROM a"), "7", "nothing of the failed steps is there");
}

#[tokio::test]
async fn of_processes_that_start_together_one_migrates_and_the_others_wait_for_it() {
    let url = server::database();
    let steps = ["CREATE TABLE a (x INTEGER); SELECT pg_sleep(0.2)", "INSERT INTO a VALUES (1)"];
    let starting = (0..4).map(|_| async { at(&url).migrate("one", &steps).await });
    for started in futures_util::future::join_all(starting).await {
        started.expect("migrated, by whomever");
    }
    assert_eq!(server::sql(&url, "SELECT count(*) FROM a"), "1");
}

#[tokio::test]
async fn what_keeps_us_out_is_told_with_the_place_and_without_the_password() {
    let url = server::database();
    let wrong_password = url.replace("letters-by-night", "hunter2");
    let no_such_database = format!("{}hunter2", url.rsplit_once('/').expect("a path").0.to_owned() + "/");
    // Port 1 of this machine: nobody listens.
    let nobody = "postgres://courier:hunter2@127.0.0.1:1/x".to_owned();
    for (url, words) in [
        (wrong_password, "does not let us in: password authentication failed"),
        (no_such_database, "does not let us in: database \"hunter2\" does not exist"),
        (nobody, "cannot be reached at courier@127.0.0.1:1/x"),
    ] {
        let message = at(&url).session().await.expect_err("kept out").to_string();
        assert!(message.contains(words) && message.contains("courier@127.0.0.1"), "{message}");
        assert!(!message.contains("letters-by-night") && !message.contains(":hunter2@"), "{message}");
    }
}

#[tokio::test]
async fn a_user_who_may_make_no_schema_is_told_and_one_that_owns_it_needs_no_more() {
    let url = server::database();
    let user = format!("u{}", uuid::Uuid::new_v4().simple());
    server::sql(&url, &format!("CREATE USER {user} PASSWORD 'hunter2'"));
    let theirs = url.replace("courier:letters-by-night", &format!("{user}:hunter2"));
    let steps = ["CREATE TABLE a (x INTEGER)"];
    let message = at(&theirs).migrate("one", &steps).await.expect_err("no right").to_string();
    assert!(
        message.contains("permission denied") && message.contains("CREATE SCHEMA hikyaku AUTHORIZATION"),
        "{message}"
    );
    server::sql(&url, &format!("CREATE SCHEMA hikyaku AUTHORIZATION {user}"));
    at(&theirs).migrate("one", &steps).await.expect("its own schema is enough");
}

#[tokio::test]
async fn a_schema_of_another_name_stands_apart_in_one_database() {
    let url = server::database();
    for schema in ["one", "other"] {
        let postgres = at(&format!("{url}?schema={schema}"));
        postgres.migrate("part", &["CREATE TABLE a (x INTEGER)"]).await.expect("its own table");
    }
    assert_eq!(server::sql(&url, "SELECT count(*) FROM one.a, other.a"), "0");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_in_postgresql_too() {
    let postgres = at(&server::database());
    let mut session = postgres.session().await.expect("a session");
    session.allow(Duration::from_millis(200)).await.expect("set");
    let error = session.query("SELECT pg_sleep(600)", &[]).await.expect_err("too long");
    assert!(matches!(error, PostgresError::Slow { .. }), "{error}");
    assert!(error.to_string().contains("statement timeout"), "{error}");
    drop(session);
    answers(&postgres).await;
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_not_waited_for() {
    let server = Server::start();
    let postgres = at(&server.database());
    let mut session = postgres.session().await.expect("a session");
    session.allow(Duration::from_millis(200)).await.expect("set");
    server.freeze();
    let error = tokio::time::timeout(LONGEST, session.query("SELECT 1", &[])).await.expect("given up");
    let error = error.expect_err("frozen");
    assert!(matches!(&error, PostgresError::Slow { .. }) && error.is_away(), "{error}");
    drop(session);
    let error = tokio::time::timeout(LONGEST, postgres.session()).await.expect("given up").expect_err("frozen");
    assert!(matches!(&error, PostgresError::Away { .. }), "{error}");
    let told = std::time::Instant::now();
    postgres.session().await.expect_err("still frozen");
    assert!(told.elapsed() < connect::CONNECT_WAIT_MAX, "while it is away this is told at once");
    server.thaw();
    answers(&postgres).await;
}

#[tokio::test]
async fn after_a_crash_work_goes_on_by_the_same_handle() {
    let server = Server::start();
    let postgres = at(&server.database());
    postgres.migrate("one", &["CREATE TABLE a (x BIGINT)", "INSERT INTO a VALUES (7)"]).await.expect("migrated");
    server.kill();
    let gone = async {
        while one(&postgres, "SELECT x FROM a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONGEST, gone).await.expect("that it is gone is noticed");
    let error = one(&postgres, "SELECT x FROM a").await.expect_err("gone");
    assert!(matches!(&error, PostgresError::Away { .. }) && error.to_string().contains("cannot be reached"), "{error}");
    server.restart();
    answers(&postgres).await;
    assert_eq!(one(&postgres, "SELECT x FROM a").await.expect("read"), 7);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_undone_and_holds_nothing() {
    let postgres = at(&server::database());
    postgres
        .migrate("one", &["CREATE TABLE a (x BIGINT PRIMARY KEY)", "INSERT INTO a VALUES (1)"])
        .await
        .expect("made");
    let mut session = postgres.session().await.expect("a session");
    let mut transaction = session.transaction().await.expect("begun");
    transaction.execute("UPDATE a SET x = 2", &[]).await.expect("changed");
    drop(transaction);
    drop(session);
    let mut other = postgres.session().await.expect("a session");
    assert_eq!(other.execute("UPDATE a SET x = x + 10", &[]).await.expect("not waited for"), 1);
    assert_eq!(one(&postgres, "SELECT x FROM a").await.expect("read"), 11);
}

#[tokio::test]
async fn a_transaction_counts_once_it_is_committed_and_not_when_it_is_rolled_back() {
    let postgres = at(&server::database());
    postgres.migrate("one", &["CREATE TABLE a (x BIGINT)"]).await.expect("made");
    let mut session = postgres.session().await.expect("a session");
    for (value, is_kept) in [(1_i64, true), (2, false)] {
        let mut transaction = session.transaction().await.expect("begun");
        transaction.execute("INSERT INTO a VALUES ($1)", &[&value]).await.expect("added");
        match is_kept {
            true => transaction.commit().await.expect("committed"),
            false => transaction.rollback().await.expect("rolled back"),
        }
    }
    assert_eq!(one(&postgres, "SELECT sum(x)::bigint FROM a").await.expect("read"), 1);
}

#[tokio::test]
async fn no_more_connections_are_made_than_allowed_however_many_ask() {
    let url = server::database();
    let postgres = at(&url);
    let asking = (0..5 * CONNECTIONS_MAX).map(|_| one(&postgres, "SELECT 1::bigint FROM pg_sleep(0.02)"));
    for answer in futures_util::future::join_all(asking).await {
        answer.expect("each has its turn");
    }
    let open = one(&postgres, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").await;
    let open = usize::try_from(open.expect("counted")).expect("a count");
    assert!((2..=CONNECTIONS_MAX).contains(&open), "{open} connections");
}

#[tokio::test]
async fn who_listens_hears_what_another_notifies_and_again_after_a_crash() {
    let server = Server::start();
    let postgres = at(&server.database());
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let _listening = postgres.listen("things", move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let until = async |more_than: usize| {
        let hears = async {
            while heard.load(Ordering::SeqCst) <= more_than {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONGEST, hears).await.expect("heard");
        heard.load(Ordering::SeqCst)
    };
    let connected = until(0).await;
    postgres.session().await.expect("a session").batch("NOTIFY things").await.expect("notified");
    let before = until(connected).await;
    server.kill();
    server.restart();
    // It may have missed something, and is told so.
    let connected = until(before).await;
    answers(&postgres).await;
    postgres.session().await.expect("a session").batch("NOTIFY things").await.expect("notified");
    until(connected).await;
}

#[tokio::test]
async fn what_is_copied_is_there_as_it_was_sent_and_is_all_or_none() {
    let postgres = at(&server::database());
    postgres.migrate("one", &["CREATE TABLE a (n BIGINT PRIMARY KEY, i INTEGER, t TEXT)"]).await.expect("a table");
    let mut session = postgres.session().await.expect("a session");
    let copy = "COPY a (n, i, t) FROM STDIN (FORMAT binary)";
    let put = |n: &i64, row: &mut CopyRow<'_>| {
        let (i, text) = (i32::try_from(*n).expect("small") - 5, "ü".repeat(50));
        row.bigint(*n).integer((n % 3 > 0).then_some(i)).text((n % 5 > 0).then_some(text.as_str()));
    };
    // Several pieces, and one row that is larger than a piece.
    session.copy(copy, 0..5_000_i64, put).await.expect("copied");
    let large = "x".repeat(1 << 20);
    let put_large = |text: &&str, row: &mut CopyRow<'_>| {
        row.bigint(-1).integer(1).text(*text);
    };
    session.copy(copy, [large.as_str()], put_large).await.expect("copied");
    session.copy(copy, 0..0_i64, put).await.expect("nothing to copy");
    let taken = session.copy(copy, 4_000..20_000_i64, put).await.expect_err("there are some");
    assert!(matches!(taken, PostgresError::Taken { .. }), "{taken}");
    let sql = "SELECT count(*), count(i), sum(i)::BIGINT, count(t),
            count(*) FILTER (WHERE t = repeat('ü', 50)), max(length(t))::BIGINT FROM a";
    let row = session.query_opt(sql, &[]).await.expect("read").expect("a row");
    let found: Vec<i64> = (0..6).map(|column| row.get(column)).collect();
    let numbers = (0..5_000_i64).filter(|n| n % 3 > 0);
    let sum = numbers.clone().map(|n| n - 5).sum::<i64>() + 1;
    assert_eq!(found, [5_001, numbers.count() as i64 + 1, sum, 4_001, 4_000, 1 << 20]);
}
