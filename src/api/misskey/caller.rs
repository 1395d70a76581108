//! Who calls, and what they may do.
//!
//! | caller | known by | may |
//! |---|---|---|
//! | admin | `server.admin_token` | everything: every user's webhooks and the system's |
//! | person | not yet: their own Misskey token | their own webhooks, as far as the token reaches |
//!
//! The token comes from a request and is compared in constant time; it is neither kept nor printed. What a token is worth
//! is found out once for a call, before its parameters are looked at, as Misskey does.

use subtle::ConstantTimeEq;

use super::error::ApiError;
use super::strikes::Strikes;
use crate::model::{Owner, Secret, Source, UserId, Webhook};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Whoever has the admin token.
    Admin,
    /// Somebody of the Misskey beside us.
    #[cfg_attr(not(test), expect(dead_code, reason = "people's own tokens come with the client of Misskey"))]
    Person(Person),
}

/// Somebody of the Misskey beside us, and what their token is worth there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// Whose token it is.
    pub(super) user: UserId,
    /// It may change webhooks there.
    pub(super) may_write: bool,
    /// It may see webhooks, and so their secrets, there.
    pub(super) may_read: bool,
    /// It may manage system webhooks there.
    pub(super) may_manage_system: bool,
}

/// What a call is about to do with users' webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Look at them.
    Read,
    /// Make, change, delete or try them.
    Write,
}

/// Knows who may call.
#[derive(Debug)]
pub(super) struct Callers {
    admin_token: Option<Secret>,
    strikes: Strikes,
}

impl Callers {
    pub(super) fn new(admin_token: Option<Secret>, strikes: Strikes) -> Self {
        Self { admin_token, strikes }
    }

    /// Who comes with `token`.
    pub(super) async fn who(&self, token: Option<&str>) -> Result<Caller, ApiError> {
        let Some(admin_token) = &self.admin_token else {
            return Err(ApiError::credential_required(
                "nobody may manage webhooks here: server.admin_token is not set; set it and start hikyaku again",
            ));
        };
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(ApiError::credential_required(
                "send the token as `Authorization: Bearer ...`, or as `i` in the JSON body",
            ));
        };
        if bool::from(token.as_bytes().ct_eq(admin_token.expose().as_bytes())) {
            return Ok(Caller::Admin);
        }
        Err(self.strikes.strike().await)
    }
}

impl Caller {
    /// Whether this caller may do that with users' webhooks, their own or others'.
    pub(super) fn may(&self, deed: Deed) -> Result<(), ApiError> {
        match (self, deed) {
            (Self::Admin, _) => Ok(()),
            (Self::Person(person), Deed::Read) if person.may_read => Ok(()),
            (Self::Person(person), Deed::Write) if person.may_write => Ok(()),
            (Self::Person(_), Deed::Read) => Err(ApiError::permission_denied("this needs read:account")),
            (Self::Person(_), Deed::Write) => Err(ApiError::permission_denied("this needs write:account")),
        }
    }

    /// Whether this caller may manage system webhooks.
    pub(super) fn may_manage_system(&self) -> Result<(), ApiError> {
        match self {
            Self::Admin => Ok(()),
            Self::Person(person) if person.may_manage_system => Ok(()),
            Self::Person(_) => Err(ApiError::access_denied(
                "system webhooks are the moderators': come with a moderator's own token, no app's, or the admin token",
            )),
        }
    }

    /// Whether a user's webhook is this caller's to see. A person's are those of the Misskey beside us, whose source has
    /// the name that nothing else has.
    pub(super) fn owns(&self, webhook: &Webhook) -> bool {
        match (self, &webhook.owner) {
            (_, Owner::System) => false,
            (Self::Admin, Owner::User(_)) => true,
            (Self::Person(person), Owner::User(user)) => *user == person.user && webhook.source == Source::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(may_read: bool, may_write: bool, may_manage_system: bool) -> Caller {
        Caller::Person(Person { user: UserId::new("u").expect("an id"), may_write, may_read, may_manage_system })
    }

    #[test]
    fn a_persons_token_is_worth_here_what_it_is_worth_in_misskey() {
        assert!(person(true, false, false).may(Deed::Read).is_ok());
        assert!(person(true, false, true).may(Deed::Write).is_err());
        assert!(person(false, true, false).may(Deed::Write).is_ok());
        assert!(person(false, true, true).may(Deed::Read).is_err());
        assert!(person(true, true, false).may_manage_system().is_err());
        assert!(person(false, false, true).may_manage_system().is_ok());
    }
}
