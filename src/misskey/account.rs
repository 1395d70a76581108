//! Whose a token is: `i`.

use serde::Deserialize;
use serde_json::json;

use super::client::Misskey;
use super::error::MisskeyError;
use crate::model::{Secret, UserId};

/// A person's account on Misskey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id: the `userId` of its events.
    pub id: UserId,
    /// Its name, without `@`.
    pub username: String,
    /// Whether it moderates. What a token may do on its behalf is another question.
    pub is_moderator: bool,
    /// Whether it administers.
    pub is_admin: bool,
}

/// What `i` answers, of some hundred fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Packed {
    id: String,
    username: String,
    #[serde(default)]
    is_moderator: Option<bool>,
    #[serde(default)]
    is_admin: Option<bool>,
}

impl Packed {
    pub(super) fn account(self) -> Result<Account, MisskeyError> {
        let id = UserId::new(&self.id)
            .map_err(|error| MisskeyError::Unreadable { what: format!("an account's id is no id: {error}") })?;
        Ok(Account {
            id,
            username: self.username,
            is_moderator: self.is_moderator == Some(true),
            is_admin: self.is_admin == Some(true),
        })
    }
}

impl Misskey {
    /// Whose `token` is. Needs `read:account`.
    ///
    /// # Errors
    /// Refused with `AUTHENTICATION_FAILED` when it is nobody's.
    pub async fn whoami(&self, token: &Secret) -> Result<Account, MisskeyError> {
        self.ask::<Packed>("i", Some(token), json!({})).await?.account()
    }
}
