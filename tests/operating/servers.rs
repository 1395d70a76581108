//! The servers that these tests share.

use tokio::sync::OnceCell;

use crate::support::broker::Broker;

static BROKER: OnceCell<Broker> = OnceCell::const_new();

/// A RabbitMQ to which nothing is done but what any user may do.
pub(crate) async fn broker() -> &'static Broker {
    BROKER.get_or_init(Broker::start).await
}
