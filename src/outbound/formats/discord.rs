//! A message for Discord's webhooks (its "Execute Webhook"): who did what in `content`, and the rest in an embed.
//!
//! ```json
//! {"content":"Carol (@carol@mastodon.example) replied to you","allowed_mentions":{"parse":[]},
//!  "embeds":[{"author":{"name":"..","url":"..","icon_url":".."},"title":"Open the note","url":"..","description":"..",
//!   "fields":[{"name":"In reply to","value":".."}],"image":{"url":".."},"footer":{"text":".."},"timestamp":"..","color":1}]}
//! ```
//!
//! Nobody is pinged (`allowed_mentions`), and every sign of a stranger's text that is a mark of Discord's stands escaped:
//! what it says is what is seen, a `[text](link)` too, which would hide where it leads. URLs stay as they are. Name and
//! picture of the message stay those that the webhook has at Discord: a name from outside can pass for a member's, and
//! Discord refuses some (with `clyde` or `discord` in them).
//!
//! Discord answers 400 to what is over its limits, and that would be final. It counts code points (discord-api-docs issue
//! 1315); [`super::fit`] counts UTF-16 units, which are never fewer. An embed's texts may have 6,000 together; the limits
//! here, of which each is at most Discord's own, do not add up to that. It also refuses URLs whose host has no dot.

use serde::Serialize;
use url::{Host, Url};

use super::fit::{Fitted, url_at};
use super::story::{Passage, Person, Story, Word, tell};
use crate::model::Event;
use crate::outbound::pieces::Pieces;

/// Units of `content`; Discord allows 2,000.
const CONTENT_MAX: usize = 1500;
/// Units of an author's name; Discord allows 256.
const AUTHOR_MAX: usize = 256;
/// Units of the description; Discord allows 4,096.
const DESCRIPTION_MAX: usize = 3600;
/// Units of what is quoted; Discord allows 1,024.
const QUOTED_MAX: usize = 800;
/// Units of any other field; Discord allows 1,024.
const FACT_MAX: usize = 250;
/// Bytes of a URL; Discord allows 2,048.
const URL_BYTES_MAX: usize = 2000;
/// Misskey's green.
const COLOUR: u32 = 0x0086_b300;
/// For what moderators should look at.
const COLOUR_OF_ALARM: u32 = 0x00ec_4137;

#[derive(Serialize)]
struct Message<'a> {
    content: String,
    allowed_mentions: Mentions,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    embeds: Vec<Embed<'a>>,
}

#[derive(Serialize)]
struct Mentions {
    parse: [&'static str; 0],
}

#[derive(Serialize)]
struct Embed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<Author>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Footer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    color: u32,
}

#[derive(Serialize)]
struct Author {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon_url: Option<String>,
}

#[derive(Serialize)]
struct Field {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
struct Image {
    url: String,
}

#[derive(Serialize)]
struct Footer<'a> {
    text: &'a str,
}

/// The message about `event`.
pub(super) fn body(event: &Event) -> Pieces {
    let story = tell(event);
    let embed = embed(&story, event);
    super::message(&Message {
        content: sentence(&story.headline, CONTENT_MAX),
        allowed_mentions: Mentions { parse: [] },
        embeds: embed.into_iter().collect(),
    })
}

/// The embed, unless there is nothing to show in one.
fn embed<'a>(story: &'a Story, event: &Event) -> Option<Embed<'a>> {
    let link = story.link.as_ref().and_then(|link| Some((link.label, well_formed(&link.url)?)));
    let (title, url) = link.unzip();
    let quoted = story.quoted.as_ref().and_then(|(name, passage)| {
        let value = told(passage, QUOTED_MAX)?;
        Some(Field { name, value })
    });
    let facts = story.facts.iter().map(|(name, word)| Field { name, value: sentence([word], FACT_MAX) });
    let embed = Embed {
        author: story.person.as_ref().map(author),
        title,
        url,
        description: story.passage.as_ref().and_then(|passage| told(passage, DESCRIPTION_MAX)),
        fields: quoted.into_iter().chain(facts).collect(),
        image: story.image.as_deref().and_then(well_formed).map(|url| Image { url }),
        footer: story.host.as_deref().map(|text| Footer { text }),
        timestamp: Some(event.created_at.to_rfc3339()).filter(|text| text.ends_with('Z')),
        color: if story.is_alarm { COLOUR_OF_ALARM } else { COLOUR },
    };
    let shows_something = embed.author.is_some() || embed.title.is_some() || embed.description.is_some();
    shows_something.then_some(embed)
}

/// An author's name is shown as it is, without marks.
fn author(person: &Person) -> Author {
    let mut name = Fitted::new(AUTHOR_MAX);
    let text = shown_name(person);
    let _has_room = text.chars().all(|c| name.put("", c));
    Author {
        name: name.finish(),
        url: person.url.as_deref().and_then(well_formed),
        icon_url: person.avatar.as_deref().and_then(well_formed),
    }
}

fn shown_name(person: &Person) -> String {
    match &person.handle {
        Some(handle) => format!("{} ({handle})", person.name),
        None => person.name.clone(),
    }
}

/// Words one after another, on one line.
fn sentence<'a>(words: impl IntoIterator<Item = &'a Word>, max: usize) -> String {
    let mut fitted = Fitted::new(max);
    for word in words {
        let has_room = match word {
            Word::Ours(text) => text.chars().all(|c| fitted.put("", c)),
            Word::Theirs(text) => text.chars().all(|c| fitted.put(escape_of_name(c), c)),
            Word::Somebody(person) => shown_name(person).chars().all(|c| fitted.put(escape_of_name(c), c)),
        };
        if !has_room {
            break;
        }
    }
    fitted.finish()
}

/// A passage of at most `max` units; nothing when it is empty.
fn told(passage: &Passage, max: usize) -> Option<String> {
    let told = match passage {
        Passage::Open(text) => marked(text, max),
        Passage::Covered { warning, text } => {
            let warning = format!("⚠️ {}", marked(warning, max / 2));
            // Spaces, so that a pipe at the end of the text is not taken for a part of the cover.
            let cover = "\n||  ||";
            let room = max.saturating_sub(super::fit::units(&warning) + cover.len());
            match marked(text, room.max(1)) {
                text if text.is_empty() => warning,
                text => format!("{warning}\n|| {text} ||"),
            }
        }
        Passage::Withheld(what) => format!("*({what}: its text is not shown here)*"),
    };
    Some(told).filter(|text| !text.is_empty())
}

/// A text of several lines, whose signs mean nothing but themselves, and whose URLs can be followed.
fn marked(text: &str, max: usize) -> String {
    let mut fitted = Fitted::new(max);
    let mut rest = text;
    let mut before = '\n';
    while let Some(c) = rest.chars().next() {
        let url = if before.is_alphanumeric() { None } else { url_at(rest) };
        let (length, has_room) = match url {
            Some(url) => (url.len(), fitted.put_whole(url)),
            None => (c.len_utf8(), fitted.put(escape(c, before), c)),
        };
        if !has_room {
            break;
        }
        before = c;
        rest = &rest[length..];
    }
    fitted.finish()
}

/// What stands before `c` so that it is no mark, after `before`.
fn escape(c: char, before: char) -> &'static str {
    let is_mark = matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']' | '#');
    let begins_a_list = before == '\n' && matches!(c, '-' | '+');
    if is_mark || begins_a_list { "\\" } else { "" }
}

/// As [`escape`] for a name, which is not to be a link either: in `content`, Discord would show what it leads to.
fn escape_of_name(c: char) -> &'static str {
    if matches!(c, ':' | '/' | '-' | '+') { "\\" } else { escape(c, ' ') }
}

/// The URL as Discord takes it; nothing when it would refuse it.
fn well_formed(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let Some(Host::Domain(host)) = url.host() else { return None };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let has_top = host.rsplit_once('.').is_some_and(|(rest, top)| !rest.is_empty() && !top.is_empty());
    let is_taken = matches!(url.scheme(), "http" | "https") && host.bytes().all(is_plain) && has_top;
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    (is_taken && !has_credentials && url.as_str().len() <= URL_BYTES_MAX).then(|| url.into())
}
