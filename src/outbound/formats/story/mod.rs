//! What happened, in words: an event as a chat can tell it, before it is written in a chat's marks.
//!
//! Texts of strangers are kept apart from ours ([`Word`]), so that each chat can take the meaning from their signs. A text
//! that its author has put behind a warning, or has written for a few only, is not told openly ([`Passage`]).

mod notes;
mod own;
mod people;
mod reports;

use std::borrow::Cow;

use url::Url;

pub(super) use self::people::Person;
use super::fit::{encoded, is_unreserved, line};
use super::look::Object;
use crate::model::{Event, WEBHOOK_DEACTIVATED, is_note_of};

/// Units of a short text of a stranger's.
const SHORT_MAX: usize = 100;
/// Units of a URL of ours; one with more is left out.
const URL_UNITS_MAX: usize = 512;

/// A part of a sentence.
#[derive(Clone, Debug)]
pub(super) enum Word {
    /// Our own.
    Ours(Cow<'static, str>),
    /// A stranger's, on one line.
    Theirs(String),
    /// Somebody.
    Somebody(Person),
}

impl Word {
    fn ours(text: &'static str) -> Self {
        Self::Ours(Cow::Borrowed(text))
    }

    fn theirs(text: &str) -> Option<Self> {
        line(text, SHORT_MAX).map(Self::Theirs)
    }
}

/// A text of a stranger's, and how openly it may be told.
#[derive(Clone, Debug)]
pub(super) enum Passage {
    /// To everyone.
    Open(String),
    /// To whoever has read the warning and asks for it.
    Covered {
        /// The warning, on one line.
        warning: String,
        /// What is behind it; may be empty.
        text: String,
    },
    /// Not at all, for this reason.
    Withheld(&'static str),
}

/// A link to something on the server.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// What it opens.
    pub(super) label: &'static str,
    /// Where it leads.
    pub(super) url: String,
}

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// In one sentence.
    pub(super) headline: Vec<Word>,
    /// Who did it, or whom it is about.
    pub(super) person: Option<Person>,
    /// Where to see it.
    pub(super) link: Option<Link>,
    /// What was said.
    pub(super) passage: Option<Passage>,
    /// What that is about, with what it is.
    pub(super) quoted: Option<(&'static str, Passage)>,
    /// Whatever else there is to say, at most 4.
    pub(super) facts: Vec<(&'static str, Word)>,
    /// A picture that may be shown.
    pub(super) image: Option<String>,
    /// The server's host.
    pub(super) host: Option<String>,
    /// Whether moderators should look at it.
    pub(super) is_alarm: bool,
}

/// The server that an event comes from, if it can be linked to.
#[derive(Clone, Debug, Default)]
struct Server {
    origin: Option<String>,
}

impl Server {
    fn of(event: &Event) -> Self {
        let url = event.server.as_deref().and_then(|server| Url::parse(server).ok());
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        // Host names of the URL standard may have signs that would end a link in a chat.
        let is_of_origin = |byte: u8| is_unreserved(byte) || matches!(byte, b':' | b'/' | b'[' | b']' | b'%');
        Self { origin: url.map(|url| encoded(&url.origin().ascii_serialization(), is_of_origin)) }
    }

    fn host(&self) -> Option<String> {
        let (_, host) = self.origin.as_deref()?.split_once("://")?;
        line(host, SHORT_MAX)
    }

    /// The page at `path`, whose texts of strangers are encoded.
    fn page(&self, path: &str) -> Option<String> {
        self.origin.as_ref().map(|origin| format!("{origin}{path}")).filter(|url| url.len() <= URL_UNITS_MAX)
    }

    fn link(&self, label: &'static str, path: &str) -> Option<Link> {
        self.page(path).map(|url| Link { label, url })
    }
}

/// `text` as a part of a path.
fn segment(text: &str) -> String {
    encoded(text, is_unreserved)
}

/// What a body can have that a story is made of.
const BODY: &[&str] = &[
    "note",
    "user",
    "reaction",
    "emoji",
    "report",
    "updatedReport",
    "contact",
    "remainingTime",
    "webhook",
    "reason",
    "failingSince",
];

/// Tells `event`.
pub(super) fn tell(event: &Event) -> Story {
    let server = Server::of(event);
    let known = known(event, &server).unwrap_or_else(|| Story {
        headline: [Some(Word::ours("New event: ")), Word::theirs(event.kind.as_str())].into_iter().flatten().collect(),
        link: server.link("Open the server", "/"),
        ..Story::default()
    });
    Story { host: server.host(), ..known }
}

/// The story of an event of a type that is told in words of its own; nothing when its body is not of that type.
fn known(event: &Event, server: &Server) -> Option<Story> {
    let json: &[u8] = event.body.bytes();
    let body = || Object::read(json, BODY);
    match event.kind.as_str() {
        "note" => notes::written(&body(), server, " wrote a note"),
        "edited" => notes::edited(&body(), server),
        kind if is_note_of(kind) => notes::written(&body(), server, " wrote a note"),
        "reply" => notes::reply(&body(), server),
        "renote" => notes::renote(&body(), server),
        "mention" => notes::mention(&body(), server),
        "reaction" => notes::reaction(&body(), server),
        "follow" => people::follow(&body(), server, "You now follow "),
        "unfollow" => people::follow(&body(), server, "You no longer follow "),
        "followed" => people::followed(&body(), server),
        "userCreated" => people::created(json, server),
        "abuseReport" => reports::made(&reports::whole(json), server),
        "abuseReportResolved" => reports::resolved(&reports::whole(json), server),
        "reportCreated" => reports::made(&reports::within(&body(), "report")?, server),
        "reportResolved" => reports::resolved(&reports::within(&body(), "updatedReport")?, server),
        "reportAutoResolved" => reports::resolved_by_a_rule(&reports::within(&body(), "report")?, server),
        "contactCreated" => reports::contact(&body(), server, "New message by the contact form"),
        "contactUpdated" => reports::contact(&body(), server, "A message by the contact form was changed"),
        "contactResolved" => reports::contact(&body(), server, "A message by the contact form was dealt with"),
        "contactDeleted" => reports::contact(&body(), server, "A message by the contact form was deleted"),
        "inactiveModeratorsWarning" => Some(reports::warning(&body(), server)),
        "inactiveModeratorsInvitationOnlyChanged" => Some(reports::changed(
            server,
            "No moderator has been active for a week: signing up needs an invitation now",
        )),
        "inactiveModeratorsDisablePublicNoteChanged" => Some(reports::changed(
            server,
            "No moderator has been active for a while: public notes are switched off now",
        )),
        WEBHOOK_DEACTIVATED => own::deactivated(&body(), server),
        _ => None,
    }
}
