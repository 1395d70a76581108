//! The event types that are known by name: Misskey's own, those that its forks add, and hikyaku's own.
//!
//! An event may have any type; hikyaku never refuses one that is not here. The list is for where a person chooses (`on`
//! of Misskey's management API, the console, `misskey connect`), so that a slip of the pen is told, and for the
//! documentation: each type has a JSON Schema in `docs/schemas/<user|system>/<name>.json` and a row in `docs/events.md`,
//! which a test compares with this list.
//!
//! Misskey's are those of 2026.3.2 (`models/Webhook.ts`, `models/SystemWebhook.ts`), the forks' those of the same files.

/// A type by which events are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownType {
    /// What stands in `type`.
    pub name: &'static str,
    /// Whose webhooks get such events.
    pub audience: Audience,
    /// Who sends such events.
    pub sender: Sender,
}

/// Whose webhooks get the events of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// Users'; the event has a `userId`.
    User,
    /// The server's; the event has none.
    System,
}

impl Audience {
    /// `user` or `system`, as folders and documents name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
        }
    }
}

/// Who sends the events of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Misskey, and the forks that follow it.
    Misskey,
    /// Nobody yet: Misskey takes the type in `on` and has never sent it.
    Nobody,
    /// These forks only; Misskey itself refuses the type in `on`.
    Forks(&'static str),
    /// hikyaku itself.
    Hikyaku,
}

/// That hikyaku has switched off a webhook of its owner's.
pub const WEBHOOK_DEACTIVATED: &str = "hikyaku.webhookDeactivated";

const fn user(name: &'static str, sender: Sender) -> KnownType {
    KnownType { name, audience: Audience::User, sender }
}

const fn system(name: &'static str, sender: Sender) -> KnownType {
    KnownType { name, audience: Audience::System, sender }
}

static KNOWN_TYPES: [KnownType; 25] = [
    user("note", Sender::Misskey),
    user("reply", Sender::Misskey),
    user("renote", Sender::Misskey),
    user("mention", Sender::Misskey),
    user("follow", Sender::Misskey),
    user("followed", Sender::Misskey),
    user("unfollow", Sender::Misskey),
    user("reaction", Sender::Nobody),
    user("edited", Sender::Forks("Sharkey")),
    user("reportCreated", Sender::Forks("MisskeyIO, hotomoe")),
    user("reportResolved", Sender::Forks("MisskeyIO, hotomoe")),
    user("reportAutoResolved", Sender::Forks("MisskeyIO, hotomoe")),
    user(WEBHOOK_DEACTIVATED, Sender::Hikyaku),
    system("abuseReport", Sender::Misskey),
    system("abuseReportResolved", Sender::Misskey),
    system("userCreated", Sender::Misskey),
    system("inactiveModeratorsWarning", Sender::Misskey),
    system("inactiveModeratorsInvitationOnlyChanged", Sender::Misskey),
    system("inactiveModeratorsDisablePublicNoteChanged", Sender::Forks("CherryPick, yojo-art")),
    system("reportAutoResolved", Sender::Forks("MisskeyIO, hotomoe")),
    system("contactCreated", Sender::Forks("misskey-tempura")),
    system("contactUpdated", Sender::Forks("misskey-tempura")),
    system("contactResolved", Sender::Forks("misskey-tempura")),
    system("contactDeleted", Sender::Forks("misskey-tempura")),
    system(WEBHOOK_DEACTIVATED, Sender::Hikyaku),
];

/// Every known type: the users' first, of each audience Misskey's own, the forks', hikyaku's.
pub fn known_types() -> &'static [KnownType] {
    &KNOWN_TYPES
}

/// The known type of that name for that audience; `reportAutoResolved` is one for either.
pub fn known_type(audience: Audience, name: &str) -> Option<&'static KnownType> {
    KNOWN_TYPES.iter().find(|known| known.audience == audience && known.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::EventType;

    #[test]
    fn no_type_stands_twice_and_each_is_a_type_that_an_event_may_have() {
        let all: BTreeSet<_> = known_types().iter().map(|known| (known.audience, known.name)).collect();
        assert_eq!(all.len(), known_types().len());
        assert!(known_types().iter().all(|known| EventType::new(known.name).is_ok()));
    }

    #[test]
    fn a_type_is_known_to_its_own_audience_only() {
        assert!(known_type(Audience::User, "unfollow").is_some());
        assert!(known_type(Audience::System, "unfollow").is_none());
        assert_eq!(known_type(Audience::User, "reaction").map(|known| known.sender), Some(Sender::Nobody));
        assert!(known_type(Audience::System, "Note").is_none());
    }
}
