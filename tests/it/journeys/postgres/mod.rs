//! The program on RabbitMQ and PostgreSQL: workers with homes of their own, as on several machines, and a server of the store
//! that is away.

mod absent;
mod frozen;
mod killed;
mod operated;
mod shared;

use std::time::Duration;

use crate::support::program::Home;

/// How long it may take until hundreds of deliveries have arrived, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(180);

/// A home whose queue is RabbitMQ at `queue` under `prefix`, and whose store is PostgreSQL at `store`.
fn home(queue: &str, prefix: &str, store: &str, settings: &str) -> Home {
    Home::new(&format!("queue.url = \"{queue}\"\nqueue.prefix = \"{prefix}\"\nstore.url = \"{store}\"\n{settings}"))
}
