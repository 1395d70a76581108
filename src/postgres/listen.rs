//! LISTEN on a connection of its own: who waits for a change hears of it when it is committed.
//!
//! What is notified while the connection is down is not heard. So the listener is also told when it is lost, and after each new
//! one; whoever must not miss anything looks by itself now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::connect::connect_hearing;
use super::session::Statements;
use super::{AGAIN_FIRST, AGAIN_LONGEST, Postgres, PostgresError, PostgresUrl};
use crate::clock::Backoff;

/// How often a connection that said nothing is asked whether it is still there.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Listening, until this is dropped.
#[derive(Debug)]
pub struct Listening(JoinHandle<()>);

impl Postgres {
    /// Calls `heard` at each NOTIFY of `channel` in this database, when the connection is lost, and after each new one, since
    /// something may have been missed. `channel` is a name of ours, lower-case letters, digits and `_`.
    pub fn listen(&self, channel: &str, heard: impl Fn() + Send + Sync + 'static) -> Listening {
        let (url, channel, heard) = (self.url().clone(), channel.to_owned(), Arc::new(heard));
        Listening(tokio::spawn(async move {
            let mut waits = Backoff::new(AGAIN_FIRST, AGAIN_LONGEST);
            loop {
                // What keeps it from connecting, everyone else who needs PostgreSQL says too.
                if let Ok(mut connection) = open(&url, &channel, Arc::clone(&heard)).await {
                    waits.reset();
                    heard();
                    stay(&mut connection).await;
                    heard();
                }
                tokio::time::sleep(waits.next_wait()).await;
            }
        }))
    }
}

async fn open(
    url: &PostgresUrl,
    channel: &str,
    heard: Arc<impl Fn() + Send + Sync + 'static>,
) -> Result<Statements, PostgresError> {
    let mut connection = connect_hearing(url, Box::new(move |_| heard())).await?;
    connection.batch(&format!("LISTEN \"{channel}\"")).await?;
    Ok(connection)
}

/// Waits until the connection is lost.
async fn stay(connection: &mut Statements) {
    while tokio::time::timeout(LOOK_EVERY, connection.closed()).await.is_err() {
        if connection.batch("SELECT 1").await.is_err() {
            return;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}
