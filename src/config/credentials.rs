//! Settings that systemd hands over as credentials: files in the folder that `CREDENTIALS_DIRECTORY` names, each with one value.
//!
//! `hikyaku.server.admin_token`, or `hikyaku_server.admin_token` as `LoadCredential=hikyaku:FOLDER` calls a file of that folder,
//! is the setting `server.admin_token`. So a secret stands in no file that others may read, and in no environment. A credential
//! counts as a variable does, and a variable of the same setting wins. Other files of the folder are not ours.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use config::Map;

use super::problem::Problem;

/// Names the folder.
pub(super) const FOLDER_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// What ours are called at their beginning.
const PREFIXES: [&str; 2] = ["hikyaku.", "hikyaku_"];
/// Bytes of one; no setting has more.
const BYTES_MAX: u64 = 64 * 1024;

/// What was handed over: each as the variable of that setting, and how it is called.
#[derive(Default)]
pub(super) struct Credentials {
    /// Values, by the names of variables.
    pub(super) values: Map<String, String>,
    /// What the credential of a variable's name is called.
    names: Map<String, String>,
}

impl Credentials {
    /// Reads those in `folder`.
    pub(super) fn read(folder: &Path, problems: &mut Vec<Problem>) -> Self {
        let mut read = Self::default();
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                let what = format!("the folder of credentials, {}, cannot be read: {error}", folder.display());
                problems.push(Problem::of_origin(FOLDER_VARIABLE, what));
                return read;
            }
        };
        let mut found: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        found.sort();
        for name in found {
            let Some(setting) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) else { continue };
            match read_one(&folder.join(&name), setting) {
                Ok((variable, value)) => {
                    read.names.insert(variable.clone(), name);
                    read.values.insert(variable, value);
                }
                Err(what) => problems.push(Problem::of_origin(&shown(&name), what)),
            }
        }
        read
    }

    /// These, without those of which there is a variable.
    pub(super) fn without(mut self, variables: &Map<String, String>) -> Self {
        self.names.retain(|variable, _| !variables.contains_key(variable));
        self.values.retain(|variable, _| !variables.contains_key(variable));
        self
    }

    /// What the credential is called that gave the value of `variable`.
    pub(super) fn name_of(&self, variable: &str) -> Option<String> {
        self.names.get(variable).map(|name| shown(name))
    }
}

fn shown(name: &str) -> String {
    format!("the credential {name}")
}

fn read_one(path: &Path, setting: &str) -> Result<(String, String), String> {
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b));
    match setting.split_once('.') {
        Some((section, key)) if is_word(section) && is_word(key) => {
            let text = text_of(path)?;
            // Whoever writes a file with an editor, or `echo`, ends its line.
            let value = text.strip_suffix('\n').unwrap_or(&text);
            let value = value.strip_suffix('\r').unwrap_or(value);
            Ok((format!("HIKYAKU__{section}__{key}").to_ascii_uppercase(), value.to_owned()))
        }
        _ => Err("it is called as no setting; those of settings are hikyaku.SECTION.KEY, such as \
                  hikyaku.server.admin_token"
            .to_owned()),
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("it has over {BYTES_MAX} bytes, and no setting has that many"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> (Credentials, String) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).expect("written");
        }
        let mut problems = Vec::new();
        let credentials = Credentials::read(folder.path(), &mut problems);
        (credentials, problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_credential_is_the_setting_of_its_name_without_the_end_of_its_line() {
        let (credentials, problems) = read(&[
            ("hikyaku.server.admin_token", "a-token-of-its-own\n"),
            ("hikyaku_misskey.token", " with spaces \r\n"),
            ("another.server.admin_token", "not ours"),
        ]);
        assert_eq!(problems, "");
        assert_eq!(credentials.values.len(), 2);
        assert_eq!(credentials.values["HIKYAKU__SERVER__ADMIN_TOKEN"], "a-token-of-its-own");
        assert_eq!(credentials.values["HIKYAKU__MISSKEY__TOKEN"], " with spaces ");
        let name = credentials.name_of("HIKYAKU__MISSKEY__TOKEN");
        assert_eq!(name.as_deref(), Some("the credential hikyaku_misskey.token"));
        assert_eq!(credentials.name_of("HIKYAKU__LOG__LEVEL"), None);
    }

    #[test]
    fn one_that_names_no_setting_or_cannot_be_read_is_named_and_not_quoted() {
        for name in ["hikyaku.admin_token", "hikyaku.Server.Admin_Token", "hikyaku..token", "hikyaku.a.b.c"] {
            let (credentials, problems) = read(&[(name, "hunter2hunter2hunter2")]);
            assert!(credentials.values.is_empty(), "{name}");
            assert!(problems.starts_with(&format!("the credential {name}: it is called as no setting")), "{problems}");
            assert!(!problems.contains("hunter2"), "{problems}");
        }
        let (_, problems) = read(&[("hikyaku.server.admin_token", &"x".repeat(70_000))]);
        assert!(problems.starts_with("the credential hikyaku.server.admin_token: "), "{problems}");
        let mut problems = Vec::new();
        Credentials::read(Path::new("/nowhere/at/all"), &mut problems);
        assert!(problems[0].to_string().starts_with("CREDENTIALS_DIRECTORY: the folder"), "{problems:?}");
    }
}
