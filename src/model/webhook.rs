//! A webhook: who gets which events where, and whether it wants any now.
//!
//! Registrations come from the store, the settings file, the CLI or an API. The `check_*` functions are the one place
//! that says what a registration may hold; every way in calls them. Secrets never appear in `Debug`.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;
use url::Url;

use super::{
    ClientCertificate, Condition, DeactivationReason, Event, EventType, Format, IdError, RateLimit, Signing, Source,
    Timestamp, UserId, WebhookId, visible,
};

/// Characters a URL may have at most (Misskey's column).
pub const URL_CHARS_MAX: usize = 1024;
/// Characters a secret may have at most (Misskey's column).
pub const SECRET_CHARS_MAX: usize = 1024;
/// Characters a name may have at most (Misskey's system webhooks allow 255, users' 100).
pub const NAME_CHARS_MAX: usize = 255;
/// Waits in a retry schedule at most: more than that in 4 days would be no backing off.
pub const RETRIES_MAX: usize = 100;
/// Seconds that such a wait may have, up to 7 days.
pub const RETRY_WAIT_S: RangeInclusive<f64> = 0.01..=604_800.0;
/// Seconds after which a delivery may be given up, up to a year.
pub const MAX_AGE_S: RangeInclusive<u64> = 1..=31_536_000;
/// Milliseconds that one attempt may take.
pub const ATTEMPT_TIMEOUT_MS: RangeInclusive<u64> = 100..=600_000;

/// A registration.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Names it; travels as `hookId`.
    pub id: WebhookId,
    /// Whose events it gets.
    pub owner: Owner,
    /// The Misskey whose events it gets.
    pub source: Source,
    /// What its owner calls it.
    pub name: String,
    /// Where its events go.
    pub url: Url,
    /// Goes out in clear text as `X-Misskey-Hook-Secret`; may be empty.
    pub secret: Secret,
    /// The event types it gets.
    pub on: Vec<EventType>,
    /// Whether it wants events now.
    pub status: Status,
    /// How its deliveries differ from the settings.
    pub options: Options,
    /// Where the registration is kept.
    pub origin: Origin,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Webhook {
    /// Whether `event` is one that this webhook subscribes to, whatever its status and its filters.
    pub fn wants(&self, event: &Event) -> bool {
        self.source == event.source && self.owner.user() == event.user.as_ref() && self.on.contains(&event.kind)
    }
}

/// Whose events a webhook gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// That user's events.
    User(UserId),
    /// The server's own events.
    System,
}

impl Owner {
    /// The user, unless it is the system.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::System => None,
        }
    }
}

/// Whether a webhook wants events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It gets events.
    Active,
    /// Its owner has stopped it for a while.
    Paused,
    /// We stopped it, until its owner activates it again.
    Deactivated(Deactivation),
}

/// When and why we stopped a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deactivation {
    /// Why.
    pub reason: DeactivationReason,
    /// When.
    pub at: Timestamp,
    /// Since when no attempt had succeeded, if that is known.
    pub failing_since: Option<Timestamp>,
}

/// How a webhook's deliveries differ from the settings; `None` is "as the settings say".
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Waits between attempts.
    pub retry_schedule: Option<Vec<Duration>>,
    /// Age at which a delivery is given up.
    pub max_age: Option<Duration>,
    /// Time for one attempt.
    pub timeout: Option<Duration>,
    /// In what form its events go out.
    pub format: Format,
    /// Whether the clear-text secret goes out, where the format has a use for it.
    pub send_secret: bool,
    /// What signs each request (Standard Webhooks).
    pub signing: Signing,
    /// Who we say we are to its receiver by TLS; none: nobody in particular.
    pub client_certificate: Option<ClientCertificate>,
    /// How many requests it gets at most; none: as many as there are.
    pub rate_limit: Option<RateLimit>,
    /// What an event's content must be for this webhook to get it; empty: it gets them all.
    pub filters: Vec<Condition>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retry_schedule: None,
            max_age: None,
            timeout: None,
            format: Format::default(),
            send_secret: true,
            signing: Signing::default(),
            client_certificate: None,
            rate_limit: None,
            filters: Vec::new(),
        }
    }
}

/// Where a registration is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the store; can be changed at run time.
    Store,
    /// In the settings file; read-only at run time but for its activation.
    Settings,
}

/// A text that is never printed.
#[derive(Clone, Debug)]
pub struct Secret(secrecy::SecretString);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned().into())
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `given` is it; of texts of its length, the time that takes tells nothing.
    pub fn is(&self, given: &str) -> bool {
        self.expose().as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

/// What is wrong with a registration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The URL cannot be read.
    #[error("url: {url:?} is no URL ({why}); it must look like https://bot.example/hook")]
    UrlUnreadable {
        /// The text up to its path, cut to 100 characters: what follows may be a token.
        url: String,
        /// The parser's words.
        why: String,
    },
    /// Not http or https.
    #[error("url: the scheme is {scheme:?}, and only http and https can be delivered to")]
    UrlScheme {
        /// The scheme.
        scheme: String,
    },
    /// `user:password@` in it.
    #[error(
        "url: it has a user name or password before the '@'; put a token into the path, or let the receiver check the secret"
    )]
    UrlCredentials,
    /// Longer than allowed.
    #[error("{field}: it has {chars} characters, and {max} are allowed")]
    TooLong {
        /// The field.
        field: &'static str,
        /// The characters it has.
        chars: usize,
        /// The characters it may have.
        max: usize,
    },
    /// A control character.
    #[error("{field}: its character number {place} is a control character (U+{code:04X}), {why}")]
    Control {
        /// The field.
        field: &'static str,
        /// Where it is, from 1.
        place: usize,
        /// The character's code point.
        code: u32,
        /// Why it must not have one.
        why: &'static str,
    },
    /// Nothing of it can be seen.
    #[error("{field}: nothing of it can be seen; give it a letter or a sign, or leave it out")]
    Invisible {
        /// The field.
        field: &'static str,
    },
    /// It turns the text round that stands beside it.
    #[error("{field}: it has a character (U+{code:04X}) that turns round what is written beside it; leave that out")]
    Turning {
        /// The field.
        field: &'static str,
        /// The character's code point.
        code: u32,
    },
    /// White space at an end, by which nobody can tell two of them apart.
    #[error("{field}: it has white space at an end, which nobody sees; leave that out")]
    Padded {
        /// The field.
        field: &'static str,
    },
    /// Not one that an id may be.
    #[error("source: {0}")]
    Source(IdError),
    /// A character that Misskey cannot send in a header, nor a space at either end, which receivers never see.
    #[error(
        "secret: it has {found:?}, which no header can carry as Misskey sends it; use letters, digits and signs of ASCII"
    )]
    Unsendable {
        /// The character.
        found: char,
    },
    /// No format of ours.
    #[error("format: {given:?} is none; it is misskey, discord, slack or cloudevents")]
    Format {
        /// What was given, cut.
        given: String,
    },
    /// No secret of Standard Webhooks' `v1`.
    #[error("signing_secret: it must be `whsec_` followed by 24 to 64 bytes in base64, and {why}")]
    SigningSecret {
        /// What is wrong.
        why: String,
    },
    /// No key of Standard Webhooks' `v1a`.
    #[error(
        "signing_key: it must be `whsk_` followed by an ed25519 key in base64, 32 bytes, or 64 with the public key; and {why}"
    )]
    SigningKey {
        /// What is wrong.
        why: String,
    },
}

fn check_length(field: &'static str, text: &str, max: usize) -> Result<(), WebhookError> {
    match text.chars().count() {
        chars if chars > max => Err(WebhookError::TooLong { field, chars, max }),
        _ => Ok(()),
    }
}

fn check_no_control(field: &'static str, text: &str, why: &'static str) -> Result<(), WebhookError> {
    match text.chars().enumerate().find(|(_, c)| c.is_control()) {
        Some((index, c)) => Err(WebhookError::Control { field, place: index + 1, code: u32::from(c), why }),
        None => Ok(()),
    }
}

/// Reads a URL that events may go to.
///
/// # Errors
/// When it is over [`URL_CHARS_MAX`], unreadable, neither http nor https, or has credentials.
pub fn check_url(text: &str) -> Result<Url, WebhookError> {
    check_length("url", text, URL_CHARS_MAX)?;
    let unreadable = |why: String| WebhookError::UrlUnreadable { url: shown_part(text), why };
    let url = Url::parse(text).map_err(|error| unreadable(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(WebhookError::UrlScheme { scheme: url.scheme().to_owned() });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(WebhookError::UrlCredentials);
    }
    Ok(url)
}

/// What of a text that should be a URL can be shown: scheme and host, for tokens are in paths, queries and before an `@`.
fn shown_part(text: &str) -> String {
    let host_at = text.find("://").map_or(0, |colon| colon + 3);
    let end = text[host_at..].find(['/', '?', '#', '\\']).map_or(text.len(), |end| host_at + end);
    let (begin, host) = match text[..end].rfind('@') {
        Some(at) => (format!("{}***", &text[..host_at.min(at)]), &text[at..end]),
        None => (text[..host_at].to_owned(), &text[host_at..end]),
    };
    let rest = if end < text.len() { "/..." } else { "" };
    format!("{begin}{}{rest}", host.chars().take(100).collect::<String>())
}

/// Checks a secret: at most [`SECRET_CHARS_MAX`] characters that a header can carry as Misskey sends it; it may be empty.
///
/// Misskey writes Latin-1, a byte for each character, and never delivers with any other (Node's `ERR_INVALID_CHAR`). A
/// space at either end is no part of a header's value (RFC 9110 section 5.5): the receiver would compare with another
/// secret.
///
/// # Errors
/// When it is too long or has such a character.
pub fn check_secret(text: &str) -> Result<Secret, WebhookError> {
    check_length("secret", text, SECRET_CHARS_MAX)?;
    check_no_control("secret", text, "which cannot be sent in a header")?;
    let at_an_end = text.chars().next().into_iter().chain(text.chars().last()).find(|c| matches!(c, ' ' | '\u{a0}'));
    let no_latin_1 = text.chars().find(|c| u32::from(*c) > 0xff);
    match at_an_end.or(no_latin_1) {
        Some(found) => Err(WebhookError::Unsendable { found }),
        None => Ok(Secret::new(text)),
    }
}

/// Checks a name: at most [`NAME_CHARS_MAX`] characters, no line breaks, nothing that turns the rest round, something that can be
/// seen; it may be empty.
///
/// # Errors
/// When it is too long or has such a character.
pub fn check_name(text: &str) -> Result<String, WebhookError> {
    check_seen("name", text)?;
    check_stored_name(text)
}

/// Checks a name that was stored, perhaps before more was asked of one.
///
/// # Errors
/// When it is too long or has a control character.
pub fn check_stored_name(text: &str) -> Result<String, WebhookError> {
    check_length("name", text, NAME_CHARS_MAX)?;
    check_no_control("name", text, "which is no part of a name; leave it out")?;
    Ok(text.to_owned())
}

/// Reads the name of a source that somebody chooses: an id that can be told apart by eye. (Events say theirs as they like.)
///
/// # Errors
/// When it is no id, has white space at an end, or something that nobody sees.
pub fn check_source(text: &str) -> Result<Source, WebhookError> {
    let source = Source::new(text).map_err(WebhookError::Source)?;
    check_seen("source", text)?;
    if text.trim() != text {
        return Err(WebhookError::Padded { field: "source" });
    }
    Ok(source)
}

fn check_seen(field: &'static str, text: &str) -> Result<(), WebhookError> {
    if let Some(found) = visible::turns(text) {
        return Err(WebhookError::Turning { field, code: u32::from(found) });
    }
    if !text.is_empty() && visible::is_invisible(text) {
        return Err(WebhookError::Invisible { field });
    }
    Ok(())
}

/// Event types, each once, in their order: Misskey takes a type that is named twice, and sends its event once.
pub fn each_once(types: Vec<EventType>) -> Vec<EventType> {
    let mut seen = HashSet::new();
    types.into_iter().filter(|kind| seen.insert(kind.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_that_cannot_be_read_nothing_is_shown_that_may_be_a_token() {
        for (text, shown) in [
            ("bot.example/hook", "bot.example/..."),
            ("http//bot.example", "http/..."),
            ("https://bot example/t0ken?key=t0ken#t0ken", "https://bot example/..."),
            ("https://me:t0ken@bot.example:port/t0ken", "https://***@bot.example:port/..."),
            ("https://me:t0k@en@[::1", "https://***@[::1"),
            ("t0ken@bot.example?t0ken", "***@bot.example/..."),
            ("https://?t0ken", "https:///..."),
        ] {
            let error = check_url(text).expect_err("unreadable");
            let WebhookError::UrlUnreadable { url, .. } = &error else { panic!("{text}: {error}") };
            assert_eq!(url, shown, "{text}");
        }
    }

    #[test]
    fn urls_that_cannot_be_delivered_to_are_refused_in_words() {
        let cases = [
            ("", "no URL"),
            ("bot.example/hook", "no URL"),
            ("http://", "no URL"),
            ("ftp://bot.example/", "the scheme is \"ftp\""),
            ("data:text/plain,hi", "the scheme is \"data\""),
            ("file:///etc/passwd", "the scheme is \"file\""),
            ("https://user@bot.example/", "user name or password"),
            ("https://:pw@bot.example/", "user name or password"),
        ];
        for (url, words) in cases {
            let message = check_url(url).expect_err(url).to_string();
            assert!(message.contains(words), "{url}: {message}");
        }
        let long = format!("https://bot.example/{}", "x".repeat(1005));
        assert!(check_url(&long).expect_err("too long").to_string().contains("1025 characters, and 1024"));
        assert!(check_url("http://127.0.0.1:9/hook?x=1").is_ok());
    }

    #[test]
    fn a_secret_that_no_header_can_carry_is_refused() {
        for bad in ["a\r\nX-Evil: 1", "tab\t", "\u{85}", "\u{7f}", "合言葉", "pa€s", "😀", " a", "a ", " ", "\u{a0}a"]
        {
            let message = check_secret(bad).expect_err(bad).to_string();
            assert!(message.starts_with("secret: ") && message.contains("header"), "{bad:?}: {message}");
        }
        for good in ["", "päss", "a b", "~!@#$%^&*()_+ÿ", &"x".repeat(1024)] {
            assert!(check_secret(good).is_ok(), "{good:?}");
        }
        assert!(check_secret(&"x".repeat(1025)).is_err());
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }
}
