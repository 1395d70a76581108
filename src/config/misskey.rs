//! `[misskey]`: the Misskey beside us.

use url::Url;

use super::ingest_url::IngestUrl;
use super::misskey_ingest::{self, MisskeyIngest};
use super::reader::Section;
use super::server::unless_empty;
use crate::model::Secret;

/// Characters of Misskey's tokens: they have 16, 32 or 64.
const TOKEN_CHARS_MAX: usize = 256;

/// The Misskey beside us.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Misskey {
    /// `url`: its origin, such as `https://misskey.example`, without path; the `server` of events (of the source
    /// `default`) that do not say theirs, as those of older servers. Empty, the default: such events go out without it.
    pub url: Option<Url>,
    /// `token`: a moderator's token on that Misskey, with which `reconcile` and the start of `serve` read what Misskey has
    /// given up sending here. Empty, the default: only `reconcile` with a token of its own can.
    pub token: Option<Secret>,
    /// `ingest_url`: the address under which Misskey reaches us, as it stands in Misskey's webhooks. Empty, the default:
    /// nobody knows it, so nothing that Misskey gave up can be told to be ours.
    pub ingest_url: Option<IngestUrl>,
    /// What Misskey's webhooks to us carry, each `[[misskey.ingest]]`. Default none: then they are answered 503, and
    /// Misskey keeps what it has for some minutes.
    pub ingest: Vec<MisskeyIngest>,
}

impl Misskey {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            url: section.text("url", |text| unless_empty(text, origin)).flatten(),
            token: section.text("token", |text| unless_empty(text, token)).flatten(),
            ingest_url: section.text("ingest_url", |text| unless_empty(text, IngestUrl::parse)).flatten(),
            ingest: misskey_ingest::read(section),
        }
    }
}

fn token(text: &str) -> Result<Secret, String> {
    let chars = text.chars().count();
    if chars > TOKEN_CHARS_MAX {
        return Err(format!(
            "it has {chars} characters, and {TOKEN_CHARS_MAX} are allowed; Misskey's tokens have 16 or 32"
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it has a character that is no visible ASCII, and Misskey's tokens have none such".to_owned());
    }
    Ok(Secret::new(text))
}

fn origin(text: &str) -> Result<Url, String> {
    const EXPECTED: &str = "it must be an http or https origin such as https://misskey.example";
    let url = Url::parse(text).map_err(|error| format!("{EXPECTED} ({error})"))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{EXPECTED}, and its scheme is {:?}", url.scheme()));
    }
    if !is_anonymous {
        return Err(format!("{EXPECTED}, without a user name or password"));
    }
    if !is_bare {
        return Err(format!("{EXPECTED}, with nothing after the host and port"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_origin_is_taken() {
        for good in ["https://misskey.example", "http://127.0.0.1:3000/", "https://[::1]:3000"] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for (bad, words) in [
            ("misskey.example", "must be an http"),
            ("ftp://misskey.example", "its scheme is \"ftp\""),
            ("https://u:hunter2@misskey.example", "without a user name"),
            ("https://misskey.example/api", "nothing after"),
            ("https://misskey.example/?x", "nothing after"),
            ("https://misskey.example/#x", "nothing after"),
        ] {
            let message = origin(bad).expect_err(bad);
            assert!(message.contains(words) && !message.contains("hunter2"), "{bad}: {message}");
        }
    }
}
