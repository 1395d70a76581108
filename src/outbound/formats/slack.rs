//! A message for Slack's incoming webhooks, and for Mattermost, Rocket.Chat and others that take the same:
//!
//! ```json
//! {"text":"<https://..|Carol> (@carol@mastodon.example) replied to you\n> ..\n<https://..|Open the note>",
//!  "unfurl_links":false,"unfurl_media":false}
//! ```
//!
//! Slack's control sequences, links and `<!channel>` among them, begin with `<`: of strangers' texts `&`, `<` and `>` are
//! written as entities, as Slack asks for. Mattermost pings at a bare `@channel` or `@name` too and reads `[text](link)`, so
//! an invisible U+200B stands after an `@` and before such a bracket. Each line of a stranger's text is a quote, so that it
//! cannot pass for a line of ours. Signs such as `*` can make it bold, and no more. Nothing that is linked is shown.
//!
//! A text behind a warning is left out: Slack has no cover for it. Slack cuts a message at 40,000 characters; ours have less
//! than 10,000, and seldom more than the 4,000 that it advises.

use serde::Serialize;

use super::fit::{Fitted, url_at};
use super::story::{Passage, Person, Word, tell};
use crate::model::Event;
use crate::outbound::pieces::Pieces;

/// Units of what was said.
const PASSAGE_MAX: usize = 3000;
/// Units of what it is about.
const QUOTED_MAX: usize = 500;
/// Units of a name or another short text.
const NAME_MAX: usize = 400;
/// What makes an `@` and a link in brackets mean nothing.
const BREAK: &str = "\u{200b}";

#[derive(Serialize)]
struct Message {
    text: String,
    unfurl_links: bool,
    unfurl_media: bool,
}

/// The message about `event`.
pub(super) fn body(event: &Event) -> Pieces {
    let story = tell(event);
    let mut lines = vec![sentence(&story.headline)];
    lines.extend(story.passage.as_ref().map(|passage| told(passage, PASSAGE_MAX)));
    if let Some((label, passage)) = &story.quoted {
        lines.push(format!("{label}:\n{}", told(passage, QUOTED_MAX)));
    }
    lines.extend(story.facts.iter().map(|(label, word)| format!("{label}: {}", sentence([word]))));
    lines.extend(story.link.as_ref().map(|link| format!("<{}|{}>", link.url, link.label)));
    super::message(&Message { text: lines.join("\n"), unfurl_links: false, unfurl_media: false })
}

fn sentence<'a>(words: impl IntoIterator<Item = &'a Word>) -> String {
    let text = words.into_iter().map(|word| match word {
        Word::Ours(text) => text.to_string(),
        Word::Theirs(text) => name(text),
        Word::Somebody(person) => somebody(person),
    });
    text.collect()
}

fn somebody(person: &Person) -> String {
    let shown = name(&person.name);
    let shown = person.url.as_ref().map_or_else(|| shown.clone(), |url| format!("<{url}|{shown}>"));
    match &person.handle {
        Some(handle) => format!("{shown} ({})", name(handle)),
        None => shown,
    }
}

/// A text on one line that is no link.
fn name(text: &str) -> String {
    let mut fitted = Fitted::new(NAME_MAX);
    let mut before = ' ';
    for c in text.chars() {
        // Without what makes it a link.
        let has_room = (before != ':' || c != '/' || fitted.put_whole(BREAK)) && put(&mut fitted, before, c);
        if !has_room {
            break;
        }
        before = c;
    }
    fitted.finish()
}

fn told(passage: &Passage, max: usize) -> String {
    match passage {
        Passage::Open(text) => quoted(text, max),
        Passage::Covered { warning, text } if text.is_empty() => quoted(&format!("⚠️ {warning}"), max),
        Passage::Covered { warning, .. } => {
            format!("{}\n(the text is behind this warning, and not shown here)", quoted(&format!("⚠️ {warning}"), max))
        }
        Passage::Withheld(what) => format!("({what}: its text is not shown here)"),
    }
}

/// A text of several lines, each a quote, whose URLs can be followed.
fn quoted(text: &str, max: usize) -> String {
    let mut fitted = Fitted::new(max);
    let mut has_room = fitted.put_whole("> ");
    let mut rest = text;
    let mut before = '\n';
    while has_room && let Some(c) = rest.chars().next() {
        let url = if before.is_alphanumeric() { None } else { url_at(rest) };
        let length = url.map_or(c.len_utf8(), str::len);
        has_room = match (url, c) {
            (Some(url), _) => fitted.put_whole(&url.replace('&', "&amp;")),
            (None, '\n') => fitted.put_whole("\n> "),
            (None, c) => put(&mut fitted, before, c),
        };
        before = c;
        rest = &rest[length..];
    }
    fitted.finish()
}

/// Adds one character after `before`, so that it means itself.
fn put(fitted: &mut Fitted, before: char, c: char) -> bool {
    match c {
        '&' => fitted.put_whole("&amp;"),
        '<' => fitted.put_whole("&lt;"),
        '>' => fitted.put_whole("&gt;"),
        '@' => fitted.put_whole("@\u{200b}"),
        '(' if before == ']' => fitted.put_whole("\u{200b}("),
        c => fitted.put("", c),
    }
}
