//! Where settings come from: the file, and the variables `HIKYAKU__SECTION__KEY` over it, merged by the crate `config`.
//!
//! Out comes one tree of values, not yet typed. Values from variables know that they are (`Value::origin`); the others
//! are the file's. A variable that cannot name a setting is a problem and is left out of the tree: merged, it could
//! replace a whole section. A broken file is a problem too, and the variables are still read.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use config::{Config, ConfigError, Environment, FileFormat, Map, Value};

use super::credentials::{Credentials, FOLDER_VARIABLE};
use super::problem::Problem;

/// The file that is read, if it is there, when no other is named.
const FILE_NAME: &str = "hikyaku.toml";
/// Bytes that a file may have: some 50,000 declared webhooks.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What every variable of ours begins with.
const VARIABLE_PREFIX: &str = "HIKYAKU__";
/// How `config` marks a value that comes from a variable (documented at `config::Value`).
const VARIABLE_ORIGIN: &str = "the environment";

/// What was found.
pub(super) struct Sources {
    /// A table, values from variables over those of the file.
    pub(super) tree: Value,
    /// The file's name, as it is to be shown.
    pub(super) file: String,
    /// Whether the file, if there is one, is in the tree.
    pub(super) file_is_whole: bool,
    /// What could not be read.
    pub(super) problems: Vec<Problem>,
    /// Which of the variables are credentials.
    pub(super) credentials: Credentials,
}

/// Reads the file and the variables.
///
/// `file` was asked for and must be there; without it `hikyaku.toml` in `folder` is read when it is there. Of `env`
/// only names that begin with `HIKYAKU__` are looked at, and the one that leads to credentials.
pub(super) fn gather(file: Option<&Path>, folder: &Path, env: impl IntoIterator<Item = (String, String)>) -> Sources {
    let mut problems = Vec::new();
    let mut folder_of_credentials = None;
    let env = env.into_iter().inspect(|(name, value)| {
        if name == FOLDER_VARIABLE {
            folder_of_credentials = Some(value.clone());
        }
    });
    let given = variables(env, &mut problems);
    let credentials =
        folder_of_credentials.map(|folder| Credentials::read(Path::new(&folder), &mut problems)).unwrap_or_default();
    let mut variables = credentials.values.clone();
    // Where both are, the variable is what counts, and what is named.
    let credentials = credentials.without(&given);
    variables.extend(given);
    let path = file.map_or_else(|| folder.join(FILE_NAME), Path::to_path_buf);
    let name = path.display().to_string();
    let read = read_file(&path, file.is_some())
        .and_then(|text| merge(text.as_deref(), &variables).map_err(|error| parser_words(&error)));
    let (tree, file_is_whole) = match read {
        Ok(tree) => (tree, true),
        Err(what) => {
            problems.push(Problem::of_origin(&name, what));
            (merge(None, &variables).unwrap_or_default(), false)
        }
    };
    Sources { tree, file: name, file_is_whole, problems, credentials }
}

/// The variable that `value`, found at `path`, was given by; none: it is the file's.
pub(super) fn variable_of(path: &str, value: &Value) -> Option<String> {
    (value.origin() == Some(VARIABLE_ORIGIN))
        .then(|| format!("{VARIABLE_PREFIX}{}", path.replace('.', "__").to_ascii_uppercase()))
}

fn merge(text: Option<&str>, variables: &Map<String, String>) -> Result<Value, ConfigError> {
    let mut builder = Config::builder();
    if let Some(text) = text {
        builder = builder.add_source(config::File::from_str(text, FileFormat::Toml));
    }
    let environment =
        Environment::with_prefix("HIKYAKU").prefix_separator("__").separator("__").source(Some(variables.clone()));
    Ok(builder.add_source(environment).build()?.cache)
}

/// The text of the file; none when it is absent and need not be there.
fn read_file(path: &Path, required: bool) -> Result<Option<String>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && !required => return Ok(None),
        Err(error) => return Err(format!("the settings file cannot be opened: {error}")),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("the settings file cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("the settings file has over {FILE_BYTES_MAX} bytes, and no more are allowed"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("the settings file is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))?;
    // Windows editors put a byte order mark first, and the parser knows none.
    Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
}

/// The parser's words, e.g. `line 3, column 9: invalid basic string`, without the line itself that the parser shows
/// after the position: it may hold a secret.
fn parser_words(error: &ConfigError) -> String {
    let words = error.to_string();
    let mut lines = words.lines();
    match lines.next().and_then(|first| first.strip_prefix("TOML parse error at ")) {
        Some(position) => format!("{position}: {}", lines.skip(3).collect::<Vec<_>>().join("; ")),
        None => words.lines().collect::<Vec<_>>().join("; "),
    }
}

/// Those of `env` that are ours and can name a setting.
fn variables(env: impl IntoIterator<Item = (String, String)>, problems: &mut Vec<Problem>) -> Map<String, String> {
    let mut ours = Map::new();
    let mut wrong = Vec::new();
    for (name, value) in env {
        if !name.to_ascii_uppercase().starts_with(VARIABLE_PREFIX) {
            continue;
        }
        match check_name(&name) {
            Ok(()) => {
                ours.insert(name, value);
            }
            Err(what) => wrong.push((name, what)),
        }
    }
    wrong.sort();
    problems.extend(wrong.into_iter().map(|(name, what)| Problem::of_origin(&name, what)));
    ours
}

fn check_name(name: &str) -> Result<(), String> {
    let capitals = name.to_ascii_uppercase();
    if capitals != name {
        return Err(format!("variables are written in capitals, this one as {}", capitals.escape_debug()));
    }
    let parts: Vec<&str> = name[VARIABLE_PREFIX.len()..].split("__").collect();
    let is_word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    match parts.as_slice() {
        ["WEBHOOKS", ..] => Err("webhooks cannot be declared by variables; declare them in the file".to_owned()),
        [section, key] if is_word(section) && is_word(key) => Ok(()),
        _ => Err("unknown variable; those of settings are HIKYAKU__SECTION__KEY, such as \
                  HIKYAKU__DELIVERY__CONCURRENCY"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(file: Option<&Path>, folder: &Path, env: &[(&str, &str)]) -> Sources {
        gather(file, folder, env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))
    }

    fn words(sources: &Sources) -> String {
        sources.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_file_that_was_asked_for_and_is_absent_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let sources = gathered(Some(&folder.path().join("mine.toml")), folder.path(), &[]);
        assert!(words(&sources).contains("mine.toml: the settings file cannot be opened"), "{}", words(&sources));
        assert!(!sources.file_is_whole);
    }

    #[test]
    fn hikyaku_toml_in_the_folder_is_read_when_it_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let absent = gathered(None, folder.path(), &[]);
        assert!(absent.problems.is_empty() && absent.file_is_whole);
        std::fs::write(folder.path().join("hikyaku.toml"), "\u{feff}[log]\nlevel = \"debug\"\n").expect("write");
        let there = gathered(None, folder.path(), &[]);
        assert!(there.problems.is_empty(), "{}", words(&there));
        assert!(format!("{:?}", there.tree).contains("debug"));
    }

    #[test]
    fn a_folder_in_the_place_of_the_file_is_a_problem() {
        let folder = tempfile::tempdir().expect("a folder");
        let sources = gathered(Some(folder.path()), folder.path(), &[]);
        assert!(words(&sources).contains("cannot be read"), "{}", words(&sources));
    }

    #[test]
    fn bytes_that_are_no_utf8_are_a_problem_and_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("hikyaku.toml"), b"[log]\nlevel = \"\xff\"\n").expect("write");
        assert!(words(&gathered(None, folder.path(), &[])).contains("not UTF-8 from byte 15"));
    }

    #[test]
    fn a_syntax_error_names_file_line_and_column_and_shows_no_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hikyaku.toml");
        std::fs::write(&path, "[server]\n\nadmin_token = \"hunter2hunter2\n").expect("write");
        let words = words(&gathered(None, folder.path(), &[]));
        assert!(words.starts_with(&format!("{}: line 3, column ", path.display())), "{words}");
        assert!(words.contains("string") && !words.contains("hunter2"), "{words}");
        assert_eq!(words.lines().count(), 1, "{words}");
    }

    #[test]
    fn a_number_that_no_integer_holds_is_a_problem() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("hikyaku.toml"), "[queue]\nprefetch = 99999999999999999999\n")
            .expect("write");
        assert!(words(&gathered(None, folder.path(), &[])).contains("too large"));
    }

    #[test]
    fn a_value_knows_the_variable_that_gave_it() {
        let sources = gathered(None, Path::new("/nowhere"), &[("HIKYAKU__DELIVERY__TIMEOUT_MS", "5")]);
        let config::ValueKind::Table(root) = &sources.tree.kind else { panic!("no table") };
        let config::ValueKind::Table(delivery) = &root["delivery"].kind else { panic!("no table") };
        let name = variable_of("delivery.timeout_ms", &delivery["timeout_ms"]);
        assert_eq!(name.as_deref(), Some("HIKYAKU__DELIVERY__TIMEOUT_MS"));
    }

    #[test]
    fn variables_that_cannot_name_a_setting_are_problems_and_others_names_are_not_ours() {
        let cases = [
            ("HIKYAKU__DELIVERY", "unknown variable"),
            ("HIKYAKU__", "unknown variable"),
            ("HIKYAKU____X", "unknown variable"),
            ("HIKYAKU__A__B__C", "unknown variable"),
            ("HIKYAKU__A__B-C", "unknown variable"),
            ("HIKYAKU__WEBHOOKS__0__URL", "declare them in the file"),
            ("HIKYAKU__WEBHOOKS__URL", "declare them in the file"),
            ("HIKYAKU__Server__Listen", "as HIKYAKU__SERVER__LISTEN"),
            ("hikyaku__server__listen", "as HIKYAKU__SERVER__LISTEN"),
        ];
        for (name, expected) in cases {
            let sources = gathered(None, Path::new("/nowhere"), &[(name, "x")]);
            let words = words(&sources);
            assert!(words.starts_with(&format!("{name}: ")) && words.contains(expected), "{name}: {words}");
        }
        let others = [("HIKYAKU_SERVER__LISTEN", "x"), ("HIKYAKU", "x"), ("PATH", "x"), ("HIKYAKU_URL", "x")];
        let sources = gathered(None, Path::new("/nowhere"), &others);
        assert!(sources.problems.is_empty(), "{}", words(&sources));
    }
}
