//! What can be wrong with a request to the registry, in words for whoever made it.

use crate::model::WebhookId;
use crate::store::StoreError;

/// Why the registry did not do what was asked. The registrations are as they were.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store does not answer, or cannot write. Ours to mend, not the caller's.
    #[error("the webhooks' store did not do what was asked of it")]
    Store(#[from] StoreError),
    /// Something in the store was sealed with keys that are not here.
    #[error(
        "webhooks in the store are sealed with {} that the settings do not have ({}). Set `store.encryption_key` to it, or, if \
         you have changed it, add the old one to `store.previous_encryption_keys` until hikyaku has started once",
        if names.len() == 1 { "a key" } else { "keys" },
        names.join(", ")
    )]
    KeysMissing {
        /// Their names, at least one.
        names: Vec<String>,
    },
    /// Webhooks of the settings file have the ids of webhooks in the store.
    #[error(
        "declared in the settings file and also kept in the store: {}. Give {} another id in the settings file, or \
         delete what the store has with `hikyaku webhooks delete`",
        listed(ids),
        if ids.len() == 1 { "it" } else { "each" }
    )]
    DeclaredAndStored {
        /// The ids, at least one.
        ids: Vec<WebhookId>,
    },
    /// The settings file declares an id twice.
    #[error("the settings file declares the webhook {id} twice; give one of them another id")]
    DeclaredTwice {
        /// The id.
        id: WebhookId,
    },
    /// There is no such webhook.
    #[error("there is no webhook {id}; `hikyaku webhooks list` shows those that there are")]
    NotFound {
        /// The id asked for.
        id: WebhookId,
    },
    /// Another webhook has the id.
    #[error("there is a webhook {id} already; choose another id, or leave it out to have one made")]
    Taken {
        /// The id asked for.
        id: WebhookId,
    },
    /// A deleted webhook had the id, and deliveries to it may still be about.
    #[error(
        "a webhook {id} was deleted less than {days} days ago, and what was meant for it must not reach another; choose \
         another id, or leave it out to have one made"
    )]
    Deleted {
        /// The id asked for.
        id: WebhookId,
        /// How long an id stays taken.
        days: u64,
    },
    /// The owner has as many as allowed.
    #[error("a person may have {max} webhooks here (misskey.webhook_limit)")]
    Full {
        /// How many are allowed.
        max: usize,
    },
    /// The webhook is kept in the settings file.
    #[error(
        "the webhook {id} is declared in the settings file: change it there and start hikyaku again. All that can be done \
         here is to activate it after hikyaku has deactivated it"
    )]
    Declared {
        /// The id.
        id: WebhookId,
    },
    /// The operating system gave no random bytes.
    #[error("no signing secret or key can be made: the operating system gives no random bytes")]
    NoRandomness,
    /// What the store has of the webhook cannot be read.
    #[error(
        "what the store has of the webhook {id} cannot be read: {why}. Set that field anew with `hikyaku webhooks \
         update`, or delete the webhook"
    )]
    Damaged {
        /// The id.
        id: WebhookId,
        /// What cannot be read.
        why: String,
    },
}

fn listed(ids: &[WebhookId]) -> String {
    ids.iter().map(WebhookId::as_str).collect::<Vec<_>>().join(", ")
}
