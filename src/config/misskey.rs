//! `[misskey]`: the Misskey beside us.

use std::time::Duration;

use url::Url;

use super::ingest_url::IngestUrl;
use super::misskey_ingest::{self, MisskeyIngest};
use super::reader::Section;
use super::server::unless_empty;
use super::values;
use crate::model::{EventType, Secret};

/// Characters of Misskey's tokens: they have 16, 32 or 64.
const TOKEN_CHARS_MAX: usize = 256;
/// Event types that an admin may add; Misskey and its forks know about twenty.
const EXTRA_TYPES_MAX: usize = 100;

/// The Misskey beside us.
#[derive(Clone, Debug, PartialEq)]
pub struct Misskey {
    /// `url`: its origin, such as `https://misskey.example`, without path; the `server` of events (of the source
    /// `default`) that do not say theirs, as those of older servers; and it tells whose a person's token is. Empty, the
    /// default: such events go out without it, and only the admin manages webhooks.
    pub url: Option<Url>,
    /// `token`: a moderator's token on that Misskey, with which `reconcile` and the start of `serve` read what Misskey has
    /// given up sending here. Empty, the default: only `reconcile` with a token of its own can.
    pub token: Option<Secret>,
    /// `ingest_url`: the address under which Misskey reaches us, as it stands in Misskey's webhooks. Empty, the default:
    /// nobody knows it, so nothing that Misskey gave up can be told to be ours.
    pub ingest_url: Option<IngestUrl>,
    /// `reconcile_every_s`: seconds between two looks of `serve` at what Misskey gave up, 1 to 86400; 0: at the start only.
    /// Default 600: Misskey keeps the latest 100 of all its people, and two small questions cost it nothing.
    pub reconcile_every: Option<Duration>,
    /// What Misskey's webhooks to us carry, each `[[misskey.ingest]]`. Default none: then they are answered 503, and
    /// Misskey keeps what it has for some minutes.
    pub ingest: Vec<MisskeyIngest>,
    /// `extra_types`: event types that a registration by API may name beside those of Misskey and its forks, at most 100.
    /// Default none: a type that nobody sends is a slip of the pen.
    pub extra_types: Vec<EventType>,
    /// `webhook_limit`: webhooks that one person may have here, 0 (none) to 1000. Default 10: past Misskey's three, and
    /// little enough that one person's do not weigh on the others'.
    pub webhook_limit: usize,
}

impl Default for Misskey {
    fn default() -> Self {
        Self {
            url: None,
            token: None,
            ingest_url: None,
            reconcile_every: Some(Duration::from_secs(600)),
            ingest: Vec::new(),
            extra_types: Vec::new(),
            webhook_limit: 10,
        }
    }
}

impl Misskey {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let event_type = |value: &config::Value| {
            EventType::new(values::text(value)?.trim()).map_err(|error| format!("it is no event type: {error}"))
        };
        Self {
            url: section.text("url", |text| unless_empty(text, origin)).flatten(),
            token: section.text("token", |text| unless_empty(text, token)).flatten(),
            ingest_url: section.text("ingest_url", |text| unless_empty(text, IngestUrl::parse)).flatten(),
            reconcile_every: section
                .whole_seconds("reconcile_every_s", 0..=86_400)
                .map_or(default.reconcile_every, |every| Some(every).filter(|every| !every.is_zero())),
            ingest: misskey_ingest::read(section),
            extra_types: section.list("extra_types", EXTRA_TYPES_MAX, event_type).unwrap_or_default(),
            webhook_limit: section.whole("webhook_limit", 0..=1000).unwrap_or(default.webhook_limit),
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
