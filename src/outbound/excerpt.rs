//! The beginning of an answer's body, for whoever wants to know why it failed, or what was said: as one line, without what we
//! sent as secret.
//!
//! A receiver may send back what it got, or say which address it does not know. What is kept of its answer lies in dead letters and
//! in the history, and is shown to admins, so what only the receiver should know is taken out of it before it is cut: the
//! webhook's secret, and what stands behind the host in its URL, also where a JSON or HTML text writes it in its own way.

use std::borrow::Cow;

use url::{Position, Url, form_urlencoded};

use super::client::one_line;
use crate::model::Webhook;

/// Bytes of an answer that are kept.
pub const RESPONSE_KEPT_BYTES_MAX: usize = 2048;
/// Bytes of it that are words of a failure.
const WORDS_BYTES_MAX: usize = 200;
/// Shorter texts are not taken out: they are no secrets worth the name, and stand in every answer by chance.
const HIDDEN_BYTES_MIN: usize = 6;
/// As short as that, a segment of a path is a word of the address, such as `webhooks`, and no token.
const SEGMENT_BYTES_MIN: usize = 16;

/// What has come of an answer so far.
#[derive(Debug)]
pub(super) struct Excerpt<'a> {
    webhook: &'a Webhook,
    /// Made when there is something to look through.
    hidden: Vec<String>,
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl<'a> Excerpt<'a> {
    /// Nothing yet, of an answer to what was sent to `webhook`.
    pub(super) fn of(webhook: &'a Webhook) -> Self {
        Self { webhook, hidden: Vec::new(), bytes: Vec::new(), bytes_max: 0 }
    }

    /// Adds what comes next, as far as there is room.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        if self.bytes_max == 0 {
            self.hidden = hidden_of(self.webhook);
            let longest = self.hidden.first().map_or(0, String::len);
            // So that none of them is cut, and then not found.
            self.bytes_max = RESPONSE_KEPT_BYTES_MAX + longest;
        }
        let room = self.bytes_max.saturating_sub(self.bytes.len()).min(chunk.len());
        self.bytes.extend_from_slice(&chunk[..room]);
    }

    /// All of it, at most [`RESPONSE_KEPT_BYTES_MAX`] bytes.
    pub(super) fn text(self) -> String {
        if self.bytes.is_empty() {
            return String::new();
        }
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        for hidden in &self.hidden {
            if text.contains(hidden.as_str()) {
                text = text.replace(hidden.as_str(), "***");
            }
        }
        // What ends where there was no more room may be the beginning of something hidden.
        let is_full = self.bytes.len() == self.bytes_max;
        let certain =
            if is_full { text.len().saturating_sub(self.bytes_max - RESPONSE_KEPT_BYTES_MAX) } else { text.len() };
        text.truncate(text.floor_char_boundary(certain.min(RESPONSE_KEPT_BYTES_MAX)));
        one_line(text.as_bytes())
    }
}

/// As much of an answer's `text` as goes into the words of a failure.
pub(super) fn words_of(text: &str) -> String {
    text[..text.floor_char_boundary(WORDS_BYTES_MAX)].trim_end().to_owned()
}

/// What is taken out, the longest first, so that no part of it goes before the whole.
fn hidden_of(webhook: &Webhook) -> Vec<String> {
    let url = &webhook.url;
    let mut hidden = Vec::new();
    let mut hide = |text: &str, bytes_min: usize| {
        if text.len() < bytes_min {
            return;
        }
        let json = serde_json::Value::from(text).to_string();
        let json = &json[1..json.len() - 1];
        for form in [text.to_owned(), json.to_owned(), json.replace('/', "\\/"), in_html(text)] {
            if !hidden.contains(&form) {
                hidden.push(form);
            }
        }
    };
    let secret = webhook.secret.expose();
    hide(secret, HIDDEN_BYTES_MIN);
    hide(&form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>(), HIDDEN_BYTES_MIN);
    for text in [behind_the_host(url), url.path(), url.query().unwrap_or_default()] {
        hide(text, HIDDEN_BYTES_MIN);
        hide(&decoded(text), HIDDEN_BYTES_MIN);
    }
    for (_, value) in url.query_pairs() {
        hide(&value, HIDDEN_BYTES_MIN);
    }
    for segment in url.path_segments().into_iter().flatten() {
        hide(segment, SEGMENT_BYTES_MIN);
        hide(&decoded(segment), SEGMENT_BYTES_MIN);
    }
    hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
    hidden
}

/// Without percent-encoding.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    // As a form's value, but for the plus sign, which stands for itself in a path.
    let escaped = format!("v={}", text.replace('+', "%2B").replace('&', "%26"));
    let value = form_urlencoded::parse(escaped.as_bytes()).next().map(|(_, value)| value.into_owned());
    value.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// As a page of HTML shows it.
fn in_html(text: &str) -> String {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.to_owned();
    }
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn behind_the_host(url: &Url) -> &str {
    &url[Position::BeforePath..Position::AfterQuery]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Options, Origin, Owner, Secret, Source, Status, Timestamp, WebhookId};

    fn excerpt(body: &str) -> String {
        of("https://a.example/hooks/t0ken?key=hunter2", "correct horse", body)
    }

    fn of(url: &str, secret: &str, body: &str) -> String {
        let webhook = Webhook {
            id: WebhookId::new("w").expect("an id"),
            owner: Owner::System,
            source: Source::default(),
            name: String::new(),
            url: url.parse().expect("a URL"),
            secret: Secret::new(secret),
            on: Vec::new(),
            status: Status::Active,
            options: Options::default(),
            origin: Origin::Store,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        let mut excerpt = Excerpt::of(&webhook);
        for chunk in body.as_bytes().chunks(7) {
            excerpt.add(chunk);
        }
        excerpt.text()
    }

    #[test]
    fn of_an_answer_the_beginning_is_kept_without_what_only_the_receiver_should_know() {
        assert_eq!(excerpt("no such user"), "no such user");
        assert_eq!(excerpt("Cannot POST /hooks/t0ken?key=hunter2"), "Cannot POST ***");
        assert_eq!(excerpt("Cannot POST /hooks/t0ken"), "Cannot POST ***");
        assert_eq!(excerpt("{\"secret\":\"correct horse\",\"key=hunter2\"}"), "{\"secret\":\"***\",\"***\"}");
    }

    #[test]
    fn what_is_hidden_is_found_though_the_rest_is_cut_amid_it() {
        let body = format!("{}correct horse and more", "x".repeat(RESPONSE_KEPT_BYTES_MAX - 5));
        assert_eq!(excerpt(&body), format!("{}*** a", "x".repeat(RESPONSE_KEPT_BYTES_MAX - 5)));
        assert_eq!(excerpt(&"日".repeat(5000)).len(), RESPONSE_KEPT_BYTES_MAX / 3 * 3);
        let again_and_again = excerpt(&"correct horse, ".repeat(1000));
        assert!(again_and_again.starts_with("***, ***, ") && !again_and_again.contains('c'), "{again_and_again}");
    }

    #[test]
    fn of_a_long_answer_a_little_is_words_of_a_failure() {
        assert_eq!(words_of(&"日".repeat(500)).len(), 198);
        assert_eq!(words_of("no such user"), "no such user");
    }

    #[test]
    fn what_is_hidden_is_found_in_the_ways_in_which_others_write_it() {
        let url = "https://a.example/api/webhooks/0123456789abcdef%2B/send?key=hunt%26er2";
        for (body, kept) in [
            ("no hook 0123456789abcdef+ here", "no hook *** here"),
            ("the key hunt&er2 is wrong", "the key *** is wrong"),
            ("the key hunt&amp;er2 is wrong", "the key *** is wrong"),
            (r#"{"secret":"p@ss \"word\" of\/mine"}"#, r#"{"secret":"***"}"#),
            ("secret=p%40ss+%22word%22+of%2Fmine", "secret=***"),
            ("all webhooks are known", "all webhooks are known"),
        ] {
            assert_eq!(of(url, "p@ss \"word\" of/mine", body), kept);
        }
    }
}
