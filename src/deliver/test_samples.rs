//! The dummy events of test sends: for each type what Misskey's own test button sends, as an event of now.
//!
//! They come from `tests/fixtures/misskey/test-send` (described in `INDEX.md` there), those of our own type from
//! `tests/fixtures/hikyaku`; they are embedded in the binary, and are recognisable by ids that begin with `dummy-`. Misskey sends compact JSON with moments that count from now; so do we.

use bytes::Bytes;

use crate::model::{
    Arrival, Body, Event, EventError, EventId, EventType, Owner, Source, Timestamp, WEBHOOK_DEACTIVATED, is_note_of,
};

/// The moment at which the fixtures were made.
const MADE_AT: Timestamp = Timestamp::from_millis(1_774_960_496_789);
/// How many days before that moment lie those that stand in the fixtures.
const DAYS_BEFORE: [u64; 5] = [0, 2, 5, 7, 15];
const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Far more than the largest fixture has.
const SAMPLE_BYTES_MAX: usize = 64 * 1024;

macro_rules! fixture {
    ($name:literal) => {
        fixture!("misskey/test-send/", $name)
    };
    ($folder:literal, $name:literal) => {
        Some(include_str!(concat!("../../tests/fixtures/", $folder, $name, ".json")))
    };
}

/// The fixture for `kind`, if there is one. Forks' types have none in Misskey: those that are about a note get the note's.
fn fixture(owner: &Owner, kind: &str) -> Option<&'static str> {
    match (owner, kind) {
        (Owner::User(_), "note" | "edited") => fixture!("user.note"),
        (Owner::User(_), kind) if is_note_of(kind) => fixture!("user.note"),
        (Owner::User(_), "reply") => fixture!("user.reply"),
        (Owner::User(_), "renote") => fixture!("user.renote"),
        (Owner::User(_), "mention") => fixture!("user.mention"),
        (Owner::User(_), "follow") => fixture!("user.follow"),
        (Owner::User(_), "followed") => fixture!("user.followed"),
        (Owner::User(_), "unfollow") => fixture!("user.unfollow"),
        (Owner::System, "abuseReport") => fixture!("system.abuseReport"),
        (Owner::System, "abuseReportResolved") => fixture!("system.abuseReportResolved"),
        (Owner::System, "userCreated") => fixture!("system.userCreated"),
        (Owner::System, "inactiveModeratorsWarning") => fixture!("system.inactiveModeratorsWarning"),
        (Owner::System, "inactiveModeratorsInvitationOnlyChanged") => {
            fixture!("system.inactiveModeratorsInvitationOnlyChanged")
        }
        (Owner::User(_), WEBHOOK_DEACTIVATED) => fixture!("hikyaku/", "user.webhookDeactivated"),
        (Owner::System, WEBHOOK_DEACTIVATED) => fixture!("hikyaku/", "system.webhookDeactivated"),
        _ => None,
    }
}

/// The dummy event of `kind` for `owner` at `source`, of this moment; nothing when there is none of that type.
pub(super) fn dummy_event(
    owner: &Owner,
    source: &Source,
    kind: &EventType,
    id: EventId,
    now: Timestamp,
) -> Option<Event> {
    let mut event = parsed(fixture(owner, kind.as_str())?, id.clone(), now).ok()?;
    event.body = of_now(&event.body, now);
    Some(Event {
        id,
        kind: kind.clone(),
        user: owner.user().cloned(),
        source: source.clone(),
        created_at: now,
        ..event
    })
}

fn parsed(fixture: &'static str, event_id: EventId, now: Timestamp) -> Result<Event, EventError> {
    let arrival = Arrival { now, event_id, source: None, event_bytes_max: SAMPLE_BYTES_MAX };
    Event::parse(&Bytes::from_static(fixture.as_bytes()), arrival)
}

/// The body without white space, its moments moved so that they are as long ago as they were when it was made.
fn of_now(body: &Body, now: Timestamp) -> Body {
    let mut text = compact(&String::from_utf8_lossy(body.bytes()));
    for days in DAYS_BEFORE {
        let ago = DAY * u32::try_from(days).unwrap_or(0);
        text = text.replace(&MADE_AT.minus(ago).to_rfc3339(), &now.minus(ago).to_rfc3339());
    }
    Body::from_checked(Bytes::from(text))
}

/// JSON without the white space between its tokens.
fn compact(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let kept = json.chars().filter(|c| {
        let is_between = !in_text && c.is_ascii_whitespace();
        if *c == '"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && *c == '\\' && !escaped;
        !is_between
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Audience, Sender, UserId, known_types};

    const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

    fn dummy(owner: &Owner, kind: &str) -> Option<Event> {
        let id = EventId::new("fresh").expect("an id");
        dummy_event(owner, &Source::default(), &EventType::new(kind).expect("a type"), id, NOW)
    }

    #[test]
    fn every_type_of_misskeys_has_a_dummy_event_of_now_but_reaction_which_misskey_never_sends() {
        let user = Owner::User(UserId::new("u1").expect("an id"));
        for known in known_types().iter().filter(|known| !matches!(known.sender, Sender::Forks(_))) {
            let owner = if known.audience == Audience::User { &user } else { &Owner::System };
            let kind = known.name;
            if known.sender == Sender::Nobody {
                assert!(dummy(owner, kind).is_none());
                continue;
            }
            let event = dummy(owner, kind).expect(kind);
            assert_eq!((event.id.as_str(), event.kind.as_str(), event.created_at), ("fresh", kind, NOW));
            assert_eq!(event.user.as_ref(), owner.user());
            let body = String::from_utf8(event.body.bytes().to_vec()).expect("UTF-8");
            let value: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(value.to_string().len(), body.len(), "{kind} is compact: {body}");
            assert!(!body.contains("2026-03"), "{kind} is of now: {body}");
            assert!(kind.starts_with("inactive") || body.contains("\"dummy-"), "{kind}: {body}");
        }
        assert!(dummy(&user, "userCreated").is_none() && dummy(&Owner::System, "note").is_none());
        assert_eq!(dummy(&user, "note@alice").expect("a note").kind.as_str(), "note@alice");
    }

    #[test]
    fn white_space_inside_texts_stays() {
        assert_eq!(compact("{ \"a b\" :\n [1, \"\\\" \\\\\" , \" x\"] }"), "{\"a b\":[1,\"\\\" \\\\\",\" x\"]}");
    }
}
