//! `[[webhooks.filters]]`: the conditions of a declared webhook, with names as settings have them (`not_equals`).
//!
//! What a condition may hold is said by `model`; this only brings it into the form that it takes there. TOML has no null,
//! and `exists = false` is the same.

use config::{Value, ValueKind};
use serde_json::{Map, Number, Value as Json};

use super::reader::Section;
use super::values;
use crate::model::Condition;

/// What a setting is called here, and what it is called in JSON.
const NAMES: [(&str, &str); 10] = [
    ("path", "path"),
    ("equals", "equals"),
    ("not_equals", "notEquals"),
    ("in", "in"),
    ("not_in", "notIn"),
    ("contains", "contains"),
    ("not_contains", "notContains"),
    ("starts_with", "startsWith"),
    ("exists", "exists"),
    ("types", "types"),
];

/// Reads every `[[webhooks.filters]]` of one webhook.
pub(super) fn read(webhook: &mut Section<'_, '_>) -> Vec<Condition> {
    let filters: Vec<_> = webhook.sections("filters", |section, _| read_one(section)).into_iter().flatten().collect();
    if let Err(what) = Condition::check_all(&filters) {
        webhook.problem("filters", in_settings(&what));
    }
    filters
}

fn read_one(section: &mut Section<'_, '_>) -> Option<Condition> {
    let mut fields = Map::new();
    let mut is_whole = true;
    for (name, in_json) in NAMES {
        let value = section.value(name, json);
        is_whole &= value.is_some() || !section.has(name);
        fields.extend(value.map(|value| (in_json.to_owned(), value)));
    }
    if !is_whole {
        return None;
    }
    match Condition::read("", &fields.into()) {
        Ok(condition) => Some(condition),
        Err(error) => {
            section.problem_below(&in_settings(&error.place), in_settings(&error.what));
            None
        }
    }
}

/// Words about a condition, with the names that it has in the settings.
fn in_settings(words: &str) -> String {
    NAMES.iter().fold(words.to_owned(), |words, (name, in_json)| words.replace(in_json, name))
}

fn json(value: &Value) -> Result<Json, String> {
    let no_number = || "it is a number that cannot be compared with".to_owned();
    Ok(match &value.kind {
        ValueKind::Boolean(flag) => Json::from(*flag),
        ValueKind::I64(number) => Json::from(*number),
        ValueKind::U64(number) => Json::from(*number),
        ValueKind::Float(number) => Json::from(Number::from_f64(*number).ok_or_else(no_number)?),
        ValueKind::String(text) => Json::from(text.as_str()),
        ValueKind::Array(values) => Json::Array(values.iter().map(json).collect::<Result<_, _>>()?),
        ValueKind::I128(_) | ValueKind::U128(_) => return Err(no_number()),
        ValueKind::Nil | ValueKind::Table(_) => {
            return Err(format!(
                "must be a text, a number, true, false or a list, and this is {}",
                values::kind(value)
            ));
        }
    })
}
