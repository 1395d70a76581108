//! A borrowed connection, and what runs on it: statements with a deadline, one at a time.
//!
//! A connection goes back to the others when its session is dropped, unless something on it was left half done: a statement
//! whose answer nobody waited for, or a transaction that was neither committed nor rolled back. Then it is closed, and PostgreSQL
//! rolls back. Statements are prepared once for each connection, by their text.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::SinkExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::copy::{CopyRow, CopyRows};
use super::{Pool, PostgresError, STATEMENT_WAIT_MAX};

/// Texts that one connection keeps prepared; then it begins anew.
const PREPARED_MAX: usize = 200;
/// How long after PostgreSQL's own deadline it is waited for it to say so.
const PAST_DEADLINE: Duration = Duration::from_secs(1);

/// What a statement is given.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection, and the SQL that runs on it.
#[derive(Debug)]
pub struct Statements {
    client: Client,
    prepared: HashMap<String, Statement>,
    place: Arc<str>,
    limit: Duration,
    /// Something is under way, or was left so.
    unfinished: bool,
    /// Closes the socket when this is dropped.
    socket: tokio::task::JoinSet<()>,
}

impl Statements {
    pub(super) fn new(client: Client, place: &str, socket: tokio::task::JoinSet<()>) -> Self {
        let (prepared, limit) = (HashMap::new(), STATEMENT_WAIT_MAX);
        Self { client, prepared, place: Arc::from(place), limit, unfinished: false, socket }
    }

    /// Ends when the connection does.
    pub(super) async fn closed(&mut self) {
        let _however_it_ended = self.socket.join_next().await;
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.unfinished && !self.client.is_closed()
    }

    /// Runs one statement and tells the rows it gives.
    ///
    /// # Errors
    /// What PostgreSQL says, or that it says nothing in time.
    pub async fn query(&mut self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, PostgresError> {
        let statement = self.prepare(sql).await?;
        let (place, limit) = (Arc::clone(&self.place), self.limit);
        self.unfinished = true;
        let answer = within(&place, limit, self.client.query(&statement, params)).await;
        self.finish(answer)
    }

    /// Runs one statement that gives a row or none.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn query_opt(&mut self, sql: &str, params: Params<'_>) -> Result<Option<Row>, PostgresError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Runs one statement and tells how many rows it changed.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn execute(&mut self, sql: &str, params: Params<'_>) -> Result<u64, PostgresError> {
        let statement = self.prepare(sql).await?;
        let (place, limit) = (Arc::clone(&self.place), self.limit);
        self.unfinished = true;
        let answer = within(&place, limit, self.client.execute(&statement, params)).await;
        self.finish(answer)
    }

    /// Runs a `COPY ... FROM STDIN (FORMAT binary)` of `rows`, whose values `put` tells. It adds rows for a third of what an `INSERT`
    /// takes, and all or none.
    ///
    /// # Errors
    /// As [`Self::query`]; [`PostgresError::Taken`] when one of them is there.
    pub async fn copy<R>(
        &mut self,
        sql: &str,
        rows: impl IntoIterator<Item = R>,
        put: impl Fn(&R, &mut CopyRow<'_>),
    ) -> Result<(), PostgresError> {
        let statement = self.prepare(sql).await?;
        let (place, limit) = (Arc::clone(&self.place), self.limit);
        self.unfinished = true;
        let copied = async {
            let mut sink = pin!(self.client.copy_in(&statement).await?);
            let mut chunks = CopyRows::new();
            for row in rows {
                if let Some(chunk) = chunks.add(|values| put(&row, values)) {
                    sink.feed(chunk).await?;
                }
            }
            sink.feed(chunks.end()).await?;
            sink.finish().await.map(drop)
        };
        let answer = within(&place, limit, copied).await;
        self.finish(answer)
    }

    /// Runs SQL without parameters, one statement or several.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn batch(&mut self, sql: &str) -> Result<(), PostgresError> {
        let (place, limit) = (Arc::clone(&self.place), self.limit);
        self.unfinished = true;
        let answer = within(&place, limit, self.client.batch_execute(sql)).await;
        self.finish(answer)
    }

    /// Lets each statement take up to `limit` from now on, until the connection is given back: for what is known to be long.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn allow(&mut self, limit: Duration) -> Result<(), PostgresError> {
        self.batch(&format!("SET statement_timeout = {}", limit.as_millis())).await?;
        self.limit = limit;
        Ok(())
    }

    async fn prepare(&mut self, sql: &str) -> Result<Statement, PostgresError> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        if self.prepared.len() >= PREPARED_MAX {
            self.prepared.clear();
        }
        let (place, limit) = (Arc::clone(&self.place), self.limit);
        self.unfinished = true;
        let answer = within(&place, limit, self.client.prepare(sql)).await;
        let statement = self.finish(answer)?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// PostgreSQL's own word, good or bad, is an end; that it did not come is none.
    fn finish<T>(&mut self, answer: Result<T, PostgresError>) -> Result<T, PostgresError> {
        self.unfinished = matches!(&answer, Err(PostgresError::Slow { .. } | PostgresError::Away { .. }));
        if answer.is_err() {
            // A plan that no longer fits its tables is made anew.
            self.prepared.clear();
        }
        answer
    }
}

/// Waits for `answer` for a moment longer than PostgreSQL's own deadline, which has the better words.
async fn within<T>(
    place: &str,
    limit: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, PostgresError> {
    match tokio::time::timeout(limit + PAST_DEADLINE, answer).await {
        Ok(answer) => answer.map_err(|error| PostgresError::new(place, &error)),
        Err(_) => Err(PostgresError::Slow { place: place.to_owned(), what: "it does not answer".to_owned(), limit }),
    }
}

/// A connection that is lent.
#[derive(Debug)]
pub struct Session {
    statements: Option<Statements>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
    /// It is not lent again.
    is_kept: bool,
}

impl Session {
    /// Lends it to nobody else: with the session, the connection ends, and what PostgreSQL keeps for as long as that is there.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    pub(super) fn new(statements: Statements, pool: Arc<Pool>, permit: OwnedSemaphorePermit) -> Self {
        Self { statements: Some(statements), pool, _permit: permit, is_kept: false }
    }

    /// Begins a transaction. Dropped, it is rolled back and costs the connection; better say [`Transaction::rollback`].
    ///
    /// # Errors
    /// As [`Statements::query`].
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, PostgresError> {
        self.begin("BEGIN").await
    }

    /// The same, only to read, where every statement sees the database as it was at the first.
    ///
    /// # Errors
    /// As [`Statements::query`].
    pub async fn reading(&mut self) -> Result<Transaction<'_>, PostgresError> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    async fn begin(&mut self, sql: &str) -> Result<Transaction<'_>, PostgresError> {
        let statements: &mut Statements = self;
        statements.batch(sql).await?;
        Ok(Transaction { statements, ended: false })
    }
}

impl Deref for Session {
    type Target = Statements;

    #[expect(clippy::expect_used, reason = "it is there until the session is dropped")]
    fn deref(&self) -> &Statements {
        self.statements.as_ref().expect("a connection until the end")
    }
}

impl DerefMut for Session {
    #[expect(clippy::expect_used, reason = "it is there until the session is dropped")]
    fn deref_mut(&mut self) -> &mut Statements {
        self.statements.as_mut().expect("a connection until the end")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // One that was allowed more time than others is not lent again: setting it back could fail.
        let may_be_lent = |lent: &Statements| !self.is_kept && lent.limit == STATEMENT_WAIT_MAX;
        if let Some(statements) = self.statements.take().filter(may_be_lent) {
            self.pool.give_back(statements);
        }
    }
}

/// A transaction; nothing of it counts before [`Self::commit`].
#[derive(Debug)]
pub struct Transaction<'a> {
    statements: &'a mut Statements,
    ended: bool,
}

impl Transaction<'_> {
    /// Makes it count.
    ///
    /// # Errors
    /// [`PostgresError::InDoubt`] when PostgreSQL's answer did not come: it may count or not. After any other it does not.
    pub async fn commit(mut self) -> Result<(), PostgresError> {
        let done = self.statements.batch("COMMIT").await;
        self.ended = true;
        done.map_err(PostgresError::in_doubt)
    }

    /// Undoes it.
    ///
    /// # Errors
    /// As [`Statements::query`]; nothing of it counts all the same.
    pub async fn rollback(mut self) -> Result<(), PostgresError> {
        let done = self.statements.batch("ROLLBACK").await;
        self.ended = true;
        done
    }
}

impl Deref for Transaction<'_> {
    type Target = Statements;

    fn deref(&self) -> &Statements {
        self.statements
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Statements {
        self.statements
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.statements.unfinished = true;
        }
    }
}
