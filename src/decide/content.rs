//! An event's body as its webhooks' filters see it: read where they look, once, and never changed.
//!
//! Nothing is read before the first look. An object or array on the way is split into its members, whose text is left as it
//! is; so a look costs at most one reading of the body for each step of its path, all looks together cost no more, and
//! neither depth nor number sizes nor lone surrogates matter: what the way in takes as JSON can be read here. (A parser for
//! whole values refuses a body that is over 128 deep, and half a surrogate pair.) In memory it is at most some twenty times
//! the body, until the event is fanned out.
//!
//! In a text, no more than its first [`SEARCHED_BYTES_MAX`] are searched, for the texts to look for may be many.
//!
//! Of members with the same name the last one counts, as for JavaScript's `JSON.parse`.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::{Body, Decimal, Pointer};

/// Bytes of a text that are searched for others in it: Misskey's longest note has 8,192 characters, 24 KiB.
pub const SEARCHED_BYTES_MAX: usize = 32 * 1024;

/// A body that is being looked into.
#[derive(Debug)]
pub struct Content<'a> {
    body: &'a Body,
    root: OnceCell<Option<Node<'a>>>,
    nothing: Found<'a>,
}

/// A value whose text has been found, and is read at the first look.
#[derive(Debug)]
struct Node<'a> {
    text: &'a str,
    value: OnceCell<Box<Found<'a>>>,
}

/// What lies at a path. Nothing is null.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Null,
    Flag(bool),
    /// None: beyond all numbers that are compared.
    Number(Option<Decimal>),
    Text(Text<'a>),
    Array(Array<'a>),
    Object(Object<'a>),
}

#[derive(Debug)]
pub(super) struct Text<'a> {
    pub(super) text: Cow<'a, str>,
    lowered: OnceCell<String>,
}

#[derive(Debug)]
pub(super) struct Array<'a> {
    elements: Vec<Node<'a>>,
    lowered: OnceCell<HashSet<String>>,
}

#[derive(Debug)]
pub(super) struct Object<'a>(HashMap<Cow<'a, str>, Node<'a>>);

impl<'a> Content<'a> {
    /// Reads nothing yet.
    pub fn of(body: &'a Body) -> Self {
        Self { body, root: OnceCell::new(), nothing: Found::Null }
    }

    /// What lies at `path`; nothing when the body is no JSON, which no way in lets through.
    pub(super) fn at(&self, path: &Pointer) -> Option<&Found<'a>> {
        let root = self.root.get_or_init(|| serde_json::from_slice::<&RawValue>(self.body.bytes()).ok().map(Node::of));
        let mut node = root.as_ref()?;
        for step in path.steps() {
            let below = match node.found() {
                Found::Object(object) => object.0.get(step.as_str()),
                Found::Array(array) => index(step).and_then(|index| array.elements.get(index)),
                Found::Null | Found::Flag(_) | Found::Number(_) | Found::Text(_) => None,
            };
            let Some(below) = below else { return Some(&self.nothing) };
            node = below;
        }
        Some(node.found())
    }
}

impl<'a> Node<'a> {
    fn of(raw: &'a RawValue) -> Self {
        Self { text: raw.get(), value: OnceCell::new() }
    }

    fn found(&self) -> &Found<'a> {
        self.value.get_or_init(|| Box::new(Found::read(self.text)))
    }
}

impl<'a> Found<'a> {
    /// Reads the text of one value, which has been found to be JSON.
    fn read(text: &'a str) -> Self {
        match text.as_bytes().first() {
            Some(b'{') => serde_json::from_str(text).map_or(Self::Null, Self::Object),
            Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(elements) => {
                    let elements = elements.into_iter().map(Node::of).collect();
                    Self::Array(Array { elements, lowered: OnceCell::new() })
                }
                Err(_) => Self::Null,
            },
            Some(b'"') => match text_of(text) {
                Some(text) => Self::Text(Text { text, lowered: OnceCell::new() }),
                None => Self::Null,
            },
            Some(b't') => Self::Flag(true),
            Some(b'f') => Self::Flag(false),
            Some(b'-' | b'0'..=b'9') => Self::Number(Decimal::read(text)),
            _ => Self::Null,
        }
    }
}

impl Text<'_> {
    /// Its beginning, as far as it is searched, in lower case.
    pub(super) fn lowered(&self) -> &str {
        self.lowered.get_or_init(|| {
            let (searched, _) = self.text.split_at(self.text.floor_char_boundary(SEARCHED_BYTES_MAX));
            searched.to_lowercase()
        })
    }
}

impl Array<'_> {
    /// The texts among its elements, in lower case.
    pub(super) fn lowered(&self) -> &HashSet<String> {
        self.lowered.get_or_init(|| {
            let texts = self.elements.iter().filter(|element| element.text.starts_with('"'));
            texts.filter_map(|element| text_of(element.text)).map(|text| text.to_lowercase()).collect()
        })
    }
}

/// An index as RFC 6901 writes it: without zeros before it.
fn index(step: &str) -> Option<usize> {
    let is_plain = step == "0" || (!step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit()));
    is_plain.then(|| step.parse().ok()).flatten()
}

fn text_of(text: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Lossy<'_>>(text).ok().map(|lossy| lossy.0)
}

/// A JSON string with U+FFFD where half a surrogate pair stands; asked for as bytes, the parser lets it pass.
#[derive(PartialEq, Eq, Hash)]
struct Lossy<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Lossy<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Lossy<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Lossy<'de>, E> {
                Ok(Lossy(String::from_utf8_lossy(bytes)))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Lossy<'de>, E> {
                Ok(Lossy(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = HashMap::new();
                while let Some((Lossy(name), raw)) = map.next_entry::<Lossy<'de>, &'de RawValue>()? {
                    members.insert(name, Node::of(raw));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn body(text: &str) -> Body {
        Body::from_checked(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// What is found at `path`, in a short form.
    fn at(text: &str, path: &str) -> String {
        let body = body(text);
        let content = Content::of(&body);
        match content.at(&Pointer::read(path).expect("a path")).expect("JSON") {
            Found::Null => "null".to_owned(),
            Found::Flag(flag) => flag.to_string(),
            Found::Number(number) => format!("number {}", number.is_some()),
            Found::Text(text) => text.text.to_string(),
            Found::Array(array) => format!("array of {}", array.elements.len()),
            Found::Object(object) => format!("object of {}", object.0.len()),
        }
    }

    #[test]
    fn a_path_leads_through_objects_and_arrays_to_every_kind_of_value() {
        let text = r#" {"a":{"b":[1,{"c":"d"},null,true,[]]},"":{"~/":"odd"},"0":"zero","é":"\u00e9"} "#;
        for (path, found) in [
            ("/a", "object of 1"),
            ("/a/b", "array of 5"),
            ("/a/b/0", "number true"),
            ("/a/b/1/c", "d"),
            ("/a/b/2", "null"),
            ("/a/b/3", "true"),
            ("/a/b/4", "array of 0"),
            ("//~0~1", "odd"),
            ("/0", "zero"),
            ("/é", "é"),
            ("/a/b/5", "null"),
            ("/a/b/00", "null"),
            ("/a/b/-", "null"),
            ("/a/b/+1", "null"),
            ("/a/b/", "null"),
            ("/a/b/99999999999999999999999", "null"),
            ("/b", "null"),
            ("/a/b/0/x", "null"),
        ] {
            assert_eq!(at(text, path), found, "{path}");
        }
    }

    #[test]
    fn of_members_with_one_name_the_last_counts_and_half_a_surrogate_pair_spoils_nothing() {
        assert_eq!(at(r#"{"a":1,"a":"second"}"#, "/a"), "second");
        assert_eq!(at(r#"{"\ud800":1,"a":{"\udfff":[],"b":"x\ud800y"}}"#, "/a/b"), "x\u{fffd}\u{fffd}\u{fffd}y");
        assert_eq!(at(r#"{"n":1e999,"big":1e99999999999999999999,"a":"b"}"#, "/a"), "b");
        assert_eq!(at(r#"{"big":1e99999999999999999999}"#, "/big"), "number false");
    }

    #[test]
    fn a_body_deeper_than_any_parser_goes_is_read_beside_the_depth_and_within_it() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!(r#"{{"deep":{deep},"a":{{"b":"c"}}}}"#);
        assert_eq!(at(&text, "/a/b"), "c");
        assert_eq!(at(&text, "/deep/0/0/0"), "array of 1");
        let objects = format!("{}{{\"b\":\"c\"}}{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        assert_eq!(at(&objects, "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a"), "object of 1");
    }

    #[test]
    fn nothing_is_found_in_what_is_no_json() {
        let body = body("{");
        assert!(Content::of(&body).at(&Pointer::read("/a").expect("a path")).is_none());
    }

    proptest::proptest! {
        #[test]
        fn texts_are_found_as_a_whole_parser_finds_them(name in ".{0,8}", value in ".{0,20}", other in ".{0,8}") {
            let whole = serde_json::json!({ name.clone(): { other.clone(): value } });
            let path = Pointer::read(&format!("/{}/{}", escaped(&name), escaped(&other)));
            if let Ok(path) = path {
                let body = body(&whole.to_string());
                let content = Content::of(&body);
                let Some(Found::Text(text)) = content.at(&path) else { panic!("no text") };
                proptest::prop_assert_eq!(&*text.text, whole[&name][&other].as_str().expect("a text"));
            }
        }
    }

    fn escaped(step: &str) -> String {
        step.replace('~', "~0").replace('/', "~1")
    }
}
