//! Events about notes.
//!
//! ```json
//! {"note":{"id":"..","user":{..},"text":"..","cw":null,"visibility":"public","files":[{"isSensitive":false,..}],
//!  "reply":{..},"renote":{..},"poll":{"choices":[{"text":".."}]},"channel":{"name":"..","isSensitive":false}}}
//! ```
//!
//! What is behind a `cw` stays behind it, files and polls too. A note that is not for everyone (`followers`, `specified`, and
//! whatever else a fork has) is told of without what it says: a chat is read by others than those whom its author chose. A
//! picture is shown only when its file says that it is not sensitive, and nothing else hides it.

use super::super::fit::{line, lines};
use super::super::look::Object;
use super::people::{Person, USER};
use super::{Passage, SHORT_MAX, Server, Story, Word, segment};

const NOTE: &[&str] = &[
    "id",
    "userId",
    "user",
    "text",
    "cw",
    "visibility",
    "files",
    "fileIds",
    "replyId",
    "reply",
    "renoteId",
    "renote",
    "poll",
    "channel",
];
const FILE: &[&str] = &["type", "url", "isSensitive"];
const REACTION: &[&str] = &["reaction", "user"];
/// Files of a note that are looked at; Misskey's have at most 16.
const FILES_MAX: usize = 16;
/// Choices of a poll that are shown; Misskey's have at most 10.
const CHOICES_MAX: usize = 10;
/// Units of a warning.
const WARNING_MAX: usize = 200;

/// A note, and who wrote it.
struct Note<'a> {
    fields: Object<'a>,
    author: Person,
}

impl<'a> Note<'a> {
    fn under(object: &Object<'a>, key: &str, server: &Server) -> Option<Self> {
        let fields = object.object(key, NOTE)?;
        let author = Person::under(&fields, "user", server).unwrap_or_else(Person::nobody);
        Some(Self { author, fields })
    }

    fn has(&self, key: &str) -> bool {
        self.fields.text(key).is_some_and(|text| !text.trim().is_empty())
    }

    fn files(&self) -> (Vec<Object<'a>>, usize) {
        self.fields.objects("files", FILES_MAX, FILE)
    }

    /// Whether it says nothing of its own beside the note that it renotes.
    fn is_pure_renote(&self) -> bool {
        let has_more = self.has("text") || self.has("cw") || self.has("replyId") || self.files().1 > 0;
        self.is_renote() && !has_more && self.fields.object("poll", &[]).is_none()
    }

    fn is_renote(&self) -> bool {
        self.has("renoteId") || self.fields.object("renote", &[]).is_some()
    }

    fn is_reply(&self) -> bool {
        self.has("replyId") || self.fields.object("reply", &[]).is_some()
    }

    fn channel(&self) -> Option<Object<'a>> {
        self.fields.object("channel", &["name", "isSensitive"])
    }

    /// Why it is not for everyone.
    fn withheld(&self) -> Option<&'static str> {
        match self.fields.text("visibility").as_deref() {
            None | Some("public" | "home") => None,
            Some("followers") => Some("a note for followers only"),
            Some("specified") => Some("a direct message"),
            Some(_) => Some("a note that is not for everyone"),
        }
    }

    fn warning(&self) -> Option<String> {
        let own = self.fields.text("cw").and_then(|cw| line(&cw, WARNING_MAX));
        let is_of_sensitive_channel = || self.channel().and_then(|it| it.flag("isSensitive")) == Some(true);
        own.or_else(|| is_of_sensitive_channel().then(|| "sensitive channel".to_owned()))
    }

    /// What it says; nothing when it says nothing.
    fn passage(&self) -> Option<Passage> {
        if let Some(reason) = self.withheld() {
            return Some(Passage::Withheld(reason));
        }
        let text = self.said();
        match self.warning() {
            Some(warning) => Some(Passage::Covered { warning, text }),
            None => Some(text).filter(|text| !text.is_empty()).map(Passage::Open),
        }
    }

    /// Its text, then its poll, then how many files it has.
    fn said(&self) -> String {
        let mut parts = vec![self.fields.text("text").map(|text| lines(&text)).unwrap_or_default()];
        if let Some(poll) = self.fields.object("poll", &["choices"]) {
            let (choices, _) = poll.objects("choices", CHOICES_MAX, &["text"]);
            let texts = choices.iter().filter_map(|choice| line(&choice.text("text")?, SHORT_MAX));
            parts.extend(texts.map(|text| format!("○ {text}")));
        }
        let (files, count) = self.files();
        let sensitive = files.iter().filter(|file| file.flag("isSensitive") != Some(false)).count();
        match (count, sensitive) {
            (0, _) => {}
            (1, 0) => parts.push("📎 1 file".to_owned()),
            (1, _) => parts.push("📎 1 sensitive file".to_owned()),
            (_, 0) => parts.push(format!("📎 {count} files")),
            _ => parts.push(format!("📎 {count} files, {sensitive} of them sensitive")),
        }
        parts.retain(|part| !part.is_empty());
        parts.join("\n")
    }

    /// The first picture that everyone may see.
    fn image(&self) -> Option<String> {
        if self.withheld().is_some() || self.warning().is_some() {
            return None;
        }
        let is_open_picture = |file: &&Object<'_>| {
            let is_picture = file.text("type").is_some_and(|kind| kind.starts_with("image/"));
            is_picture && file.flag("isSensitive") == Some(false)
        };
        self.files().0.iter().find(is_open_picture).and_then(|file| file.text("url"))
    }

    /// The story of this note, that begins with its author and goes on as `headline` says.
    fn story(&self, server: &Server, headline: Vec<Word>) -> Story {
        let mut words = vec![Word::Somebody(self.author.clone())];
        words.extend(headline);
        let renoted = Note::under(&self.fields, "renote", server);
        let (passage, image, quoted) = match renoted {
            Some(renoted) if self.is_pure_renote() => (renoted.passage(), renoted.image(), None),
            _ => {
                let answered = Note::under(&self.fields, "reply", server);
                let label = if renoted.is_some() { "Quoted note" } else { "In reply to" };
                let about = renoted.or(answered).and_then(|about| about.passage());
                (self.passage(), self.image(), about.map(|about| (label, about)))
            }
        };
        let id = self.fields.text("id");
        let link = id.and_then(|id| server.link("Open the note", &format!("/notes/{}", segment(&id))));
        Story { headline: words, person: Some(self.author.clone()), link, passage, quoted, image, ..Story::default() }
    }

    /// The author of the note under `key`, as the end of a sentence.
    fn author_of(&self, key: &str, server: &Server) -> Word {
        let other = self.fields.object(key, NOTE);
        let person = other.as_ref().and_then(|other| Person::under(other, "user", server));
        person.map_or_else(|| Word::ours("someone"), Word::Somebody)
    }

    /// Whether the note under `key` is by the same author.
    fn is_to_itself(&self, key: &str) -> bool {
        let id = |note: &Object<'_>| {
            note.text("userId").or_else(|| note.object("user", USER).and_then(|user| user.text("id")))
        };
        let other = self.fields.object(key, NOTE).and_then(|other| id(&other));
        other.is_some() && other == id(&self.fields)
    }
}

/// `note`: what the owner wrote, as `words` say when it is nothing more special.
pub(super) fn written(body: &Object<'_>, server: &Server, words: &'static str) -> Option<Story> {
    let note = Note::under(body, "note", server)?;
    let mut headline = if note.is_reply() && note.is_to_itself("reply") {
        vec![Word::ours(" replied to their own note")]
    } else if note.is_reply() {
        vec![Word::ours(" replied to "), note.author_of("reply", server)]
    } else if note.is_pure_renote() {
        vec![Word::ours(" renoted a note by "), note.author_of("renote", server)]
    } else if note.is_renote() {
        vec![Word::ours(" quoted a note by "), note.author_of("renote", server)]
    } else {
        vec![Word::ours(words)]
    };
    let channel = note.channel().and_then(|channel| Word::theirs(&channel.text("name")?));
    if let Some(channel) = channel.filter(|_| note.withheld().is_none()) {
        headline.extend([Word::ours(" in the channel "), channel]);
    }
    Some(note.story(server, headline))
}

/// `note` after it was changed.
pub(super) fn edited(body: &Object<'_>, server: &Server) -> Option<Story> {
    let note = Note::under(body, "note", server)?;
    Some(note.story(server, vec![Word::ours(" edited a note")]))
}

/// `note`, whose `reply` is the owner's.
pub(super) fn reply(body: &Object<'_>, server: &Server) -> Option<Story> {
    let note = Note::under(body, "note", server)?;
    let words = if note.is_to_itself("reply") { " replied to their own note" } else { " replied to you" };
    Some(note.story(server, vec![Word::ours(words)]))
}

/// `note`, whose `renote` is the owner's.
pub(super) fn renote(body: &Object<'_>, server: &Server) -> Option<Story> {
    let note = Note::under(body, "note", server)?;
    let words = if note.is_pure_renote() { " renoted your note" } else { " quoted your note" };
    Some(note.story(server, vec![Word::ours(words)]))
}

/// `note`, which names the owner.
pub(super) fn mention(body: &Object<'_>, server: &Server) -> Option<Story> {
    let note = Note::under(body, "note", server)?;
    let is_direct = note.fields.text("visibility").as_deref() == Some("specified");
    let words = if is_direct { " sent you a direct message" } else { " mentioned you" };
    Some(note.story(server, vec![Word::ours(words)]))
}

/// `{note, reaction}`: the owner's note, and `{reaction, user?}` or the emoji alone.
pub(super) fn reaction(body: &Object<'_>, server: &Server) -> Option<Story> {
    let note = Note::under(body, "note", server);
    let reaction = body.object("reaction", REACTION);
    let emoji = reaction.as_ref().and_then(|reaction| reaction.text("reaction"));
    let emoji = emoji.or_else(|| body.text("reaction")).or_else(|| body.text("emoji"));
    // `:name@.:` is an emoji of the server's own.
    let emoji = emoji.and_then(|emoji| Word::theirs(&emoji.replace("@.:", ":")));
    if note.is_none() && emoji.is_none() {
        return None;
    }
    let within = reaction.as_ref().and_then(|reaction| Person::under(reaction, "user", server));
    let who = within.or_else(|| Person::under(body, "user", server)).unwrap_or_else(Person::nobody);
    let mut headline = vec![Word::Somebody(who.clone()), Word::ours(" reacted")];
    if let Some(emoji) = emoji {
        headline.extend([Word::ours(" with "), emoji]);
    }
    headline.push(Word::ours(" to your note"));
    let about = note.as_ref().map(|note| note.story(server, Vec::new())).unwrap_or_default();
    let person = who.handle.is_some().then_some(who);
    Some(Story { headline, person, image: None, ..about })
}
