//! `[[webhooks]]`: registrations declared in the file.
//!
//! What a registration may hold is said by `model`; this only asks. A webhook with a mistake is left out of the list,
//! which nobody sees, because a mistake ends the start.

use std::collections::HashMap;

use crate::model::{
    EventType, Options, Origin, Owner, RATE_BURST, RATE_PER_SECOND, RateLimit, Secret, Status, Timestamp, UserId,
    Webhook, WebhookError, WebhookId, check_format, check_name, check_secret, check_source, check_url, each_once,
};

use super::reader::Section;
use super::{client_certificate, delivery, filters, signing, values};

/// Event types of one webhook; Misskey knows about a dozen.
const TYPES_MAX: usize = 100;

/// Reads every `[[webhooks]]`.
pub(super) fn read(root: &mut Section<'_, '_>) -> Vec<Webhook> {
    let mut places = HashMap::new();
    root.sections("webhooks", |section, index| {
        let webhook_id = section.text("id", |text| WebhookId::new(text).map_err(|error| error.to_string()));
        if let Some(id) = &webhook_id {
            match places.get(id) {
                Some(place) => section.problem("id", format!("webhooks[{place}] has the id {id} too; ids must differ")),
                None => {
                    places.insert(id.clone(), index);
                }
            }
        }
        read_one(section, webhook_id)
    })
    .into_iter()
    .flatten()
    .collect()
}

/// The webhook of one section; none when something that it cannot be without is absent or wrong.
fn read_one(section: &mut Section<'_, '_>, id: Option<WebhookId>) -> Option<Webhook> {
    section.require(&["id", "url", "on"]);
    let user = section.text("user_id", |text| UserId::new(text).map_err(|error| error.to_string()));
    let source = section.text("source", |text| check_source(text).map_err(|error| bare_words(&error)));
    let name = section.text("name", |text| check_name(text).map_err(|error| bare_words(&error)));
    let url = section.text("url", |text| check_url(text).map_err(|error| bare_words(&error)));
    let secret = section.text("secret", |text| check_secret(text).map_err(|error| bare_words(&error)));
    let on =
        section.list("on", TYPES_MAX, |value| EventType::new(values::text(value)?).map_err(|error| error.to_string()));
    if on.as_ref().is_some_and(Vec::is_empty) {
        section.problem("on", "it names no event type; to stop a webhook for a while, set active = false".to_owned());
    }
    let is_active = section.flag("active").unwrap_or(true);
    let options = read_options(section);
    Some(Webhook {
        id: id?,
        owner: user.map_or(Owner::System, Owner::User),
        source: source.unwrap_or_default(),
        name: name.unwrap_or_default(),
        url: url?,
        secret: secret.unwrap_or_else(|| Secret::new("")),
        on: each_once(on?),
        status: if is_active { Status::Active } else { Status::Paused },
        options,
        origin: Origin::Settings,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    })
}

fn read_options(section: &mut Section<'_, '_>) -> Options {
    let default = Options::default();
    Options {
        retry_schedule: delivery::retry_schedule(section),
        max_age: delivery::max_age(section),
        timeout: delivery::timeout(section),
        format: section
            .text("format", |text| check_format(text).map_err(|error| bare_words(&error)))
            .unwrap_or(default.format),
        send_secret: section.flag("send_secret").unwrap_or(default.send_secret),
        signing: signing::read(section),
        client_certificate: client_certificate::read(section),
        rate_limit: read_rate_limit(section),
        filters: filters::read(section),
    }
}

/// `rate_limit = { per_second = 5, burst = 10 }`.
fn read_rate_limit(section: &mut Section<'_, '_>) -> Option<RateLimit> {
    section.section("rate_limit", |section| {
        let per_second = section.number("per_second", RATE_PER_SECOND);
        let burst = section.whole("burst", RATE_BURST);
        if section.is_there() {
            section.require(&["per_second"]);
        }
        // What is out of range has been told.
        RateLimit::new(per_second?, burst).ok()
    })
}

/// The error's words without the field's name, which a problem shows already.
pub(super) fn bare_words(error: &WebhookError) -> String {
    let words = error.to_string();
    words.split_once(": ").map_or(words.clone(), |(_, bare)| bare.to_owned())
}
