//! What is on the stand-in: people, their tokens and webhooks, jobs that were given up, MiAuth sessions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Failed jobs that a queue keeps (`removeOnFail`).
const JOBS_KEPT: usize = 100;

/// Everything on a server.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) people: BTreeMap<String, Person>,
    /// Whose it is, and what an app may do with it; a login's own token has no list.
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) webhooks: Vec<Value>,
    /// The system webhooks, as `admin/system-webhook/list` packs them.
    pub(crate) system_webhooks: Vec<Value>,
    /// For each queue its failed jobs as JSON, the latest first.
    pub(crate) jobs: BTreeMap<String, Vec<String>>,
    /// MiAuth sessions that their person has agreed to: the token, until it is fetched.
    pub(crate) sessions: BTreeMap<String, String>,
    made: u32,
}

/// A person.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) username: String,
    /// As it stands in JSON, with its quotes: it need not be Unicode.
    pub(crate) name: String,
    pub(crate) is_suspended: bool,
    pub(crate) is_moderator: bool,
    /// The role's `webhookLimit`.
    pub(crate) webhook_limit: usize,
}

/// A token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) user: String,
    pub(crate) permissions: Option<Vec<String>>,
}

/// A delivery that was given up.
#[derive(Clone, Debug)]
pub(crate) struct GivenUp<'a> {
    pub(crate) kind: &'a str,
    pub(crate) hook: &'a str,
    /// None: a system webhook's.
    pub(crate) user: Option<&'a str>,
    pub(crate) event: &'a str,
    pub(crate) to: &'a str,
    pub(crate) secret: &'a str,
    /// The body, byte for byte.
    pub(crate) content: &'a str,
}

impl World {
    /// Signs a person up and tells its login's own token.
    pub(crate) fn person(&mut self, id: &str, username: &str) -> String {
        let name = json!(username).to_string();
        let person =
            Person { username: username.to_owned(), name, is_suspended: false, is_moderator: false, webhook_limit: 3 };
        self.people.insert(id.to_owned(), person);
        self.token(id, None)
    }

    /// Changes a person.
    pub(crate) fn change(&mut self, id: &str, change: impl FnOnce(&mut Person)) {
        change(self.people.get_mut(id).expect("a person"));
    }

    /// A token that an app has, for `permissions`.
    pub(crate) fn app_token(&mut self, user: &str, permissions: &[&str]) -> String {
        self.token(user, Some(permissions.iter().map(|&permission| permission.to_owned()).collect()))
    }

    /// Lets a person agree to a MiAuth session.
    pub(crate) fn agree(&mut self, session: &str, user: &str, permissions: &[&str]) {
        let token = self.app_token(user, permissions);
        self.sessions.insert(session.to_owned(), token);
    }

    /// Takes a token back.
    pub(crate) fn revoke(&mut self, token: &str) {
        self.tokens.remove(token).expect("a token");
    }

    /// Has a delivery given up, after Misskey's four tries. Of more than it keeps, the oldest is dropped.
    pub(crate) fn give_up(&mut self, given_up: &GivenUp<'_>) {
        let GivenUp { kind, hook, user, event, to, secret, content } = given_up;
        let text = |text: &str| json!(text).to_string();
        let user = user.map_or_else(String::new, |user| format!("\"userId\":{},", text(user)));
        let data = format!(
            "{{\"type\":{},\"content\":{content},\"webhookId\":{},{user}\"to\":{},\"secret\":{},\
             \"createdAt\":1774960496789,\"eventId\":{}}}",
            text(kind),
            text(hook),
            text(to),
            text(secret),
            text(event)
        );
        let queue = if given_up.user.is_some() { super::USER_QUEUE } else { super::SYSTEM_QUEUE };
        self.give_up_data(queue, hook, &data);
    }

    /// Has the job with this `data` given up.
    pub(crate) fn give_up_data(&mut self, queue: &str, name: &str, data: &str) {
        self.made += 1;
        let id = self.made.to_string();
        // As Misskey's `packJobData` gives it.
        let job = format!(
            "{{\"id\":\"{id}\",\"name\":{},\"data\":{data},\"opts\":{{\"removeOnFail\":{{\"age\":604800,\"count\":100}},\
             \"removeOnComplete\":{{\"age\":604800,\"count\":30}},\"backoff\":{{\"type\":\"custom\"}},\"attempts\":4}},\
             \"timestamp\":1774960496789,\"processedOn\":1774961199000,\"finishedOn\":1774961200000,\"progress\":0,\
             \"attempts\":4,\"delay\":0,\"failedReason\":\"503 Service Unavailable\",\
             \"stacktrace\":[\"StatusError: 503 Service Unavailable\"],\"isFailed\":true}}",
            json!(name)
        );
        let jobs = self.jobs.entry(queue.to_owned()).or_default();
        jobs.insert(0, job);
        jobs.truncate(JOBS_KEPT);
    }

    /// An id as Misskey makes them.
    pub(crate) fn id(&mut self) -> String {
        self.made += 1;
        format!("ajbar5w5k3x9{:04}", self.made)
    }

    fn token(&mut self, user: &str, permissions: Option<Vec<String>>) -> String {
        assert!(self.people.contains_key(user), "{user} is nobody");
        self.made += 1;
        // A login's own token has 16 characters, an app's 32.
        let token =
            if permissions.is_none() { format!("native{:010}", self.made) } else { format!("app{:029}", self.made) };
        self.tokens.insert(token.clone(), Token { user: user.to_owned(), permissions });
        token
    }
}
