//! Who operates hikyaku: a name, by which it is told who did something, what they may do, and the tokens that they come with.

use std::fmt;

use super::{IdError, TokenHash, WebhookId};

/// Named tokens that there may be: each request with a token is compared with all of them.
pub const TOKENS_MAX: usize = 100;
/// The name of whoever has `server.admin_token`, which has no other.
pub const ADMIN: &str = "admin";

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look at everything, and change nothing.
    Read,
    /// Everything.
    Full,
}

impl Access {
    /// Each of them with the name that the settings have for it.
    pub const ALL: [(&'static str, Self); 2] = [("read", Self::Read), ("full", Self::Full)];
}

/// The name of an operator: 1 to 128 letters, digits, `-`, `_` and `.`, as it stands in log lines and records.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorName(WebhookId);

impl OperatorName {
    /// Makes one of `text`.
    ///
    /// # Errors
    /// When it is empty, too long, or has another character.
    pub fn new(text: &str) -> Result<Self, IdError> {
        WebhookId::new(text).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// Somebody who operates hikyaku.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Who.
    pub name: OperatorName,
    /// What they may do.
    pub access: Access,
}

/// The tokens that operators come with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<(Operator, TokenHash)>);

impl Tokens {
    /// The token of the admin, if there is one, and those of others.
    pub fn new(admin: Option<TokenHash>, others: impl IntoIterator<Item = (Operator, TokenHash)>) -> Self {
        // A name of ours is one.
        let admin = admin.and_then(|hash| {
            let name = OperatorName::new(ADMIN).ok()?;
            Some((Operator { name, access: Access::Full }, hash))
        });
        Self(admin.into_iter().chain(others).collect())
    }

    /// Whether nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token `given` is. The time that takes tells nothing but how long `given` is, and how many tokens there are.
    pub fn who(&self, given: &str) -> Option<&Operator> {
        let given = TokenHash::of(given);
        // To the end, wherever it is found.
        self.0.iter().fold(None, |found, (operator, hash)| if hash.equals(&given) { Some(operator) } else { found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(name: &str, access: Access) -> Operator {
        Operator { name: OperatorName::new(name).expect("a name"), access }
    }

    #[test]
    fn each_token_is_its_operators_and_any_other_nobodys() {
        let tokens = Tokens::new(
            Some(TokenHash::of("a")),
            [
                (operator("board", Access::Read), TokenHash::of("b")),
                (operator("carol", Access::Full), TokenHash::of("c")),
            ],
        );
        assert_eq!(tokens.who("a"), Some(&operator(ADMIN, Access::Full)));
        assert_eq!(tokens.who("b"), Some(&operator("board", Access::Read)));
        assert_eq!(tokens.who("c"), Some(&operator("carol", Access::Full)));
        for other in ["", "d", "ab", "admin"] {
            assert_eq!(tokens.who(other), None, "{other:?}");
        }
        assert!(Tokens::new(None, []).is_empty() && Tokens::default().who("").is_none());
    }

    #[test]
    fn a_name_breaks_no_line() {
        assert!(OperatorName::new("on-call.2_b").is_ok());
        for text in ["", "a b", "a\nb", "ä", &"x".repeat(129)] {
            assert!(OperatorName::new(text).is_err(), "{text:?}");
        }
    }
}
