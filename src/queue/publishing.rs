//! What producers ask of a queue.

use std::sync::Arc;

use super::backend::Backend;
use super::{Foreseeing, Foresight, Once, Queue, QueueError};
use crate::model::{Message, ReceiptKey};
use crate::telemetry::of_same_request;

impl Queue {
    /// Stores `messages`, all or none. A message with [`Target::One`](crate::model::Target::One) is due at once.
    ///
    /// # Errors
    /// None of them is stored, or it is not known ([`QueueError::may_be_stored`]); the producer must keep them and may try
    /// again, with the same ids.
    pub async fn publish(&self, messages: Vec<Message>) -> Result<(), QueueError> {
        self.publish_by(messages, |backend, messages| async move { backend.publish(messages).await }).await
    }

    /// As [`publish`](Self::publish), for whoever can wait although its own producer has been told: when RabbitMQ begins to
    /// take nothing after a message went to it, the answer is waited for as long as it takes, and so it is known.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn publish_patiently(&self, messages: Vec<Message>) -> Result<(), QueueError> {
        self.publish_by(messages, |backend, messages| async move { backend.publish_patiently(messages).await }).await
    }

    /// Publishes by `publish`; what is foreseen is told to the end though the caller waits no longer.
    async fn publish_by<P>(
        &self,
        mut messages: Vec<Message>,
        publish: impl FnOnce(Arc<dyn Backend>, Vec<Message>) -> P,
    ) -> Result<(), QueueError>
    where
        P: Future<Output = Result<(), QueueError>> + Send + 'static,
    {
        let to_tell = self.adviser.foresee(&mut messages, &*self.backend);
        let publishing = publish(Arc::clone(&self.backend), messages);
        if to_tell.is_empty() {
            return publishing.await;
        }
        let telling = of_same_request(async move {
            publishing.await?;
            to_tell.stored();
            Ok(())
        });
        tokio::spawn(telling).await.unwrap_or(Err(QueueError::Closed))
    }

    /// Stores `message`, unless one was stored under `key` within the last 8 days
    /// ([`REMEMBERED_FOR`](crate::sqlite::receipts::REMEMBERED_FOR)). `Known` means that one is stored durably, as `Stored` does.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and then `key` is not remembered either; [`QueueError::RemembersNothing`] where that
    /// cannot be had.
    pub async fn publish_once(&self, mut message: Message, key: ReceiptKey) -> Result<Once, QueueError> {
        let to_tell = self.adviser.foresee(std::slice::from_mut(&mut message), &*self.backend);
        let once = self.backend.publish_once(message, key).await?;
        if once == Once::Stored {
            to_tell.stored();
        }
        Ok(once)
    }

    /// Asks `foresight` about every fresh event that is published by this or a clone of it, until what is returned is dropped. What it
    /// foresees waits from the start, as if a worker had taken it and put it off.
    #[must_use = "dropped, nobody is asked any more"]
    pub fn foresee_by(&self, foresight: Arc<dyn Foresight>) -> Foreseeing {
        self.adviser.ask(foresight)
    }
}
