//! What every backend of the queue does, behind the facade of `mod.rs`, which has the contract. What only some can do has an
//! answer here for the others.

use futures_util::future::BoxFuture;

use super::rejected::{Visit, Walked};
use super::{Consumer, Depths, Lane, Once, Prefetch, QueueError, Unsettled};
use crate::model::{Message, ReceiptKey};

/// What a backend does; the facade says what it means.
pub(super) trait Backend: Send + Sync + std::fmt::Debug {
    fn publish(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>>;
    fn publish_patiently(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.publish(messages)
    }
    fn remembers(&self) -> bool {
        false
    }
    fn publish_once(&self, _message: Message, _key: ReceiptKey) -> BoxFuture<'_, Result<Once, QueueError>> {
        Box::pin(std::future::ready(Err(QueueError::RemembersNothing)))
    }
    fn knows(&self, _key: ReceiptKey) -> BoxFuture<'_, Result<bool, QueueError>> {
        Box::pin(std::future::ready(Err(QueueError::RemembersNothing)))
    }
    fn consume(&self, lane: Lane, prefetch: Prefetch) -> BoxFuture<'_, Result<Consumer, QueueError>>;
    fn unsettled(&self) -> Unsettled;
    fn depths(&self) -> BoxFuture<'_, Result<Depths, QueueError>>;
    fn walk_rejected<'a>(&'a self, visit: &'a mut Visit<'_>) -> BoxFuture<'a, Result<Walked, QueueError>>;
    fn purge_rejected(&self) -> BoxFuture<'_, Result<u64, QueueError>>;
    fn health(&self) -> Vec<String>;
    /// A file takes what there is room for, and says so in words when there is none.
    fn takes(&self) -> bool {
        true
    }
    fn until_it_takes(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
    fn stop_consuming(&self);
    fn close(&self) -> BoxFuture<'_, ()>;
}
