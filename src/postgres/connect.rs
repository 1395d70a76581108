//! One connection: made within a limit, set up, and driven by a task that ends with it.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};

use super::session::Statements;
use super::{PostgresError, PostgresUrl, STATEMENT_WAIT_MAX, tls};

/// How long a connection may take to be made, greeting included.
pub(super) const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a transaction may stand still before PostgreSQL undoes it: so that what a lost process locked is free again.
const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(30);

/// Who is told of a notification: its channel.
pub(super) type Heard = Box<dyn Fn(&str) + Send>;

/// Connects to `url`.
pub(super) async fn connect(url: &PostgresUrl) -> Result<Statements, PostgresError> {
    connect_hearing(url, Box::new(|_| {})).await
}

/// The same; `heard` is told of each notification.
pub(super) async fn connect_hearing(url: &PostgresUrl, heard: Heard) -> Result<Statements, PostgresError> {
    let place = url.to_string();
    let made = tokio::time::timeout(CONNECT_WAIT_MAX, open(url, &place, heard)).await;
    let (client, socket) = made.unwrap_or_else(|_| {
        let why = format!("no connection was made within {} s", CONNECT_WAIT_MAX.as_secs());
        Err(PostgresError::Away { place: place.clone(), why })
    })?;
    let mut statements = Statements::new(client, &place, socket);
    statements.batch(&setup(url)).await?;
    Ok(statements)
}

async fn open(url: &PostgresUrl, place: &str, heard: Heard) -> Result<(Client, JoinSet<()>), PostgresError> {
    let failed = |error: tokio_postgres::Error| {
        if url.tls().is_some() && error.to_string().contains("TLS") {
            tls::refused(place, &error)
        } else {
            PostgresError::new(place, &error)
        }
    };
    match url.tls() {
        Some(options) => {
            let connector = tls::Connector::new(options, place)?;
            let (client, connection) = url.config().connect(connector).await.map_err(failed)?;
            Ok((client, driven(connection, heard)))
        }
        None => {
            let (client, connection) = url.config().connect(NoTls).await.map_err(failed)?;
            Ok((client, driven(connection, heard)))
        }
    }
}

/// What every connection has. Set after connecting, so that a pooler in between need not know it.
fn setup(url: &PostgresUrl) -> String {
    format!(
        "SET search_path TO \"{}\"; SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
         SET client_min_messages = warning",
        url.schema(),
        STATEMENT_WAIT_MAX.as_millis(),
        IDLE_IN_TRANSACTION_MAX.as_millis(),
    )
}

/// The task that reads and writes the socket, until it ends or the set is dropped.
fn driven<S, T>(mut connection: Connection<S, T>, heard: Heard) -> JoinSet<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut socket = JoinSet::new();
    socket.spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message {
                heard(notification.channel());
            }
        }
    });
    socket
}
