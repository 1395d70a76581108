//! Whether a webhook's filters let an event through: every condition that is for its type must hold.
//!
//! - What is not there is `null`, as Misskey's servers of different age leave out what others send as null. So `equals: null`
//!   and `exists: false` say the same.
//! - `equals` and `in` compare texts to the letter and numbers as numbers; of different kinds nothing is equal.
//! - `contains` and `startsWith` take no regard to case. An array contains a text when one of its elements is that text.
//! - Each `not...` is the opposite of the other, for every content.
//! - A body that is no JSON, which no way in takes, passes: better one event too many than one lost.

use super::content::{Content, Found};
use crate::model::{Condition, EventType, Scalar, Test, Texts};

/// Whether an event of type `kind` with this content is one that `filters` let through.
pub fn passes(filters: &[Condition], kind: &EventType, content: &Content<'_>) -> bool {
    let mut for_it = filters.iter().filter(|condition| condition.types.is_empty() || condition.types.contains(kind));
    for_it.all(|condition| content.at(&condition.path).is_none_or(|found| holds(&condition.test, found)))
}

fn holds(test: &Test, found: &Found<'_>) -> bool {
    match test {
        Test::Equals(value) => is(found, value),
        Test::NotEquals(value) => !is(found, value),
        Test::In(values) => values.iter().any(|value| is(found, value)),
        Test::NotIn(values) => !values.iter().any(|value| is(found, value)),
        Test::Contains(texts) => contains(found, texts),
        Test::NotContains(texts) => !contains(found, texts),
        Test::StartsWith(texts) => {
            matches!(found, Found::Text(text) if texts.lowered().any(|sought| text.lowered().starts_with(sought)))
        }
        Test::Exists(there) => *there != matches!(found, Found::Null),
    }
}

fn is(found: &Found<'_>, value: &Scalar) -> bool {
    match (found, value) {
        (Found::Null, Scalar::Null) => true,
        (Found::Flag(found), Scalar::Flag(value)) => found == value,
        (Found::Number(found), Scalar::Number(_, value)) => found.as_ref() == Some(value),
        (Found::Text(found), Scalar::Text(value)) => found.text == *value,
        _ => false,
    }
}

fn contains(found: &Found<'_>, texts: &Texts) -> bool {
    match found {
        Found::Text(text) => texts.lowered().any(|sought| text.lowered().contains(sought)),
        Found::Array(array) => texts.lowered().any(|sought| array.lowered().contains(sought)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
