//! The sample events, embedded in the binary: one of everything that Misskey sends, as its own packers made it.
//!
//! They come from `tests/fixtures/misskey/{user,system}` (described in `INDEX.md` there) and go, unchanged, through
//! [`Event::parse`](crate::model::Event::parse) like any producer's events. Each is a whole wire envelope,
//! pretty-printed, with a `hookId` that the parser passes over. Every sample has an `eventId` of its own.
//!
//! One user sample belongs to another user than the rest: `follow.by_moderator`, whose owner is a moderator.

/// Whose event a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleKind {
    /// A user's.
    User,
    /// The server's own.
    System,
}

/// One sample event.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The fixture's file name without `.json`, e.g. `note.quote`.
    pub name: &'static str,
    /// Whose event it is.
    pub kind: SampleKind,
    /// The event as a producer would send it.
    pub json: &'static str,
}

macro_rules! sample {
    ($kind:ident, $folder:literal, $name:literal) => {
        Sample {
            name: $name,
            kind: SampleKind::$kind,
            json: include_str!(concat!("../../../tests/fixtures/misskey/", $folder, "/", $name, ".json")),
        }
    };
}

static SAMPLES: [Sample; 23] = [
    sample!(User, "user", "follow.by_moderator"),
    sample!(User, "user", "follow"),
    sample!(User, "user", "follow.remote"),
    sample!(User, "user", "followed"),
    sample!(User, "user", "followed.remote"),
    sample!(User, "user", "mention.dm.remote"),
    sample!(User, "user", "mention"),
    sample!(User, "user", "note.dm"),
    sample!(User, "user", "note"),
    sample!(User, "user", "note.pure_renote"),
    sample!(User, "user", "note.quote"),
    sample!(User, "user", "note.rich"),
    sample!(User, "user", "note.self_reply"),
    sample!(User, "user", "renote"),
    sample!(User, "user", "renote.quote"),
    sample!(User, "user", "reply"),
    sample!(User, "user", "reply.remote"),
    sample!(User, "user", "unfollow"),
    sample!(System, "system", "abuseReport"),
    sample!(System, "system", "abuseReportResolved"),
    sample!(System, "system", "inactiveModeratorsInvitationOnlyChanged"),
    sample!(System, "system", "inactiveModeratorsWarning"),
    sample!(System, "system", "userCreated"),
];

/// Every sample: the users' first, then the system's.
pub fn samples() -> &'static [Sample] {
    &SAMPLES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use bytes::Bytes;

    use super::*;
    use crate::model::{Arrival, Event, EventId, Timestamp};

    const MADE_UP_ID: &str = "made-up-on-arrival";

    fn event(sample: &Sample) -> Event {
        let arrival = Arrival {
            now: Timestamp::from_millis(1_774_960_496_789),
            event_id: EventId::new(MADE_UP_ID).expect("valid"),
            event_bytes_max: 1 << 20,
            source: None,
        };
        Event::parse(&Bytes::from_static(sample.json.as_bytes()), arrival)
            .unwrap_or_else(|error| panic!("{}: {error}", sample.name))
    }

    fn of_kind(kind: SampleKind) -> impl Iterator<Item = &'static Sample> {
        samples().iter().filter(move |sample| sample.kind == kind)
    }

    #[test]
    fn the_samples_are_exactly_the_fixtures() {
        for (kind, folder) in [(SampleKind::User, "user"), (SampleKind::System, "system")] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/misskey").join(folder);
            let mut listed: Vec<String> = std::fs::read_dir(&path)
                .expect("the fixtures lie in the source tree")
                .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
                .map(|name| name.strip_suffix(".json").expect("only .json files").to_owned())
                .collect();
            listed.sort();
            let mut embedded: Vec<&str> = of_kind(kind).map(|sample| sample.name).collect();
            embedded.sort_unstable();
            assert_eq!(embedded, listed, "{folder}");
        }
    }

    #[test]
    fn each_sample_is_an_event_of_the_owner_it_claims() {
        for sample in samples() {
            assert_eq!(event(sample).user.is_some(), sample.kind == SampleKind::User, "{}", sample.name);
        }
    }

    #[test]
    fn each_sample_has_an_event_id_of_its_own() {
        let ids: BTreeSet<EventId> = samples().iter().map(|sample| event(sample).id).collect();
        assert_eq!(ids.len(), samples().len());
        assert!(ids.iter().all(|id| id.as_str() != MADE_UP_ID), "one had no id");
    }

    #[test]
    fn every_type_that_misskey_sends_is_covered() {
        let types = |kind| of_kind(kind).map(|sample| event(sample).kind.as_str().to_owned()).collect::<BTreeSet<_>>();
        let user = ["follow", "followed", "mention", "note", "renote", "reply", "unfollow"];
        let system = [
            "abuseReport",
            "abuseReportResolved",
            "inactiveModeratorsInvitationOnlyChanged",
            "inactiveModeratorsWarning",
            "userCreated",
        ];
        assert_eq!(types(SampleKind::User), BTreeSet::from(user.map(str::to_owned)));
        assert_eq!(types(SampleKind::System), BTreeSet::from(system.map(str::to_owned)));
    }
}
