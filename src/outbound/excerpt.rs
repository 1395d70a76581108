//! The beginning of a failing answer's body, for whoever wants to know why: as one line, without what we sent.
//!
//! A receiver may send back what it got, or say which address it does not know. What is kept of its answer lies in dead letters and
//! is shown to admins, so what only the receiver should know is taken out of it before it is cut.

use url::{Position, Url};

use super::client::one_line;
use crate::model::Webhook;

/// Bytes of it that are kept.
const BYTES_MAX: usize = 200;
/// Shorter texts are not taken out: they are no secrets worth the name, and stand in every answer by chance.
const HIDDEN_BYTES_MIN: usize = 6;

/// What has come of an answer so far.
#[derive(Debug)]
pub(super) struct Excerpt {
    hidden: Vec<String>,
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Excerpt {
    /// Nothing yet, of an answer to what was sent to `webhook`.
    pub(super) fn of(webhook: &Webhook) -> Self {
        let url = &webhook.url;
        let texts = [webhook.secret.expose(), behind_the_host(url), url.path(), url.query().unwrap_or_default()];
        let hidden: Vec<String> =
            texts.into_iter().filter(|text| text.len() >= HIDDEN_BYTES_MIN).map(str::to_owned).collect();
        let longest = hidden.iter().map(String::len).max().unwrap_or_default();
        // So that none of them is cut, and then not found.
        Self { hidden, bytes: Vec::new(), bytes_max: BYTES_MAX + longest }
    }

    /// Adds what comes next, as far as there is room.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.bytes.len()).min(chunk.len());
        self.bytes.extend_from_slice(&chunk[..room]);
    }

    /// All of it.
    pub(super) fn words(self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        for hidden in &self.hidden {
            text = text.replace(hidden.as_str(), "***");
        }
        // What ends where there was no more room may be the beginning of something hidden.
        let is_full = self.bytes.len() == self.bytes_max;
        let certain = if is_full { text.len().saturating_sub(self.bytes_max - BYTES_MAX) } else { text.len() };
        text.truncate(text.floor_char_boundary(certain.min(BYTES_MAX)));
        one_line(text.as_bytes())
    }
}

fn behind_the_host(url: &Url) -> &str {
    &url[Position::BeforePath..Position::AfterQuery]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Options, Origin, Owner, Secret, Source, Status, Timestamp, WebhookId};

    fn excerpt(body: &str) -> String {
        let webhook = Webhook {
            id: WebhookId::new("w").expect("an id"),
            owner: Owner::System,
            source: Source::default(),
            name: String::new(),
            url: "https://a.example/hooks/t0ken?key=hunter2".parse().expect("a URL"),
            secret: Secret::new("correct horse"),
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
        excerpt.words()
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
        let body = format!("{}correct horse and more", "x".repeat(BYTES_MAX - 5));
        assert_eq!(excerpt(&body), format!("{}*** a", "x".repeat(BYTES_MAX - 5)));
        assert_eq!(excerpt(&"日".repeat(500)).len(), 198);
        let again_and_again = excerpt(&"correct horse, ".repeat(100));
        assert!(again_and_again.starts_with("***, ***, ") && !again_and_again.contains('c'), "{again_and_again}");
    }
}
