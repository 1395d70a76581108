//! Keeps `hikyaku.example.toml` equal to the code. There, prose begins with `# ` and a setting that is commented out
//! with `#` alone, so that taking away the `#` sets it.

use std::collections::BTreeSet;

use super::*;

const EXAMPLE: &str = include_str!("../../hikyaku.example.toml");
/// Where the files are that the example names.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/");

fn load(text: &str) -> Settings {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("hikyaku.toml"), text).expect("write");
    Settings::load_in(folder.path(), None, []).unwrap_or_else(|error| panic!("{error}"))
}

/// The example with everything that is commented out set.
fn uncommented() -> String {
    let setting = |line: &'static str| line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
    EXAMPLE
        .lines()
        .map(|line| setting(line).unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("/etc/hikyaku/", FILES)
}

/// Every `section.key` that stands in `text`.
fn keys_of(text: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_start_matches('[').split(']').next().expect("a header");
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            // Of a section within braces, its settings.
            let inner = value.strip_prefix('{').map(|inner| inner.split(',').filter_map(|pair| pair.split_once(" = ")));
            match inner {
                Some(pairs) => keys.extend(pairs.map(|(inner, _)| format!("{section}.{key}.{}", inner.trim()))),
                None => drop(keys.insert(format!("{section}.{key}"))),
            }
        }
    }
    keys
}

#[test]
fn the_example_as_it_is_gives_exactly_the_defaults() {
    assert_eq!(format!("{:#?}", load(EXAMPLE)), format!("{:#?}", Settings::default()));
}

#[test]
fn the_example_with_everything_set_is_valid() {
    let settings = load(&uncommented());
    assert!(!settings.webhooks.is_empty());
    assert!(settings.webhooks.iter().any(|webhook| webhook.options.signing.secret.current.is_some()));
}

/// `webhooks.filters.path` of `webhooks[1].filters[0].path`.
fn without_indices(key: &str) -> String {
    let mut parts = key.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| whole + part.split_once(']').map_or(part, |(_, rest)| rest))
}

#[test]
fn the_example_shows_every_setting_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("hikyaku.toml"), uncommented()).expect("write");
    let sources = sources::gather(None, folder.path(), []);
    let known = reader::read(&sources.tree, &sources.file, Settings::read).known;
    let known: BTreeSet<String> = known.iter().map(|key| without_indices(key)).collect();
    let is_of_sections = |key: &String| known.iter().any(|other| other.starts_with(&format!("{key}.")));
    let known: BTreeSet<String> =
        known.iter().filter(|key| key.contains('.') && !is_of_sections(key)).cloned().collect();
    assert_eq!(keys_of(&uncommented()), known);
}

#[test]
fn every_default_in_the_example_is_set_and_not_only_commented() {
    let set: BTreeSet<String> = keys_of(EXAMPLE);
    let commented: Vec<String> = keys_of(&uncommented()).into_iter().filter(|key| !set.contains(key)).collect();
    assert!(
        commented
            .iter()
            .all(|key| ["webhooks.", "misskey.ingest.", "server.tokens."].iter().any(|list| key.starts_with(list))),
        "{commented:?}"
    );
}
