//! `[[misskey.ingest]]`: what the webhooks that point to us from a Misskey carry, and whose events they may bring.

use crate::decide::{Credential, IngestScope};
use crate::model::{Secret, Source, check_source};

use super::reader::Section;
use super::webhooks::bare_words;

/// Characters of a secret that is sent: 16 of base64 are 96 bits, and Misskey's own limit.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=1024;
/// Characters of a master: each user knows something computed from it, so it must be out of reach of guessing at home.
const MASTER_CHARS: std::ops::RangeInclusive<usize> = 32..=1024;

/// What the secrets in docs/misskey.md have in common, and no secret that somebody made.
const OF_THE_PAGE: &str = "openssl-rand-hex";

/// One `[[misskey.ingest]]`. Several of one source count side by side, as during a rotation.
#[derive(Clone, Debug, PartialEq)]
pub struct MisskeyIngest {
    /// `source`: which Misskey, 1 to 128 bytes; the end of the path /ingest/misskey/{source}, and what webhooks name.
    /// Default `default`, whose path is /ingest/misskey.
    pub source: Source,
    /// `secret` and `scope`, or `master`.
    ///
    /// `secret`: what the webhook at Misskey has as its secret, 16 to 1024 visible ASCII characters (Misskey sends
    /// nothing else in a header). `scope`: whose events it may bring: `any`, `system` or `user:<id>`; no default, since
    /// who knows a secret of `any` can speak for everyone. `master`, 32 to 1024 visible ASCII characters: a key from
    /// which each user's secret is computed (`hikyaku misskey secret`), so it has no scope.
    pub credential: Credential,
}

/// Reads every `[[misskey.ingest]]`; one with a mistake is left out, which nobody sees, because a mistake ends the start.
pub(super) fn read(misskey: &mut Section<'_, '_>) -> Vec<MisskeyIngest> {
    misskey.sections("ingest", |section, _| read_one(section)).into_iter().flatten().collect()
}

fn read_one(section: &mut Section<'_, '_>) -> Option<MisskeyIngest> {
    let source = section.text("source", |text| check_source(text).map_err(|error| bare_words(&error)));
    let source = if section.has("source") { source } else { Some(Source::default()) };
    let secret = section.text("secret", |text| header_text(text, SECRET_CHARS));
    let master = section.text("master", |text| header_text(text, MASTER_CHARS));
    let scope = section.text("scope", |text| IngestScope::parse(text).map_err(|error| error.to_string()));
    match (section.has("secret"), section.has("master")) {
        (true, true) => {
            section.problem("master", "there is a secret beside it; each needs a section of its own".into())
        }
        (false, false) => section.problem("secret", "it is missing, and so is `master`; set one of them".into()),
        (true, false) if !section.has("scope") => section.problem(
            "scope",
            "it is missing; \"any\" lets the secret bring everything, \"system\" system events, \"user:<id>\" that \
             user's"
                .into(),
        ),
        (false, true) if section.has("scope") => section.problem(
            "scope",
            "a master has none: of it each user has a secret for himself; give system events a `secret` in a section \
             of its own"
                .into(),
        ),
        _ => {}
    }
    let credential = match (secret, scope, master) {
        (Some(secret), Some(scope), None) => Credential::Secret { secret, scope },
        (None, None, Some(master)) => Credential::Master(master),
        _ => return None,
    };
    Some(MisskeyIngest { source: source?, credential })
}

/// A text that a header carries as it is. The words never quote it.
fn header_text(text: &str, allowed: std::ops::RangeInclusive<usize>) -> Result<Secret, String> {
    const GOOD: &str = "`openssl rand -hex 32` makes a good one";
    let chars = text.chars().count();
    if !allowed.contains(&chars) {
        let (least, most) = (allowed.start(), allowed.end());
        return Err(format!("it has {chars} characters, and {least} to {most} are allowed; {GOOD}"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("it has a character that is no visible ASCII, and Misskey cannot send such; {GOOD}"));
    }
    if text.contains(OF_THE_PAGE) {
        return Err(format!("it is the one of the documentation, which everyone knows; {GOOD}"));
    }
    Ok(Secret::new(text))
}
