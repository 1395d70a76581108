//! What everything of ours in PostgreSQL has in common: how it is connected to, migrated, worked on, and what its errors mean.
//!
//! A [`Postgres`] is a handle to one database. It connects when it is first asked for something, keeps a few connections, and
//! makes new ones for as long as it takes when they are lost. While PostgreSQL is away, who asks is told so at once, and a new
//! connection is tried now and then. Everything lies in one schema, `hikyaku` unless the URL says otherwise, which every
//! connection has as its only search path: SQL here names tables without it.
//!
//! - [`Postgres::session`] lends a connection; [`Statements`] runs SQL on it, and [`Session::transaction`] begins a transaction.
//! - Every statement has a deadline, here and in PostgreSQL ([`STATEMENT_WAIT_MAX`]): nobody waits for a frozen server.
//! - [`Postgres::migrate`] brings one module's tables up to date, as `sqlite::migrate` does.
//! - [`Postgres::listen`] tells of what others `NOTIFY`.
//!
//! Texts that are compared or paged by are declared `COLLATE "C"`, so that they sort as bytes, as in SQLite. Times are
//! `BIGINT`, milliseconds since 1970. Nothing here knows what the tables mean.

mod connect;
mod copy;
mod error;
mod listen;
mod look;
mod migrate;
#[cfg(test)]
#[path = "../../tests/it/support/postgres.rs"]
pub(crate) mod server;
mod session;
#[cfg(test)]
mod tests;
mod tls;
mod url;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::connect::connect;
use self::session::Statements as Connected;
use crate::clock::Backoff;
use crate::telemetry::{SharedTelemetry, Trouble};

pub use copy::CopyRow;
pub use error::PostgresError;
pub use listen::Listening;
pub use look::PostgresLook;
pub use session::{Params, Session, Statements, Transaction};
pub use tokio_postgres::Row;
pub use tokio_postgres::types::{FromSql, ToSql};
pub use url::PostgresUrl;

/// Connections of one process, beside one that listens: the store's parts seldom need more at a time, and PostgreSQL has 100
/// by default for all (postgresql.org/docs/15/runtime-config-connection.html).
pub const CONNECTIONS_MAX: usize = 8;
/// How long a statement may take, here and in PostgreSQL, unless [`Statements::allow`] says otherwise.
pub const STATEMENT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long one who needs a connection waits for one that is in use.
const FREE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Waits between tries to connect, half of each up or down by chance; as with RabbitMQ, so that work goes on soon.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_LONGEST: Duration = Duration::from_millis(1500);

/// A database of PostgreSQL's; clones share its connections.
#[derive(Clone, Debug)]
pub struct Postgres(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    url: PostgresUrl,
    /// Who is told that it is away; nobody, where whoever asks says so.
    telemetry: Option<SharedTelemetry>,
    trouble: Arc<Trouble>,
    /// As many may be in use as it has permits.
    free: Arc<Semaphore>,
    /// Open, in order, and used by nobody.
    idle: Mutex<Vec<Connected>>,
    gate: Mutex<Gate>,
}

/// When a new connection may be tried, after one could not be made.
#[derive(Debug)]
struct Gate {
    waits: Backoff,
    closed: Option<(Instant, PostgresError)>,
}

impl Postgres {
    /// The database at `url`. Connects to nothing yet.
    pub fn new(url: PostgresUrl, telemetry: SharedTelemetry) -> Self {
        let trouble = Trouble::none("PostgreSQL cannot be used; it is tried again, and deliveries go on meanwhile");
        Self::telling(url, Some(telemetry), Arc::new(trouble))
    }

    /// The same for a command that ends with its first error: that it is away stands there, and in no log besides.
    pub fn for_a_command(url: PostgresUrl) -> Self {
        Self::telling(url, None, Arc::new(Trouble::none("PostgreSQL cannot be used")))
    }

    /// The same database by connections of its own: for one who works on a runtime of his own, since a connection stands still
    /// when the runtime that made it does.
    pub fn apart(&self) -> Self {
        let Pool { url, telemetry, trouble, .. } = &*self.0;
        Self::telling(url.clone(), telemetry.clone(), Arc::clone(trouble))
    }

    fn telling(url: PostgresUrl, telemetry: Option<SharedTelemetry>, trouble: Arc<Trouble>) -> Self {
        Self(Arc::new(Pool {
            url,
            telemetry,
            trouble,
            free: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            idle: Mutex::default(),
            gate: Mutex::new(Gate { waits: Backoff::new(AGAIN_FIRST, AGAIN_LONGEST), closed: None }),
        }))
    }

    /// Where it is.
    pub fn url(&self) -> &PostgresUrl {
        &self.0.url
    }

    /// The error of one who has waited for `limit` for an answer and waits no longer.
    pub fn silent_for(&self, limit: Duration) -> PostgresError {
        PostgresError::Slow { place: self.0.url.to_string(), what: "it does not answer".to_owned(), limit }
    }

    /// The channel of notifications that is called `name` here: channels are the database's, and schemas share it.
    pub fn channel(&self, name: &str) -> String {
        format!("{}_{name}", self.0.url.schema())
    }

    /// Lends a connection, which comes back when the session is dropped.
    ///
    /// # Errors
    /// Why there is none. While PostgreSQL is away this is told at once, and tried anew each 0.25 s, growing to 1.5 s.
    pub async fn session(&self) -> Result<Session, PostgresError> {
        let pool = &self.0;
        let free = tokio::time::timeout(FREE_WAIT_MAX, Arc::clone(&pool.free).acquire_owned()).await;
        let Ok(Ok(permit)) = free else {
            let what = format!("its {CONNECTIONS_MAX} connections are all in use");
            return Err(PostgresError::Slow { place: pool.url.to_string(), what, limit: FREE_WAIT_MAX });
        };
        let connected = match pool.take_idle() {
            Some(connected) => connected,
            None => pool.connect().await?,
        };
        Ok(Session::new(connected, Arc::clone(pool), permit))
    }
}

impl Pool {
    /// One that is open, if any.
    fn take_idle(&self) -> Option<Connected> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Connected::is_usable);
        idle.pop()
    }

    fn give_back(&self, connected: Connected) {
        if connected.is_usable() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connected);
        }
    }

    async fn connect(&self) -> Result<Connected, PostgresError> {
        if let Some((until, why)) = &self.gate.lock().unwrap_or_else(PoisonError::into_inner).closed
            && Instant::now() < *until
        {
            return Err(why.clone());
        }
        let connected = connect(&self.url).await;
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        match connected {
            Ok(connected) => {
                gate.waits.reset();
                gate.closed = None;
                drop(gate);
                if let Some(telemetry) = &self.telemetry {
                    self.trouble.succeeded(telemetry);
                }
                Ok(connected)
            }
            Err(error) => {
                let wait = gate.waits.next_wait();
                gate.closed = Some((Instant::now() + wait, error.clone()));
                drop(gate);
                if let Some(telemetry) = &self.telemetry {
                    self.trouble.failed_by_the_clock(&error, telemetry);
                }
                Err(error)
            }
        }
    }
}
