//! Looks into an event's body, which nobody has read before, for what a message shows.
//!
//! A body is JSON from any Misskey, old, new or forked: a key may be missing, of another kind, or there twice (the last
//! counts), a text may have half a character in it, a number may be beyond all numbers. Whatever cannot be read is not there.
//! An object is gone through once, for the keys that are asked for; the rest is skipped, however deep it is.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// An object's members under some keys, found and not read.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    keys: &'static [&'static str],
    found: Vec<Option<&'a RawValue>>,
}

impl<'a> Object<'a> {
    /// The members under `keys` of the object in `json`; none of them when it is no object.
    pub(super) fn read(json: &'a [u8], keys: &'static [&'static str]) -> Self {
        let mut found = vec![None; keys.len()];
        let mut reader = serde_json::Deserializer::from_slice(json);
        let _what_was_found_until_then = Members { keys, found: &mut found }.deserialize(&mut reader);
        Self { keys, found }
    }

    fn raw(&self, key: &str) -> Option<&'a str> {
        let place = self.keys.iter().position(|known| *known == key);
        debug_assert!(place.is_some(), "{key} is not among the keys that were looked for");
        self.found.get(place?).copied().flatten().map(RawValue::get)
    }

    /// The object under `key`, with its members under `keys`.
    pub(super) fn object(&self, key: &str, keys: &'static [&'static str]) -> Option<Self> {
        self.raw(key).filter(|raw| raw.starts_with('{')).map(|raw| Self::read(raw.as_bytes(), keys))
    }

    /// The first `max` objects of the array under `key`, and how many items the array has.
    pub(super) fn objects(&self, key: &str, max: usize, keys: &'static [&'static str]) -> (Vec<Self>, usize) {
        let items = self.raw(key).and_then(|raw| Items { max }.read(raw)).unwrap_or_default();
        let objects = items.first.iter().filter(|raw| raw.get().starts_with('{'));
        (objects.map(|raw| Self::read(raw.get().as_bytes(), keys)).collect(), items.count)
    }

    /// The text under `key`.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let Text(text) = serde_json::from_str(self.raw(key).filter(|raw| raw.starts_with('"'))?).ok()?;
        Some(text)
    }

    /// True or false, under `key`.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.raw(key).and_then(|raw| raw.parse().ok())
    }

    /// The number under `key`, rounded down.
    pub(super) fn whole(&self, key: &str) -> Option<u64> {
        let digits = self.raw(key)?.split(['.', 'e', 'E']).next()?;
        digits.parse().ok()
    }
}

/// Finds members.
struct Members<'a, 'k> {
    keys: &'k [&'static str],
    found: &'k mut [Option<&'a RawValue>],
}

impl<'de> DeserializeSeed<'de> for Members<'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(Key(self.keys))? {
            match place {
                Some(place) => self.found[place] = Some(map.next_value::<&RawValue>()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A key's place among those that are looked for. Read as bytes, because it may hold half a character.
struct Key<'k>(&'k [&'static str]);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| known.as_bytes() == key))
    }
}

#[derive(Default)]
struct Found<'a> {
    first: Vec<&'a RawValue>,
    count: usize,
}

/// Reads an array's first items, and counts them all.
struct Items {
    max: usize,
}

impl Items {
    fn read(self, json: &str) -> Option<Found<'_>> {
        serde_json::Deserializer::from_str(json).deserialize_seq(self).ok()
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found::default();
        while found.first.len() < self.max
            && let Some(item) = seq.next_element()?
        {
            found.first.push(item);
            found.count += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            found.count += 1;
        }
        Ok(found)
    }
}

/// A text in which half a character has become U+FFFD.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(match std::str::from_utf8(bytes) {
                    Ok(text) => text.to_owned(),
                    // serde_json writes half a character as three bytes.
                    Err(_) => String::from_utf8_lossy(bytes).replace("\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}"),
                }))
            }
        }

        deserializer.deserialize_bytes(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_is_read_as_far_as_it_goes_and_the_rest_is_not_there() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let json = format!(
            r#"{{ "\ud800":1,"x":{deep},"huge":1e999,"text":"first","text":"a\ud83d b\u00e9","flag":true,"number":3.9,
                 "object":{{"in":"side"}},"list":[{{"n":"1"}},2,{{"n":"3"}},null],"null":null }}"#
        );
        let keys = &["text", "flag", "number", "huge", "object", "list", "null", "absent"];
        let object = Object::read(json.as_bytes(), keys);
        assert_eq!(object.text("text").as_deref(), Some("a\u{fffd} bé"));
        assert_eq!((object.flag("flag"), object.whole("number")), (Some(true), Some(3)));
        assert_eq!((object.text("flag"), object.flag("text"), object.whole("text")), (None, None, None));
        assert_eq!(object.object("object", &["in"]).and_then(|inner| inner.text("in")).as_deref(), Some("side"));
        let (objects, count) = object.objects("list", 2, &["n"]);
        assert_eq!((objects.len(), count), (1, 4));
        assert!(object.object("list", &["in"]).is_none() && object.text("null").is_none());
        assert!(object.text("absent").is_none());
    }

    #[test]
    fn what_is_no_object_has_nothing() {
        for json in ["[]", "7", "", "{", "{\"text\":"] {
            assert!(Object::read(json.as_bytes(), &["text"]).text("text").is_none(), "{json}");
        }
    }
}
