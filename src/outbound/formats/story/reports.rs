//! Events that are moderators' business: reports, messages by the contact form, and moderators who are away.
//!
//! A report (of Misskey's it is the whole body):
//!
//! ```json
//! {"comment":"..","resolvedAs":"accept","moderationNote":"..","reporter":{..},"targetUser":{..},"assignee":null or {..}}
//! ```
//!
//! These go to webhooks of administrators, so reports are told openly. Of who has used the contact form only what was written
//! is told, and not the address.

use std::borrow::Cow;

use super::super::fit::lines;
use super::super::look::Object;
use super::people::Person;
use super::{Passage, Server, Story, Word};

const REPORT: &[&str] =
    &["comment", "resolvedAs", "moderationNote", "reporter", "targetUser", "targetUserId", "assignee"];
/// Where moderators find the reports.
const REPORTS_PATH: &str = "/admin/abuses";

/// The report that is the body.
pub(super) fn whole(body: &[u8]) -> Object<'_> {
    Object::read(body, REPORT)
}

/// The report under `key` of the body.
pub(super) fn within<'a>(body: &Object<'a>, key: &str) -> Option<Object<'a>> {
    body.object(key, REPORT)
}

fn report(report: &Object<'_>, server: &Server, before: &'static str, after: &'static str) -> Option<Story> {
    let target = Person::under(report, "targetUser", server);
    let comment = report.text("comment").map(|comment| lines(&comment)).filter(|comment| !comment.is_empty());
    if target.is_none() && comment.is_none() && report.text("targetUserId").is_none() {
        return None;
    }
    let about = target.clone().map_or_else(|| Word::ours("a user"), Word::Somebody);
    let reporter = Person::under(report, "reporter", server);
    Some(Story {
        headline: vec![Word::ours(before), about, Word::ours(after)],
        person: target,
        link: server.link("Open the reports", REPORTS_PATH),
        passage: comment.map(Passage::Open),
        facts: reporter.into_iter().map(|reporter| ("Reported by", Word::Somebody(reporter))).collect(),
        is_alarm: true,
        ..Story::default()
    })
}

/// Somebody was reported.
pub(super) fn made(about: &Object<'_>, server: &Server) -> Option<Story> {
    report(about, server, "New report about ", "")
}

/// A moderator has dealt with it.
pub(super) fn resolved(about: &Object<'_>, server: &Server) -> Option<Story> {
    let mut story = report(about, server, "The report about ", " was dealt with")?;
    let decision = match about.text("resolvedAs").as_deref() {
        Some("accept") => Some(Word::ours("accepted")),
        Some("reject") => Some(Word::ours("rejected")),
        _ => None,
    };
    story.facts.extend(decision.map(|decision| ("Decision", decision)));
    let moderator = Person::under(about, "assignee", server);
    story.facts.extend(moderator.map(|moderator| ("Moderator", Word::Somebody(moderator))));
    let note = about.text("moderationNote").and_then(|note| Word::theirs(&note));
    story.facts.extend(note.map(|note| ("Moderators' note", note)));
    story.is_alarm = false;
    Some(story)
}

/// A rule has dealt with it.
pub(super) fn resolved_by_a_rule(about: &Object<'_>, server: &Server) -> Option<Story> {
    let story = report(about, server, "The report about ", " was dealt with by a rule")?;
    Some(Story { is_alarm: false, ..story })
}

/// `{contact: {subject, message, ..}}`: what became of a message by the contact form.
pub(super) fn contact(body: &Object<'_>, server: &Server, words: &'static str) -> Option<Story> {
    let contact = body.object("contact", &["subject", "message"])?;
    let subject = contact.text("subject").and_then(|subject| Word::theirs(&subject));
    let message = contact.text("message").map(|message| lines(&message)).filter(|message| !message.is_empty());
    let mut headline = vec![Word::ours(words)];
    if let Some(subject) = subject {
        headline.extend([Word::ours(": "), subject]);
    }
    Some(Story {
        headline,
        link: server.link("Open the server", "/"),
        passage: message.map(Passage::Open),
        ..Story::default()
    })
}

/// `{remainingTime: {asDays, asHours}}`: no moderator has been there for days.
pub(super) fn warning(body: &Object<'_>, server: &Server) -> Story {
    let left = body.object("remainingTime", &["asDays", "asHours"]);
    let hours = left.as_ref().and_then(|left| left.whole("asHours"));
    let when = match hours {
        Some(1) => "in 1 hour".to_owned(),
        Some(hours) => format!("in {hours} hours"),
        None => "soon".to_owned(),
    };
    changed(server, format!("No moderator has been active lately: {when} signing up will need an invitation"))
}

/// Something on the server has changed, or will.
pub(super) fn changed(server: &Server, words: impl Into<Cow<'static, str>>) -> Story {
    Story {
        headline: vec![Word::Ours(words.into())],
        link: server.link("Open the server", "/"),
        is_alarm: true,
        ..Story::default()
    }
}
