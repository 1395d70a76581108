//! A lane's task: from rows to leases, as many at a time as the prefetch allows.
//!
//! It reads when there is both something to read and room for it, and otherwise waits to be told: by the writer (something
//! came), by a settled lease (room), by the clock (something is due), or by the bell (another process wrote).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::batch::{self, Batch};
use super::health::Health;
use super::lane::LaneState;
use super::rows::{self, Found, Room};
use crate::clock::SharedClock;
use crate::model::Timestamp;
use crate::queue::Consumer;
use crate::queue::lease::{Holder, Lease, Ticket};
use crate::sqlite::{SqliteError, SqliteThread};
use crate::telemetry::SharedTelemetry;

/// How often an idle lane asks whether the file was written by a process whose bell did not ring.
const SAFETY_NET: Duration = Duration::from_secs(5);
/// How long a lane waits after a failed read.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Starts the lane's task.
pub(super) fn feed(feeder: Feeder) -> Consumer {
    let (sender, leases) = mpsc::channel(feeder.lane.prefetch.messages.max(1));
    tokio::spawn(feeder.run(sender));
    Consumer { leases }
}

/// What a lane's task works with.
pub(super) struct Feeder {
    pub(super) lane: Arc<LaneState>,
    pub(super) reader: SqliteThread,
    pub(super) health: Arc<Health>,
    pub(super) clock: SharedClock,
    pub(super) telemetry: SharedTelemetry,
}

impl Feeder {
    async fn run(self, sender: mpsc::Sender<Lease>) {
        let mut seen_version = None;
        while !self.lane.closed() && !sender.is_closed() {
            let Some(room) = self.lane.room() else {
                tokio::select! {
                    () = self.lane.room.notified() => {}
                    () = sender.closed() => {}
                }
                continue;
            };
            let batch = self.read(room).await;
            self.health.read(self.lane.lane, batch.as_ref().err().map(|error| error as _), &self.telemetry);
            match batch {
                Ok(batch) if batch.found.is_empty() => {
                    tokio::select! {
                        () = self.something_may_have_come(batch.next_due, &mut seen_version) => {}
                        () = sender.closed() => {}
                    }
                }
                Ok(batch) => self.hand_out(batch.found, &sender).await,
                Err(_told_by_health) => tokio::time::sleep(READ_AGAIN).await,
            }
        }
    }

    async fn read(&self, room: Room) -> Result<Batch, SqliteError> {
        let lane = Arc::clone(&self.lane);
        let now = self.clock.now();
        self.reader.call(move |connection| batch::read(connection, &lane, room, now)).await
    }

    async fn hand_out(&self, found: Vec<Found>, sender: &mpsc::Sender<Lease>) {
        for row in found {
            let ticket = Ticket { number: row.id, bytes: row.bytes };
            match row.message {
                Ok((message, death)) => {
                    let lease = Lease::new(message, death, Arc::clone(&self.lane) as Arc<dyn Holder>, ticket);
                    let _dropped_and_so_given_back = sender.send(lease).await;
                }
                Err(error) => {
                    self.telemetry.message_unreadable(self.lane.lane.as_str(), row.id, &error);
                    self.lane.set_aside(ticket);
                }
            }
        }
    }

    async fn something_may_have_come(&self, next_due: Option<Timestamp>, seen_version: &mut Option<i64>) {
        let due = async {
            match next_due {
                Some(due) => self.clock.sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.lane.came.notified() => {}
            () = due => {}
            () = tokio::time::sleep(SAFETY_NET) => {
                let version = self.reader.call(|connection| rows::data_version(connection)).await.ok();
                if *seen_version != version {
                    *seen_version = version;
                    self.lane.put_in(Timestamp::default());
                }
            }
        }
    }
}
