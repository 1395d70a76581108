//! The rules of the house that a machine can check: layers, purity, headers, sizes, names, limits.
//!
//! The layers are read from ARCHITECTURE.md, so the printed list is the tested one. Every rule ([`rules`]) is applied twice:
//! here to the whole tree, and in [`examples`] to a bad example, which shows that it can fail.
//!
//! Sources are read as tokens ([`source`]), so comments and string literals never count. Production code is what stands
//! before the `#[cfg(test)]` module that ends a file; a file of tests (`tests.rs`, or in a folder `tests`) has none.

#[path = "architecture/dependencies.rs"]
mod dependencies;
#[path = "architecture/examples.rs"]
mod examples;
#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;

use std::fs;
use std::path::Path;

use dependencies::{Lists, packages};
use layers::Layers;
use rules::{
    decider_faults, file_length_faults, function_length_faults, header_faults, layer_faults, limitless_faults,
    name_faults, purity_faults,
};
use source::{production, tokens};

struct File {
    path: String,
    text: String,
}

fn read(path: &str) -> String {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(full).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// Every Rust source under `folder`, in a fixed order.
fn sources(folder: &str) -> Vec<File> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(full).unwrap_or_else(|error| panic!("{folder} cannot be listed: {error}"));
    let mut entries: Vec<(String, bool)> = entries
        .flatten()
        .map(|entry| (format!("{folder}/{}", entry.file_name().to_string_lossy()), entry.path().is_dir()))
        .collect();
    entries.sort();
    let files = |(path, is_folder): (String, bool)| match is_folder {
        true => sources(&path),
        false if path.ends_with(".rs") => vec![File { text: read(&path), path }],
        false => Vec::new(),
    };
    entries.into_iter().flat_map(files).collect()
}

fn assert_none(files: &[File], rule: impl Fn(&str, &str) -> Vec<String>) {
    let faults: Vec<String> = files.iter().flat_map(|file| rule(&file.path, &file.text)).collect();
    assert!(faults.is_empty(), "{} places break the rule:\n{}", faults.len(), faults.join("\n"));
}

fn all_sources() -> Vec<File> {
    sources("src").into_iter().chain(sources("tests")).collect()
}

#[test]
fn every_module_imports_only_from_the_layers_below_it() {
    let layers = Layers::read(&read("ARCHITECTURE.md"));
    assert_none(&sources("src"), |path, text| layer_faults(path, text, &layers));
}

#[test]
fn pure_modules_are_pure() {
    assert_none(&sources("src"), purity_faults);
}

#[test]
fn every_source_opens_with_a_header() {
    assert_none(&all_sources(), header_faults);
}

#[test]
fn files_are_short() {
    assert_none(&sources("src"), file_length_faults);
}

#[test]
fn functions_are_short() {
    assert_none(&sources("src"), function_length_faults);
}

#[test]
fn names_say_what_is_inside() {
    assert_none(&all_sources(), name_faults);
}

#[test]
fn no_channel_is_unbounded() {
    assert_none(&all_sources(), limitless_faults);
}

#[test]
fn a_deliverys_fate_is_decided_in_one_place() {
    assert_none(&sources("src"), decider_faults);
    let asks = |file: &File| tokens(production(&file.path, &file.text)).iter().any(|token| token.text == "next_step");
    assert!(sources("src/deliver").iter().any(asks), "nobody asks the decider");
}

#[test]
fn what_it_is_built_of_is_allowed_by_its_licence_its_name_and_where_it_comes_from() {
    let packages = packages();
    assert!(packages.len() > 100, "cargo tells only {} packages", packages.len());
    let faults = Lists::read(&read("deny.toml")).faults(&packages);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_walk_reads_folders_within_folders() {
    let paths: Vec<String> = all_sources().into_iter().map(|file| file.path).collect();
    for path in ["src/lib.rs", "src/model/mod.rs", "tests/architecture.rs"] {
        assert!(paths.iter().any(|found| found == path), "{path} is missing among {paths:?}");
    }
}
