//! What a token may do. Misskey has no endpoint that tells, so each probe makes a call that the permission decides and that
//! changes nothing (docs/decisions/0019).
//!
//! `Ok` means: this token may. A token that may not is refused by Misskey with its own code: `PERMISSION_DENIED` (an app's
//! token without the permission), `ROLE_PERMISSION_DENIED` (not a moderator), `ACCESS_DENIED` (for a login's own token only).

use serde::de::IgnoredAny;
use serde_json::json;

use super::client::Misskey;
use super::error::MisskeyError;
use crate::model::Secret;

/// An id in the form that Misskey asks for, of no webhook: as a time it is before there was Misskey, in every kind of id.
const NOBODYS_WEBHOOK: &str = "0000000000hikyaku";
/// Misskey's answer to who may change webhooks and names one that is not there.
const NO_SUCH_WEBHOOK: &str = "NO_SUCH_WEBHOOK";

impl Misskey {
    /// Whether `token` may change its person's webhooks (`write:account`).
    ///
    /// # Errors
    /// Refused when it may not.
    pub async fn may_write(&self, token: &Secret) -> Result<(), MisskeyError> {
        let endpoint = "i/webhooks/update";
        match self.call(endpoint, Some(token), json!({ "webhookId": NOBODYS_WEBHOOK })).await {
            Err(error) if error.code() == Some(NO_SUCH_WEBHOOK) => Ok(()),
            Err(error) => Err(error),
            // Whoever says so has not looked, so this is no leave.
            Ok(_) => Err(MisskeyError::Unreadable {
                what: format!("{endpoint} says that it changed a webhook that is not there"),
            }),
        }
    }

    /// Whether `token` may read its person's webhooks with their secrets (`read:account`).
    ///
    /// # Errors
    /// Refused when it may not.
    pub async fn may_read(&self, token: &Secret) -> Result<(), MisskeyError> {
        self.ask::<Vec<IgnoredAny>>("i/webhooks/list", Some(token), json!({})).await.map(drop)
    }

    /// Whether `token` may manage system webhooks: a moderator's, and a login's own, since Misskey lets no app do it.
    ///
    /// # Errors
    /// Refused when it may not.
    pub async fn may_manage_system_webhooks(&self, token: &Secret) -> Result<(), MisskeyError> {
        self.ask::<Vec<IgnoredAny>>("admin/system-webhook/list", Some(token), json!({})).await.map(drop)
    }
}
