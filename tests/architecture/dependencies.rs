//! What the program may be built of: licences, banned crates and sources, by the lists of deny.toml, over the dependencies of every
//! platform as Cargo.lock has them.
//!
//! `cargo deny` reads the same lists (CONTRIBUTING.md); this is what of it can be checked wherever the tests run. Advisories are not
//! among it: they need a database that is not in the tree.
#![expect(clippy::expect_used, reason = "a test stops where something is not as it should be")]

use std::path::Path;
use std::process::Command;

use config::{Config, File, FileFormat};
use serde_json::Value;

/// What deny.toml says.
pub(crate) struct Lists {
    licences: Vec<String>,
    banned: Vec<String>,
    registries: Vec<String>,
}

/// A package of the tree.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) licence: Option<String>,
    /// Where it comes from; none: from a folder of this machine.
    pub(crate) source: Option<String>,
}

impl Lists {
    pub(crate) fn read(text: &str) -> Self {
        let read = Config::builder().add_source(File::from_str(text, FileFormat::Toml)).build().expect("TOML");
        let texts = |key: &str| -> Vec<String> {
            let list = read.get_array(key).unwrap_or_else(|error| panic!("deny.toml: {error}"));
            list.into_iter().map(|value| value.into_string().expect("a text")).collect()
        };
        let banned = read.get_array("bans.deny").expect("deny.toml has bans.deny").into_iter().map(|entry| {
            let mut entry = entry.into_table().expect("a table");
            entry.remove("crate").expect("a crate").into_string().expect("a text")
        });
        Self {
            licences: texts("licenses.allow"),
            banned: banned.collect(),
            registries: texts("sources.allow-registry"),
        }
    }

    /// What is wrong with `packages`, in words.
    pub(crate) fn faults(&self, packages: &[Package]) -> Vec<String> {
        packages.iter().flat_map(|package| self.faults_of(package)).collect()
    }

    fn faults_of(&self, package: &Package) -> Vec<String> {
        let Package { name, licence, source } = package;
        let mut faults = Vec::new();
        if self.banned.contains(name) {
            faults.push(format!("{name} is banned by deny.toml; build without it"));
        }
        let is_allowed = |text: &String| Expression { words: &words(text), at: 0 }.allowed_by(&self.licences);
        if !licence.as_ref().is_some_and(is_allowed) {
            let licence = licence.as_deref().unwrap_or("no licence");
            faults.push(format!("{name} has {licence}, which licenses.allow of deny.toml does not cover"));
        }
        let comes_from = |registry: &String| *source == Some(format!("registry+{registry}"));
        if name != env!("CARGO_PKG_NAME") && !self.registries.iter().any(comes_from) {
            faults.push(format!("{name} comes from {source:?}, and sources.allow-registry of deny.toml has not that"));
        }
        faults
    }
}

/// The words of a licence expression (SPDX), and its parentheses. A slash, as older crates write it, is an `OR`.
fn words(text: &str) -> Vec<String> {
    let spaced = text.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// A licence expression, read from left to right: `OR` binds less than `AND`.
struct Expression<'a> {
    words: &'a [String],
    at: usize,
}

impl Expression<'_> {
    fn allowed_by(mut self, licences: &[String]) -> bool {
        let is_allowed = self.any(licences);
        is_allowed && self.at == self.words.len()
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.words.get(self.at).is_some_and(|next| next == word);
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self, licences: &[String]) -> bool {
        let mut is_allowed = self.all(licences);
        while self.takes("OR") {
            is_allowed |= self.all(licences);
        }
        is_allowed
    }

    fn all(&mut self, licences: &[String]) -> bool {
        let mut is_allowed = self.one(licences);
        while self.takes("AND") {
            is_allowed &= self.one(licences);
        }
        is_allowed
    }

    fn one(&mut self, licences: &[String]) -> bool {
        if self.takes("(") {
            return self.any(licences) & self.takes(")");
        }
        let mut licence = self.words.get(self.at).cloned().unwrap_or_default();
        self.at += 1;
        if self.takes("WITH") {
            licence = format!("{licence} WITH {}", self.words.get(self.at).map_or("", String::as_str));
            self.at += 1;
        }
        licences.contains(&licence)
    }
}

/// Every package of the tree, as cargo says.
pub(crate) fn packages() -> Vec<Package> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let arguments = ["metadata", "--locked", "--all-features", "--format-version", "1"];
    let told = Command::new(env!("CARGO")).args(arguments).current_dir(folder).output().expect("cargo starts");
    assert!(told.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let text = |package: &Value, key: &str| package[key].as_str().map(str::to_owned);
    let packages = told["packages"].as_array().expect("packages").iter().map(|package| Package {
        name: text(package, "name").expect("a name"),
        licence: text(package, "license"),
        source: text(package, "source"),
    });
    packages.collect()
}
