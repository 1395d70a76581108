//! The event types that a registration by API may name in `on`: those that are known by name, and those that an admin adds
//! with `misskey.extra_types`.
//!
//! Events of other types pass everywhere (a newer Misskey may send them); only `on` is held against this, so that a slip of
//! the pen does not make a webhook that never gets anything.

use super::{Audience, EventType, Owner, known_type, known_types, nearest};

/// What niri-la's types for one user's notes begin with; the user's name follows.
const NOTE_OF: &str = "note@";
/// Characters that such a name has at most.
const NOTE_OF_CHARS_MAX: usize = 20;

/// The types that a registration may name.
#[derive(Clone, Debug, Default)]
pub struct Subscribable {
    extra: Vec<EventType>,
}

impl Subscribable {
    /// The known types, and `extra`, which users' and system webhooks alike may name.
    pub fn with(extra: Vec<EventType>) -> Self {
        Self { extra }
    }

    /// Whether a webhook of `owner` may name `kind`.
    pub fn has(&self, owner: &Owner, kind: &str) -> bool {
        known_type(audience(owner), kind).is_some()
            || (owner.user().is_some() && is_note_of(kind))
            || self.extra.iter().any(|extra| extra.as_str() == kind)
    }

    /// What is wrong with `kind`, which a webhook of `owner` may not name, and what was probably meant.
    pub fn unknown(&self, owner: &Owner, kind: &str) -> String {
        let names: Vec<&str> = self.names(owner).collect();
        let meant = match nearest(kind, names.iter().copied()) {
            Some(near) => format!(" did you mean {near:?}?"),
            None => String::new(),
        };
        let known = names.join(", ");
        format!(
            "{kind:?} is no event type known here;{meant} known are {known}. An admin can add others with misskey.extra_types"
        )
    }

    /// Whose webhooks, other than those of `owner`, may name `kind`; in a word.
    pub fn of_others(&self, owner: &Owner, kind: &str) -> Option<&'static str> {
        let (others, is_users) = match audience(owner) {
            Audience::User => (Audience::System, false),
            Audience::System => (Audience::User, true),
        };
        let is_theirs = known_type(others, kind).is_some() || (is_users && is_note_of(kind));
        is_theirs.then_some(if is_users { "users'" } else { "system" })
    }

    fn names(&self, owner: &Owner) -> impl Iterator<Item = &str> {
        let audience = audience(owner);
        let known = known_types().iter().filter(move |known| known.audience == audience).map(|known| known.name);
        known.chain(self.extra.iter().map(EventType::as_str))
    }
}

fn audience(owner: &Owner) -> Audience {
    match owner {
        Owner::User(_) => Audience::User,
        Owner::System => Audience::System,
    }
}

/// Whether `kind` is niri-la's type for the notes of one user, such as `note@alice`.
pub fn is_note_of(kind: &str) -> bool {
    kind.strip_prefix(NOTE_OF).is_some_and(|name| {
        (1..=NOTE_OF_CHARS_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    #[test]
    fn a_user_and_the_system_have_types_of_their_own_and_extra_ones_are_for_both() {
        let types = Subscribable::with(vec![EventType::new("clipped").expect("a type")]);
        let user = Owner::User(UserId::new("u").expect("an id"));
        for kind in ["note", "reaction", "edited", "note@alice", "clipped"] {
            assert!(types.has(&user, kind), "{kind}");
        }
        for kind in ["userCreated", "abuseReport", "Note", "note@", "note@a-b", "note@abcdefghijklmnopqrstu", ""] {
            assert!(!types.has(&user, kind), "{kind}");
        }
        for kind in ["userCreated", "reportAutoResolved", "clipped"] {
            assert!(types.has(&Owner::System, kind), "{kind}");
        }
        for kind in ["note", "note@alice", "edited"] {
            assert!(!types.has(&Owner::System, kind), "{kind}");
        }
        let words = types.unknown(&Owner::System, "edited");
        assert!(
            words.contains("contactDeleted, hikyaku.webhookDeactivated, clipped. An admin")
                && !words.contains("edited,"),
            "{words}"
        );
    }

    #[test]
    fn a_slip_of_the_pen_is_told_with_what_was_meant_and_nonsense_without() {
        let (types, user) = (Subscribable::default(), Owner::User(UserId::new("u").expect("an id")));
        assert!(types.unknown(&user, "notes").contains("did you mean \"note\"?"));
        assert!(types.unknown(&Owner::System, "userCreate").contains("did you mean \"userCreated\"?"));
        assert!(!types.unknown(&user, "xyzzyxyzzy").contains("did you mean"));
    }

    #[test]
    fn a_type_of_the_other_audience_is_told_apart_from_one_that_nobody_has() {
        let (types, user) = (Subscribable::default(), Owner::User(UserId::new("u").expect("an id")));
        assert_eq!(types.of_others(&Owner::System, "note"), Some("users'"));
        assert_eq!(types.of_others(&Owner::System, "note@alice"), Some("users'"));
        assert_eq!(types.of_others(&user, "userCreated"), Some("system"));
        assert_eq!((types.of_others(&user, "note@alice"), types.of_others(&user, "notes")), (None, None));
    }
}
