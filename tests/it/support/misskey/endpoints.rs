//! The endpoints: who may call each, what it takes, what it answers.

use serde_json::{Value, json};

use super::refusal::{
    ACCESS_DENIED, AUTHENTICATION_FAILED, CREDENTIAL_REQUIRED, NO_MODERATOR, PERMISSION_DENIED, Refusal, SUSPENDED,
    TOO_MANY_WEBHOOKS, UNKNOWN_ENDPOINT, invalid_param, no_such_webhook,
};
use super::world::{Token, World};

/// The queue of deliveries to users' webhooks.
pub(crate) const USER_QUEUE: &str = "userWebhookDeliver";
/// That of deliveries to system webhooks.
pub(crate) const SYSTEM_QUEUE: &str = "systemWebhookDeliver";
/// What `on` of a user's webhook may hold.
const WEBHOOK_TYPES: [&str; 8] = ["mention", "unfollow", "follow", "followed", "note", "reply", "renote", "reaction"];

/// JSON, or none for a 204.
type Answer = Result<Option<String>, Refusal>;
type Handler = fn(&mut World, &str, &Value) -> Answer;

struct Endpoint {
    name: &'static str,
    /// The permission that an app's token needs.
    kind: &'static str,
    /// Whether only a login's own token will do, and only a moderator's.
    secure: bool,
    moderator: bool,
    handler: Handler,
}

const fn endpoint(name: &'static str, kind: &'static str, handler: Handler) -> Endpoint {
    Endpoint { name, kind, secure: false, moderator: false, handler }
}

const ENDPOINTS: [Endpoint; 8] = [
    endpoint("i", "read:account", me),
    endpoint("i/webhooks/create", "write:account", create),
    endpoint("i/webhooks/list", "read:account", list),
    endpoint("i/webhooks/show", "read:account", show),
    endpoint("i/webhooks/update", "write:account", update),
    endpoint("i/webhooks/delete", "write:account", delete),
    Endpoint {
        secure: true,
        moderator: true,
        ..endpoint("admin/system-webhook/list", "read:admin:system-webhook", list_system)
    },
    Endpoint { moderator: true, ..endpoint("admin/queue/jobs", "read:admin:queue", jobs) },
];

/// Answers a call with `token`, the `i` or bearer token, null when there is none.
pub(super) fn answer(world: &mut World, name: &str, token: &Value, params: &Value) -> Answer {
    if let Some(session) = name.strip_prefix("miauth/").and_then(|rest| rest.strip_suffix("/check")) {
        return Ok(Some(check_session(world, session)));
    }
    let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| endpoint.name == name) else { return Err(UNKNOWN_ENDPOINT) };
    let token = match token {
        Value::Null => None,
        Value::String(token) => Some(world.tokens.get(token).cloned().ok_or(AUTHENTICATION_FAILED)?),
        _ => return Err(Refusal { status: 400, ..invalid_param("i", "must be string") }),
    };
    let user = admit(world, endpoint, token)?;
    (endpoint.handler)(world, &user, params)
}

/// Misskey's order of questions.
fn admit(world: &World, endpoint: &Endpoint, token: Option<Token>) -> Result<String, Refusal> {
    let is_secure = token.as_ref().is_some_and(|token| token.permissions.is_none());
    if endpoint.secure && !is_secure {
        return Err(ACCESS_DENIED);
    }
    let Token { user, permissions } = token.ok_or(CREDENTIAL_REQUIRED)?;
    let person = &world.people[&user];
    if person.is_suspended {
        return Err(SUSPENDED);
    }
    if endpoint.moderator && !person.is_moderator {
        return Err(NO_MODERATOR);
    }
    if permissions.is_some_and(|permissions| !permissions.iter().any(|permission| permission == endpoint.kind)) {
        return Err(PERMISSION_DENIED);
    }
    Ok(user)
}

fn packed(world: &World, user: &str) -> String {
    let person = &world.people[user];
    format!(
        "{{\"id\":{},\"name\":{},\"username\":{},\"host\":null,\"avatarUrl\":null,\"isBot\":false,\"isCat\":false,\
         \"emojis\":{{}},\"onlineStatus\":\"active\",\"pinnedNotes\":[],\"roles\":[],\"policies\":{{\"webhookLimit\":{}}}",
        json!(user),
        person.name,
        json!(person.username),
        person.webhook_limit
    )
}

fn me(world: &mut World, user: &str, _params: &Value) -> Answer {
    let is_moderator = world.people[user].is_moderator;
    Ok(Some(format!("{},\"isModerator\":{is_moderator},\"isAdmin\":false}}", packed(world, user))))
}

fn check_session(world: &mut World, session: &str) -> String {
    match world.sessions.remove(session) {
        None => json!({ "ok": false }).to_string(),
        Some(token) => {
            let user = packed(world, &world.tokens[&token].user);
            format!("{{\"ok\":true,\"token\":{},\"user\":{user}}}}}", json!(token))
        }
    }
}

fn list(world: &mut World, user: &str, _params: &Value) -> Answer {
    let mine: Vec<&Value> = world.webhooks.iter().filter(|webhook| webhook["userId"] == user).collect();
    Ok(Some(json!(mine).to_string()))
}

fn show(world: &mut World, user: &str, params: &Value) -> Answer {
    let index = find(world, user, params, "50f614d9-3047-4f7e-90d8-ad6b2d5fb098")?;
    Ok(Some(world.webhooks[index].to_string()))
}

fn create(world: &mut World, user: &str, params: &Value) -> Answer {
    for required in ["name", "url", "on"] {
        if params.get(required).is_none() {
            return Err(invalid_param("#/required", &format!("must have required property '{required}'")));
        }
    }
    check(params)?;
    let count = world.webhooks.iter().filter(|webhook| webhook["userId"] == user).count();
    if count >= world.people[user].webhook_limit {
        return Err(TOO_MANY_WEBHOOKS);
    }
    let mut webhook = json!({
        "id": world.id(), "userId": user, "name": null, "on": [], "url": null, "secret": "", "active": true,
        "latestSentAt": null, "latestStatus": null,
    });
    put(&mut webhook, params);
    world.webhooks.push(webhook.clone());
    Ok(Some(webhook.to_string()))
}

fn update(world: &mut World, user: &str, params: &Value) -> Answer {
    check(params)?;
    let index = find(world, user, params, "fb0fea69-da18-45b1-828d-bd4fd1612518")?;
    put(&mut world.webhooks[index], params);
    Ok(None)
}

fn delete(world: &mut World, user: &str, params: &Value) -> Answer {
    let index = find(world, user, params, "bae73e5a-5522-4965-ae19-3a8688e71d82")?;
    world.webhooks.remove(index);
    Ok(None)
}

fn list_system(world: &mut World, _user: &str, _params: &Value) -> Answer {
    Ok(Some(json!(world.system_webhooks).to_string()))
}

fn jobs(world: &mut World, _user: &str, params: &Value) -> Answer {
    let queue = params["queue"].as_str().unwrap_or_default();
    if ![USER_QUEUE, SYSTEM_QUEUE].contains(&queue) {
        return Err(invalid_param("#/properties/queue/enum", "must be equal to one of the allowed values"));
    }
    let Some(states) = params["state"].as_array() else {
        return Err(invalid_param("#/properties/state/type", "must be array"));
    };
    let failed = states.iter().any(|state| state == "failed");
    let jobs = world.jobs.get(queue).filter(|_| failed).map(|jobs| jobs.join(",")).unwrap_or_default();
    Ok(Some(format!("[{jobs}]")))
}

fn find(world: &World, user: &str, params: &Value, no_such: &'static str) -> Result<usize, Refusal> {
    let Some(id) = params.get("webhookId") else {
        return Err(invalid_param("#/required", "must have required property 'webhookId'"));
    };
    if !id.as_str().is_some_and(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric())) {
        return Err(invalid_param("#/properties/webhookId/format", "must match format \"misskey:id\""));
    }
    let is_it = |webhook: &Value| webhook["id"] == *id && webhook["userId"] == user;
    world.webhooks.iter().position(is_it).ok_or_else(|| no_such_webhook(no_such))
}

/// The schemas of `create` and `update`, which agree on what a value may be.
fn check(params: &Value) -> Result<(), Refusal> {
    for (key, least, most, nullable) in [("name", 1, 100, false), ("url", 1, 1024, false), ("secret", 0, 1024, true)] {
        let Some(value) = params.get(key).filter(|value| !(nullable && value.is_null())) else { continue };
        let Some(text) = value.as_str() else {
            return Err(invalid_param(&format!("#/properties/{key}/type"), "must be string"));
        };
        if !(least..=most).contains(&text.chars().count()) {
            let reason = format!("must NOT have fewer than {least} or more than {most} characters");
            return Err(invalid_param(&format!("#/properties/{key}"), &reason));
        }
    }
    if let Some(on) = params.get("on") {
        let known = |kind: &Value| kind.as_str().is_some_and(|kind| WEBHOOK_TYPES.contains(&kind));
        if !on.as_array().is_some_and(|on| on.iter().all(known)) {
            return Err(invalid_param("#/properties/on/items/enum", "must be equal to one of the allowed values"));
        }
    }
    if params.get("active").is_some_and(|active| !active.is_boolean()) {
        return Err(invalid_param("#/properties/active/type", "must be boolean"));
    }
    Ok(())
}

fn put(webhook: &mut Value, params: &Value) {
    for key in ["name", "url", "secret", "on", "active"] {
        if let Some(value) = params.get(key) {
            webhook[key] = if value.is_null() { json!("") } else { value.clone() };
        }
    }
}
