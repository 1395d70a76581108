//! Which operator a request comes from, by its bearer token, and whether they may do what it asks.

use axum::http::HeaderMap;

use super::bearer;
use crate::model::{Access, Operator, OperatorName, Tokens};

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// There are no tokens.
    #[error("server.admin_token is not set, nor is there a [[server.tokens]], so nobody is let in; set one of them")]
    Nobody,
    /// It has no token.
    #[error("send your token as `Authorization: Bearer ...`")]
    NoToken,
    /// It has none of the tokens.
    #[error("the bearer token is wrong")]
    WrongToken,
    /// It has a token that does not go so far.
    #[error(
        "the token of {0} is for looking only (access = \"read\"), and this changes something; come with one of access = \"full\""
    )]
    ReadOnly(OperatorName),
}

/// Who comes with `headers`, to look.
///
/// # Errors
/// When they are nobody of `tokens`.
pub fn admit<'a>(tokens: &'a Tokens, headers: &HeaderMap) -> Result<&'a Operator, NotAdmitted> {
    if tokens.is_empty() {
        return Err(NotAdmitted::Nobody);
    }
    let given = bearer(headers).ok_or(NotAdmitted::NoToken)?;
    tokens.who(given).ok_or(NotAdmitted::WrongToken)
}

/// Who comes with `headers`, to change something.
///
/// # Errors
/// When they are nobody of `tokens`, or may only look.
pub fn admit_to_change<'a>(tokens: &'a Tokens, headers: &HeaderMap) -> Result<&'a Operator, NotAdmitted> {
    let operator = admit(tokens, headers)?;
    match operator.access {
        Access::Full => Ok(operator),
        Access::Read => Err(NotAdmitted::ReadOnly(operator.name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::AUTHORIZATION;

    use super::*;
    use crate::model::{ADMIN, TokenHash};

    fn with(token: &str) -> HeaderMap {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a value");
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    #[test]
    fn whoever_may_only_look_may_look_and_change_nothing() {
        let board = OperatorName::new("board").expect("a name");
        let reader = Operator { name: board.clone(), access: Access::Read };
        let tokens = Tokens::new(Some(TokenHash::of("full")), [(reader.clone(), TokenHash::of("read"))]);
        assert_eq!(admit(&tokens, &with("read")), Ok(&reader));
        assert_eq!(admit_to_change(&tokens, &with("read")), Err(NotAdmitted::ReadOnly(board)));
        for admitted in [admit(&tokens, &with("full")), admit_to_change(&tokens, &with("full"))] {
            assert_eq!(admitted.map(|operator| operator.name.as_str()), Ok(ADMIN));
        }
        assert_eq!(admit(&tokens, &with("other")), Err(NotAdmitted::WrongToken));
        assert_eq!(admit(&tokens, &HeaderMap::new()), Err(NotAdmitted::NoToken));
        assert_eq!(admit(&Tokens::default(), &with("full")), Err(NotAdmitted::Nobody));
    }
}
