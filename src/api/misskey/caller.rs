//! Who calls, and what they may do.
//!
//! | caller | known by | may |
//! |---|---|---|
//! | admin | `server.admin_token`, or one of `[[server.tokens]]` with full access | everything: every user's webhooks and the system's |
//! | person | their own token of the Misskey at `misskey.url` | their own webhooks, and the system's, as far as that token reaches there |
//!
//! The token comes from a request; it is compared with the admin's in constant time, and else shown to Misskey. It is neither
//! stored nor printed. What it is worth is found out before the parameters are looked at, as Misskey does.

use super::error::ApiError;
use super::strikes::Strikes;
use crate::misskey::{Need, People, PeopleError};
use crate::model::{Access, Owner, Peer, Secret, Source, Tokens, UserId, Webhook};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Whoever has the admin's token, or another operator's of full access.
    Admin,
    /// Somebody of the Misskey beside us, whose token is worth what was asked of it.
    Person(UserId),
}

/// Knows who may call.
#[derive(Debug)]
pub(super) struct Callers {
    tokens: Tokens,
    people: Option<People>,
    strikes: Strikes,
}

impl Callers {
    pub(super) fn new(tokens: Tokens, people: Option<People>, strikes: Strikes) -> Self {
        Self { tokens, people, strikes }
    }

    /// Who comes from `peer` with `token`, after making sure that it is good for all of `needs`.
    pub(super) async fn who(&self, peer: Peer, token: Option<&str>, needs: &[Need]) -> Result<Caller, ApiError> {
        if self.tokens.is_empty() && self.people.is_none() {
            return Err(ApiError::credential_required(
                "nobody may manage webhooks here: set server.admin_token, or misskey.url, so that people can come with \
                 their own Misskey tokens, and start hikyaku again",
            ));
        }
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(ApiError::credential_required(
                "send the token as `Authorization: Bearer ...`, or as `i` in the JSON body",
            ));
        };
        match self.tokens.who(token).map(|operator| operator.access) {
            Some(Access::Full) => return Ok(Caller::Admin),
            // Not shown to Misskey: it is none of Misskey's.
            Some(Access::Read) => return Err(ApiError::only_looks()),
            None => {}
        }
        match &self.people {
            Some(people) => self.person(people, peer, &Secret::new(token), needs).await,
            None => Err(self.strikes.strike(peer).await),
        }
    }

    /// Whether `token` is an admin's.
    pub(super) fn is_admin(&self, token: &str) -> bool {
        self.tokens.who(token).is_some_and(|operator| operator.access == Access::Full)
    }

    async fn person(&self, people: &People, peer: Peer, token: &Secret, needs: &[Need]) -> Result<Caller, ApiError> {
        let mut user = None;
        for need in needs {
            match people.check(peer, token, *need).await {
                Ok(account) => user = Some(account.id),
                Err(PeopleError::WrongToken) => return Err(self.strikes.strike(peer).await),
                Err(PeopleError::Denied(refusal)) => return Err(ApiError::of_misskey(refusal)),
                Err(error @ PeopleError::Away { .. }) => return Err(ApiError::busy(&error.to_string())),
            }
        }
        user.map(Caller::Person).ok_or_else(|| ApiError::internal("nothing was asked of the token; this is a defect"))
    }
}

impl Caller {
    /// Whether a user's webhook is this caller's to see. A person's are those of the Misskey beside us, whose source has
    /// the name that nothing else has.
    pub(super) fn owns(&self, webhook: &Webhook) -> bool {
        match (self, &webhook.owner) {
            (_, Owner::System) => false,
            (Self::Admin, Owner::User(_)) => true,
            (Self::Person(person), Owner::User(user)) => user == person && webhook.source == Source::default(),
        }
    }
}
