//! Somebody, as every body of Misskey's shows a user, and the events that are about users.
//!
//! ```json
//! {"id":"..","name":"Carol" or null,"username":"carol","host":null or "mastodon.example","avatarUrl":".."}
//! ```

use super::super::fit::line;
use super::super::look::Object;
use super::{Link, Server, Story, Word, segment};

/// What is read of a user.
pub(super) const USER: &[&str] = &["id", "name", "username", "host", "avatarUrl"];
/// Units of a name that is shown; Misskey's own have at most 50 characters.
const NAME_MAX: usize = 80;
/// Units of each part of a handle.
const HANDLE_MAX: usize = 100;

/// Somebody.
#[derive(Clone, Debug)]
pub(in super::super) struct Person {
    /// The name that is shown, on one line.
    pub(in super::super) name: String,
    /// `@carol@mastodon.example`, without a host when the user is of the server itself; none: not known.
    pub(in super::super) handle: Option<String>,
    /// The profile on the server.
    pub(in super::super) url: Option<String>,
    /// The picture, wherever it is.
    pub(in super::super) avatar: Option<String>,
}

impl Person {
    /// Somebody of whom nothing is known.
    pub(super) fn nobody() -> Self {
        Self { name: "Someone".to_owned(), handle: None, url: None, avatar: None }
    }

    /// The user in `user`, as far as it says.
    pub(super) fn of(user: &Object<'_>, server: &Server) -> Self {
        let username = user.text("username").and_then(|name| line(&name, HANDLE_MAX));
        let host = user.text("host").and_then(|host| line(&host, HANDLE_MAX));
        let name = user.text("name").and_then(|name| line(&name, NAME_MAX)).or_else(|| username.clone());
        let Some(username) = username else {
            return Self { name: name.unwrap_or_else(|| Self::nobody().name), ..Self::nobody() };
        };
        let at_host = host.as_ref().map(|host| format!("@{host}")).unwrap_or_default();
        let path_host = host.as_ref().map(|host| format!("@{}", segment(host))).unwrap_or_default();
        Self {
            name: name.unwrap_or_else(|| username.clone()),
            url: server.page(&format!("/@{}{path_host}", segment(&username))),
            handle: Some(format!("@{username}{at_host}")),
            avatar: user.text("avatarUrl"),
        }
    }

    /// The user under `key` of `object`, if there is one.
    pub(super) fn under(object: &Object<'_>, key: &str, server: &Server) -> Option<Self> {
        object.object(key, USER).map(|user| Self::of(&user, server))
    }

    fn profile(&self) -> Option<Link> {
        self.url.clone().map(|url| Link { label: "Open the profile", url })
    }
}

fn about(person: Person, headline: Vec<Word>) -> Story {
    Story { headline, link: person.profile(), person: Some(person), ..Story::default() }
}

/// `{user}`: whom the owner follows, or does no longer, as `words` say.
pub(super) fn follow(body: &Object<'_>, server: &Server, words: &'static str) -> Option<Story> {
    let person = Person::under(body, "user", server)?;
    Some(about(person.clone(), vec![Word::ours(words), Word::Somebody(person)]))
}

/// `{user}`: who follows the owner.
pub(super) fn followed(body: &Object<'_>, server: &Server) -> Option<Story> {
    let person = Person::under(body, "user", server)?;
    Some(about(person.clone(), vec![Word::Somebody(person), Word::ours(" follows you now")]))
}

/// The body is the user that was made.
pub(super) fn created(body: &[u8], server: &Server) -> Option<Story> {
    let person = Person::of(&Object::read(body, USER), server);
    person.handle.as_ref()?;
    Some(about(person.clone(), vec![Word::Somebody(person), Word::ours(" has signed up")]))
}
