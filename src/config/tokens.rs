//! `[[server.tokens]]`: tokens of operators beside the admin's, each with a name and what it is good for.

use crate::model::{ADMIN, Access, Operator, OperatorName, TOKENS_MAX, TokenHash};

use super::reader::Section;

/// Characters of a token: 16 of base64 are 96 bits, out of reach of guessing; 1,024 fit into any server's header.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 16..=1024;
/// Different characters that a token has at least: of 16 hexadecimal digits made by chance, one in 10^8 has fewer.
const DIFFERENT_CHARS_MIN: usize = 4;

/// One `[[server.tokens]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedToken {
    /// `name`: by which it is told who did something, 1 to 128 letters, digits, `-`, `_` and `.`; each another, and not
    /// `admin`. `access`: `read`, to look at everything and change nothing, or `full`. Neither has a default.
    pub operator: Operator,
    /// `token`: as `server.admin_token`, and each another.
    pub token: TokenHash,
}

/// Reads every `[[server.tokens]]`; one with a mistake is left out, which nobody sees, because a mistake ends the start.
pub(super) fn read(server: &mut Section<'_, '_>, admin: Option<&TokenHash>) -> Vec<NamedToken> {
    let mut known: Vec<NamedToken> = Vec::new();
    server.sections("tokens", |section, index| {
        section.require(&["name", "token", "access"]);
        let name = section.text("name", |text| OperatorName::new(text).map_err(|error| error.to_string()));
        let token = section.text("token", token);
        let access = section.word("access", &Access::ALL);
        if let Some(name) = &name {
            if name.as_str() == ADMIN {
                section.problem("name", format!("`{ADMIN}` is whoever has server.admin_token; name it otherwise"));
            } else if known.iter().any(|other| other.operator.name == *name) {
                section.problem("name", format!("another token has the name {name} too; names must differ"));
            }
        }
        if let Some(token) = &token {
            let equal = known.iter().find(|other| other.token == *token).map(|other| other.operator.name.to_string());
            let equal = equal.or_else(|| admin.filter(|admin| *admin == token).map(|_| ADMIN.to_owned()));
            if let Some(other) = equal {
                section.problem(
                    "token",
                    format!("it is the token of {other} too; nobody could tell who comes: make another"),
                );
            }
        }
        if index == TOKENS_MAX {
            section.problem("name", format!("there are more than {TOKENS_MAX} tokens; leave some out"));
        }
        if let (Some(name), Some(token), Some(access)) = (name, token, access) {
            known.push(NamedToken { operator: Operator { name, access }, token });
        }
    });
    known
}

/// A token, or `sha256:` and its hash. The words never quote it.
pub(super) fn token(text: &str) -> Result<TokenHash, String> {
    const GOOD: &str = "`openssl rand -hex 32` makes a good one";
    if let Some(digits) = text.strip_prefix("sha256:") {
        return TokenHash::from_hex(digits).ok_or_else(|| {
            "after `sha256:` must come the token's SHA-256 in 64 hexadecimal digits, as `printf %s TOKEN | sha256sum` prints it"
                .to_owned()
        });
    }
    let chars = text.chars().count();
    if !TOKEN_CHARS.contains(&chars) {
        let (least, most) = (TOKEN_CHARS.start(), TOKEN_CHARS.end());
        return Err(format!("it has {chars} characters, and {least} to {most} are allowed; {GOOD}"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("it has a character that is no visible ASCII, and no header carries such; {GOOD}"));
    }
    let different = text.chars().collect::<std::collections::BTreeSet<_>>().len();
    if different < DIFFERENT_CHARS_MIN {
        return Err(format!("it is made of no more than {different} different characters, and soon guessed; {GOOD}"));
    }
    Ok(TokenHash::of(text))
}
