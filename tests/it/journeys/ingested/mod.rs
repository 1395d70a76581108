//! `POST /ingest/misskey`: a Misskey's own webhooks point at the program, and speak as Misskey's HTTP client does.

mod answers;
mod once;
mod once_on_rabbitmq;
mod scopes;
mod wire;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::program::{Home, Program};

/// The user of the samples.
const USER: &str = "9ks5o1w5k3x90001";
/// The moderator of the samples.
const OTHER: &str = "9gt9mv85k3x90004";
/// A secret as an admin makes it.
const SECRET: &str = "a-secret-that-misskey-sends";
const MASTER: &str = "0123456789abcdef0123456789abcdef";
/// Every type that the samples have.
const TYPES: &str = r#"["note","reply","renote","mention","follow","followed","unfollow","abuseReport","abuseReportResolved","userCreated","inactiveModeratorsWarning","inactiveModeratorsInvitationOnlyChanged","edited"]"#;

/// A `[[misskey.ingest]]`.
fn ingest(source: &str, secret: &str, scope: &str) -> String {
    format!("[[misskey.ingest]]\nsource = \"{source}\"\nsecret = \"{secret}\"\nscope = \"{scope}\"\n")
}

/// A webhook of `user` (empty: a system webhook) for every type.
fn webhook(id: &str, user: &str, source: &str, url: &str) -> String {
    let user = if user.is_empty() { String::new() } else { format!("user_id = \"{user}\"\n") };
    format!("[[webhooks]]\nid = \"{id}\"\n{user}source = \"{source}\"\nurl = \"{url}\"\non = {TYPES}\n")
}

/// A server that is let in what `settings` say, with a webhook of [`USER`] at `/user`, one of [`OTHER`] at `/other`
/// and one of the system at `/system`.
async fn server(settings: &str) -> (Receiver, Home, Program) {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let webhooks = [("user", USER), ("other", OTHER), ("system", "")]
        .map(|(id, user)| webhook(id, user, "default", &receiver.url(&format!("/{id}"))));
    let home = Home::new(&format!("{settings}{}", webhooks.concat()));
    let program = home.serve().await;
    (receiver, home, program)
}

/// Where each event arrived, in the order of the ids: `(path, eventId)`.
fn arrivals(receiver: &Receiver) -> Vec<(String, String)> {
    let book = receiver.book();
    let mut arrivals: Vec<_> = book.arrived.iter().map(|arrived| (arrived.path.clone(), arrived.event_id())).collect();
    arrivals.sort_by(|a, b| a.1.cmp(&b.1));
    arrivals
}

/// A small event of `user` (empty: a system event).
fn small(kind: &str, user: &str, id: &str) -> String {
    let user = if user.is_empty() { String::new() } else { format!("\"userId\":\"{user}\",") };
    format!(
        r#"{{"server":"https://misskey.example","hookId":"mk1",{user}"eventId":"{id}","createdAt":1774960496789,"type":"{kind}","body":{{}}}}"#
    )
}
