//! Queues of a command's own in RabbitMQ: what `--queue amqp://...` of `demo` and `bench` means.
//!
//! They have a prefix made at random, so that a command never meets a queue that someone uses, and are deleted at its end,
//! also when it was interrupted. A command that is killed leaves them behind. The prefix begins with `hikyaku.`, which a
//! user whose permissions are those that hikyaku needs (`^hikyaku\.`) may declare and delete.

use anyhow::Context;

use super::commands::not_a_queue;
use super::service::broker_options;
use crate::cli::CliError;
use crate::config::{QueueUrl, Settings};
use crate::queue::{BrokerOptions, Queue};

/// Queues that are made to be thrown away.
pub(super) struct OwnQueues {
    options: BrokerOptions,
}

impl OwnQueues {
    /// Queues for `command` where its `--queue` says; nothing without it.
    ///
    /// # Errors
    /// When that is no URL of RabbitMQ.
    pub(super) fn of(command: &str, queue: Option<&str>) -> Result<Option<Self>, CliError> {
        let Some(url) = queue else { return Ok(None) };
        match QueueUrl::parse(url).map_err(|what| not_a_queue(url, &what))? {
            QueueUrl::RabbitMq(broker) => {
                let id = uuid::Uuid::new_v4().simple().to_string();
                let mut settings = Settings::default();
                settings.queue.prefix = format!("hikyaku.{command}-{}.", &id[..8]);
                Ok(Some(Self { options: broker_options(&settings, &broker) }))
            }
            QueueUrl::Sqlite(_) => Err(CliError::Usage(format!(
                "--queue is for RabbitMQ, amqp://...; without it `{command}` has a file of its own"
            ))),
        }
    }

    /// What their names begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.options.prefix
    }

    /// What to tell about them.
    pub(super) fn words(&self) -> String {
        format!("the queues used here begin with {}, and are deleted at the end", self.prefix())
    }

    /// Has `settings` use them.
    pub(super) fn put_into(&self, settings: &mut Settings) {
        settings.queue.url = QueueUrl::RabbitMq(self.options.url.clone());
        settings.queue.prefix.clone_from(&self.options.prefix);
        settings.queue.single_host = true;
    }

    /// Deletes them; nobody may be using them any more.
    ///
    /// # Errors
    /// When RabbitMQ does not do it; some of them may be left.
    pub(super) async fn remove(&self) -> anyhow::Result<()> {
        let what = || format!("the queues and exchanges that begin with {} cannot be deleted", self.prefix());
        Queue::remove_rabbitmq(&self.options).await.with_context(what)
    }
}
