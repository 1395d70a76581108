//! Walks the tree of values section by section, and notes everything that is wrong on the way.
//!
//! A section is read inside a closure ([`Section::section`], [`Section::sections`]). Each getter marks its key as
//! known; when the closure is done, every key that no getter asked for is a problem. A getter returns `None` when the
//! setting is absent or wrong, so reading always goes to the end and all problems are reported at once.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Map, Value, ValueKind};

use super::problem::Problem;
use super::sources::variable_of;
use super::values;
use crate::model::nearest;

/// What reading a tree came to.
pub(super) struct Reading<T> {
    /// What the outermost closure returned.
    pub(super) outcome: T,
    /// Everything that is wrong.
    pub(super) problems: Vec<Problem>,
    /// Every key that was asked for, there or not, with full path.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests compare it with the example"))]
    pub(super) known: BTreeSet<String>,
}

/// Reads `tree`, whose values are those of `file` unless a variable gave them.
pub(super) fn read<T>(tree: &Value, file: &str, reading: impl FnOnce(&mut Section<'_, '_>) -> T) -> Reading<T> {
    let mut notes = Notes { file, known: BTreeSet::new(), problems: Vec::new() };
    let mut root = Section { notes: &mut notes, path: String::new(), table: table_of(tree) };
    let outcome = reading(&mut root);
    root.report_unknown();
    Reading { outcome, problems: notes.problems, known: notes.known }
}

struct Notes<'v> {
    file: &'v str,
    known: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Notes<'_> {
    /// Where `value`, found at `path`, was given.
    fn origin(&self, path: &str, value: &Value) -> String {
        variable_of(path, value).unwrap_or_else(|| self.file.to_owned())
    }

    /// Where the values below `path` were given.
    fn origins(&self, path: &str, value: &Value) -> BTreeSet<String> {
        match &value.kind {
            ValueKind::Table(table) if !table.is_empty() => {
                table.iter().flat_map(|(key, value)| self.origins(&format!("{path}.{key}"), value)).collect()
            }
            _ => BTreeSet::from([self.origin(path, value)]),
        }
    }
}

fn table_of(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

/// One section of the tree, there or not.
pub(super) struct Section<'n, 'v> {
    notes: &'n mut Notes<'v>,
    path: String,
    table: Option<&'v Map<String, Value>>,
}

impl<'v> Section<'_, 'v> {
    /// Reads the section `key` of this one.
    pub(super) fn section<T>(&mut self, key: &str, reading: impl FnOnce(&mut Section<'_, 'v>) -> T) -> T {
        let table = self.typed(key, |value| table_of(value).ok_or_else(|| no_section(key, value)));
        self.read_below(self.path_of(key), table, reading)
    }

    /// Reads each entry of the list of sections `key`; an entry that is no section is a problem and is left out.
    pub(super) fn sections<T>(
        &mut self,
        key: &str,
        mut reading: impl FnMut(&mut Section<'_, 'v>, usize) -> T,
    ) -> Vec<T> {
        let expected = format!("must be sections, each headed [[{key}]]");
        let entries = self.typed(key, |value| match &value.kind {
            ValueKind::Array(entries) => Ok(entries.as_slice()),
            _ => Err(format!("{expected}, and this is {}", values::kind(value))),
        });
        let mut outcomes = Vec::new();
        for (index, entry) in entries.unwrap_or_default().iter().enumerate() {
            let path = self.path_of(&format!("{key}[{index}]"));
            match table_of(entry) {
                Some(table) => outcomes.push(self.read_below(path, Some(table), |entry| reading(entry, index))),
                None => self.complain(key, path, format!("{expected}, and this is {}", values::kind(entry))),
            }
        }
        outcomes
    }

    /// Whether there is such a section.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether `key` is given, be it right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Notes a problem of each of `keys` that is absent.
    pub(super) fn require(&mut self, keys: &[&str]) {
        for key in keys {
            if self.find(key).is_none() {
                self.problem(key, "it is missing".to_owned());
            }
        }
    }

    /// Notes a problem of the setting `key`.
    pub(super) fn problem(&mut self, key: &str, what: String) {
        self.complain(key, self.path_of(key), what);
    }

    /// Notes a problem of what lies at `place` in this section, e.g. `.in[2]`; of the section itself when that is empty.
    pub(super) fn problem_below(&mut self, place: &str, what: String) {
        let key = place.trim_start_matches('.').split('[').next().unwrap_or_default();
        self.complain(key, format!("{}{place}", self.path), what);
    }

    /// A value of any kind, if `parse` takes it.
    pub(super) fn value<T>(&mut self, key: &str, parse: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        self.typed(key, parse)
    }

    /// A whole number within `allowed`.
    pub(super) fn whole<T>(&mut self, key: &str, allowed: RangeInclusive<T>) -> Option<T>
    where
        T: Copy + PartialOrd + Display + TryFrom<i128>,
    {
        self.typed(key, |value| values::whole(value, &allowed))
    }

    /// A number within `allowed`, fractions too.
    pub(super) fn number(&mut self, key: &str, allowed: RangeInclusive<f64>) -> Option<f64> {
        self.typed(key, |value| values::number(value, &allowed))
    }

    /// A whole number of seconds within `allowed`.
    pub(super) fn whole_seconds(&mut self, key: &str, allowed: RangeInclusive<u64>) -> Option<Duration> {
        self.whole(key, allowed).map(Duration::from_secs)
    }

    /// A whole number of milliseconds within `allowed`.
    pub(super) fn millis(&mut self, key: &str, allowed: RangeInclusive<u64>) -> Option<Duration> {
        self.whole(key, allowed).map(Duration::from_millis)
    }

    /// True or false; from a variable, a text that says so.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let path = self.path_of(key);
        self.typed(key, |value| match &value.kind {
            ValueKind::String(text) if variable_of(&path, value).is_some() => values::flag_word(text),
            _ => values::flag(value),
        })
    }

    /// A text that `parse` takes.
    pub(super) fn text<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.typed(key, |value| values::text(value).and_then(parse))
    }

    /// A text that is one of `words`.
    pub(super) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        self.text(key, |text| {
            let allowed = || words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|&(_, meant)| meant).ok_or_else(|| format!("it is {text:?}, and allowed are {}", allowed()))
        })
    }

    /// A list of at most `max` items that `parse` takes; from a variable, a text with commas between the items.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        max: usize,
        parse: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let path = self.path_of(key);
        let values = self.typed(key, |value| match &value.kind {
            ValueKind::Array(values) => Ok(values.clone()),
            ValueKind::String(text) if variable_of(&path, value).is_some() => Ok(split(text)),
            _ => Err(format!("must be a list in square brackets, and this is {}", values::kind(value))),
        })?;
        if values.len() > max {
            self.problem(key, format!("it has {} items, and {max} are allowed", values.len()));
            return None;
        }
        let mut items = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            match parse(value) {
                Ok(item) => items.push(item),
                Err(what) => self.complain(key, format!("{path}[{index}]"), what),
            }
        }
        (items.len() == values.len()).then_some(items)
    }

    /// What `parse` makes of the value of `key`, which becomes known; its words are a problem of `key`.
    fn typed<T>(&mut self, key: &str, parse: impl FnOnce(&'v Value) -> Result<T, String>) -> Option<T> {
        self.notes.known.insert(self.path_of(key));
        match parse(self.find(key)?) {
            Ok(outcome) => Some(outcome),
            Err(what) => {
                self.problem(key, what);
                None
            }
        }
    }

    fn read_below<T>(
        &mut self,
        path: String,
        table: Option<&'v Map<String, Value>>,
        reading: impl FnOnce(&mut Section<'_, 'v>) -> T,
    ) -> T {
        let mut section = Section { notes: &mut *self.notes, path, table };
        let outcome = reading(&mut section);
        section.report_unknown();
        outcome
    }

    fn find(&self, key: &str) -> Option<&'v Value> {
        self.table.and_then(|table| table.get(key))
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn complain(&mut self, key: &str, path: String, what: String) {
        let origin = match self.find(key) {
            Some(value) => self.notes.origin(&self.path_of(key), value),
            None => self.notes.file.to_owned(),
        };
        self.notes.problems.push(Problem::of_key(Some(origin), path, what));
    }

    fn report_unknown(&mut self) {
        let mut unknown: Vec<(&String, &Value)> = self.table.into_iter().flatten().collect();
        unknown.retain(|(key, _)| !self.notes.known.contains(&self.path_of(key)));
        unknown.sort_by_key(|(key, _)| *key);
        for (key, value) in unknown {
            let path = self.path_of(key);
            let kind = if table_of(value).is_some() { "section" } else { "setting" };
            let what = match nearest(key, self.known_keys()) {
                Some(meant) => format!("unknown {kind}; did you mean `{meant}`?"),
                None => format!("unknown {kind}; here are known: {}", self.known_keys().collect::<Vec<_>>().join(", ")),
            };
            for origin in self.notes.origins(&path, value) {
                self.notes.problems.push(Problem::of_key(Some(origin), path.clone(), what.clone()));
            }
        }
    }

    fn known_keys(&self) -> impl Iterator<Item = &str> {
        let prefix = self.path_of("");
        self.notes
            .known
            .iter()
            .filter_map(move |known| known.strip_prefix(prefix.as_str()))
            .filter(|key| !key.contains(['.', '[']))
    }
}

fn no_section(key: &str, value: &Value) -> String {
    format!("must be a section headed [{key}], and this is {}", values::kind(value))
}

/// The items of a variable's text; none of an empty one.
fn split(text: &str) -> Vec<Value> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| Value::new(None, item.trim())).collect()
}
