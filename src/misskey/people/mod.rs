//! People's tokens: a token of Misskey's is worth here what it is worth there.
//!
//! ```text
//! People::check(token, Need::Write)
//!   `i`                  whose it is                 remembered for a minute
//!   `i/webhooks/update`  whether it may write        remembered for a minute, asked only when needed
//! ```
//!
//! What Misskey has said is remembered under the token's SHA-256; the token itself is dropped with the request that brought
//! it, and is neither stored nor logged. So a token that is taken back on Misskey works here for at most a minute more. A no is
//! remembered for less, and nothing once its person is forgotten ([`People::forgetting`]). That Misskey is away for a moment only. Checks of one token at the same time wait for one answer.
//!
//! Everything is bounded: tokens that are remembered ([`TOKENS_MAX`]), calls to Misskey under way, of one peer and of all
//! ([`turns`]), the wait for one of those. Slowing down whoever guesses tokens is left to the caller, who knows where a request came from.

mod fact;
mod memory;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::account::Account;
use super::client::Misskey;
use super::error::{MisskeyError, Refusal};
use crate::clock::SharedClock;
use crate::model::{Peer, Secret, Source};
use crate::record::Forgotten;
use fact::Fact;
use memory::Memory;
use turns::Turns;

/// Tokens that are remembered, right and wrong ones.
pub(super) const TOKENS_MAX: usize = 10_000;
/// How long a check waits for its turn to call.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// Characters of a token: Misskey's own have 16, 32 or 64.
const TOKEN_CHARS_MAX: usize = 256;

/// What a token has to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To tell who its person is (Misskey asks for `read:account`).
    Identity,
    /// To change that person's webhooks (`write:account`).
    Write,
    /// To read that person's webhooks with their secrets (`read:account`).
    ReadSecrets,
    /// To manage system webhooks: a moderator's token, from a login and not an app's, as Misskey wants it.
    SystemWebhooks,
}

/// Why a token is not good for what is asked. None of them holds the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    /// Misskey does not know it: a 401.
    #[error("Misskey does not know this token")]
    WrongToken,
    /// Misskey knows it and refuses (suspended, no permission, not a moderator): answer as Misskey did.
    #[error("Misskey refuses this token: {0}")]
    Denied(Refusal),
    /// Misskey cannot be asked, so nobody knows: a 503, and the same token may be right a moment later.
    #[error("the token cannot be checked: {why}")]
    Away {
        /// What is wrong with Misskey, or with the way to it.
        why: String,
    },
}

/// Checks people's tokens. Clones share what is remembered.
#[derive(Clone)]
pub struct People(Arc<Inner>);

struct Inner {
    misskey: Misskey,
    clock: SharedClock,
    memory: Memory<Token>,
    turns: Turns,
}

/// What is known of one token.
#[derive(Default)]
struct Token {
    account: Fact<Account>,
    write: Fact<()>,
    read: Fact<()>,
    system: Fact<()>,
}

impl std::fmt::Debug for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("People")
    }
}

impl People {
    /// Checks tokens of `misskey`; answers grow old by `clock`.
    pub fn new(misskey: Misskey, clock: SharedClock) -> Self {
        Self(Arc::new(Inner { misskey, clock, memory: Memory::new(TOKENS_MAX), turns: Turns::new() }))
    }

    /// Forgets what is known of the tokens of whoever is forgotten from now on, as soon as `forgotten` has them.
    #[must_use]
    pub fn forgetting(self, forgotten: &Forgotten) -> Self {
        let (mut changes, people) = (forgotten.changes(), Arc::downgrade(&self.0));
        // It ends with `forgotten`.
        tokio::spawn(async move {
            while changes.next().await {
                let Some(people) = people.upgrade() else { return };
                // People's tokens are those of the Misskey beside us, whose source has the name that nothing else has.
                let is_forgotten = |account: &Account| changes.names(&Source::default(), &account.id);
                people.memory.retain(|token| !token.account.may_be(is_forgotten));
            }
        });
        self
    }

    /// Whose `token` is, which `peer` came with, after making sure that it is good for `need`. `Ok` promises that Misskey has said both within the
    /// last minute.
    ///
    /// # Errors
    /// [`PeopleError`]; only [`PeopleError::WrongToken`] means that the token is wrong.
    pub async fn check(&self, peer: Peer, token: &Secret, need: Need) -> Result<Account, PeopleError> {
        if !is_tokenlike(token.expose()) {
            return Err(PeopleError::WrongToken);
        }
        let Inner { misskey, clock, memory, .. } = &*self.0;
        let known = memory.of(Sha256::digest(token.expose()).into());
        let account = known.account.get(clock, self.in_turn(peer, misskey.whoami(token))).await?;
        match need {
            Need::Identity => {}
            Need::Write => known.write.get(clock, self.in_turn(peer, misskey.may_write(token))).await?,
            Need::ReadSecrets => known.read.get(clock, self.in_turn(peer, misskey.may_read(token))).await?,
            Need::SystemWebhooks => {
                known.system.get(clock, self.in_turn(peer, misskey.may_manage_system_webhooks(token))).await?;
            }
        }
        Ok(account)
    }

    /// Makes `call` when it is the turn of `peer`.
    async fn in_turn<T>(
        &self,
        peer: Peer,
        call: impl Future<Output = Result<T, MisskeyError>>,
    ) -> Result<T, PeopleError> {
        let Ok(Some(_turn)) = tokio::time::timeout(TURN_WAIT_MAX, self.0.turns.turn(peer)).await else {
            return Err(PeopleError::Away { why: "too many tokens are being checked at once".to_owned() });
        };
        call.await.map_err(PeopleError::from)
    }
}

/// Whether it can be a token at all: what cannot be is not carried to Misskey.
fn is_tokenlike(text: &str) -> bool {
    (1..=TOKEN_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl From<MisskeyError> for PeopleError {
    fn from(error: MisskeyError) -> Self {
        match error {
            // The second is what Misskey says to an empty `i`.
            MisskeyError::Refused(refusal)
                if matches!(refusal.code.as_str(), "AUTHENTICATION_FAILED" | "CREDENTIAL_REQUIRED") =>
            {
                Self::WrongToken
            }
            MisskeyError::Refused(refusal) => Self::Denied(refusal),
            error @ (MisskeyError::Away { .. } | MisskeyError::Unreadable { .. }) => {
                Self::Away { why: error.to_string() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_wrong_when_misskey_knows_none_such_or_sees_none_and_denied_for_any_other_refusal() {
        let refused = |code: &str| {
            let (message, id) = (String::new(), String::new());
            PeopleError::from(MisskeyError::Refused(Refusal {
                status: 401,
                code: code.to_owned(),
                message,
                id,
                kind: None,
            }))
        };
        for code in ["AUTHENTICATION_FAILED", "CREDENTIAL_REQUIRED"] {
            assert_eq!(refused(code), PeopleError::WrongToken, "{code}");
        }
        assert!(matches!(refused("YOUR_ACCOUNT_SUSPENDED"), PeopleError::Denied(_)));
    }

    #[test]
    fn what_cannot_be_a_token_is_told_without_asking() {
        for token in ["", "with space", "with\nbreak", "日本", &"x".repeat(TOKEN_CHARS_MAX + 1)] {
            assert!(!is_tokenlike(token), "{token:?}");
        }
        for token in ["0123456789abcdef", &"x".repeat(TOKEN_CHARS_MAX)] {
            assert!(is_tokenlike(token), "{token:?}");
        }
    }
}
