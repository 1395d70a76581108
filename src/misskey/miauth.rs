//! MiAuth: a person lets a program act for him. He opens an address on his server and says yes; the program then fetches the
//! token, once.

use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::account::{Account, Packed};
use super::client::{Misskey, read};
use super::error::MisskeyError;
use crate::model::Secret;

/// What a person has granted.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The token, which holds until its person takes it back on Misskey.
    pub token: Secret,
    /// Whose it is. A MiAuth answer does not tell whether he moderates.
    pub account: Account,
}

#[derive(Deserialize)]
struct Checked {
    ok: bool,
    token: Option<String>,
    user: Option<Packed>,
}

impl Misskey {
    /// Where a person says yes to a program named `name` that wants `permissions`; `session` is a UUID nobody has used.
    pub fn miauth_address(&self, session: &str, name: &str, permissions: &[&str]) -> Url {
        let mut url = self.address(&format!("miauth/{session}"));
        url.query_pairs_mut().append_pair("name", name).append_pair("permission", &permissions.join(","));
        url
    }

    /// What was granted in `session`: none when the person has not said yes yet, or it was fetched before.
    ///
    /// # Errors
    /// As every call.
    pub async fn miauth_check(&self, session: &str) -> Result<Option<Granted>, MisskeyError> {
        let endpoint = format!("miauth/{session}/check");
        let answer = self.call(&endpoint, None, json!({})).await?;
        // Its words name no session: who has it can fetch the token.
        let Checked { ok, token, user } = read("miauth/../check", &answer)?;
        if !ok {
            return Ok(None);
        }
        let (Some(token), Some(user)) = (token, user) else {
            return Err(MisskeyError::Unreadable { what: "MiAuth says yes without a token or its person".to_owned() });
        };
        Ok(Some(Granted { token: Secret::new(&token), account: user.account()? }))
    }
}
