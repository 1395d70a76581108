//! `--url` and `--token-file`: which hikyaku is asked, and as whom.

use std::path::{Path, PathBuf};

use url::{Host, Url};

use crate::cli::CliError;
use crate::cli::webhooks::given_or_typed;
use crate::model::Secret;

/// Holds the token where no file does.
pub const TOKEN_VARIABLE: &str = "HIKYAKU_TOKEN";
/// Bytes of a file with a token.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Which hikyaku is asked.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RemoteArgs {
    /// Ask the hikyaku that runs there, instead of queue and store: http://127.0.0.1:8787
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The file with the token for it [default: the variable HIKYAKU_TOKEN]; `-` reads it from standard input
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// A command that reads a running hikyaku, or what lies here: `--url` stands before or behind what it is to do.
#[derive(Debug, clap::Args)]
#[command(mut_arg("url", |arg| arg.global(true)), mut_arg("token_file", |arg| arg.global(true)))]
pub struct Reading<C: clap::Subcommand> {
    /// Which hikyaku.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: C,
}

/// The same, for a command of which some of what it is to do has a `--url` of its own: there this one stands before it.
#[derive(Debug, clap::Args)]
pub struct Managing<C: clap::Subcommand> {
    /// Which hikyaku.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: C,
}

impl RemoteArgs {
    /// These, and what they do not say by `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self { url: self.url.or(others.url), token_file: self.token_file.or(others.token_file) }
    }
}

/// The origin that `--url` names.
pub(super) fn origin_of(text: &str) -> Result<Url, CliError> {
    let usage = |why: &str| CliError::Usage(format!("--url: {why}, such as http://127.0.0.1:8787"));
    // Not quoted: it may hold a password.
    let url = Url::parse(text).map_err(|error| usage(&format!("it is no address ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(usage("it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(usage(
            "it has a user name; the token comes from --token-file or HIKYAKU_TOKEN, and the address is an origin",
        ));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(usage("it must be an origin, with nothing after host and port"));
    }
    Ok(url)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

pub(super) fn token_of(args: &RemoteArgs, variable: Option<&str>) -> Result<Secret, CliError> {
    let text = match &args.token_file {
        Some(path) if path.as_os_str() == "-" => given_or_typed("-")?,
        Some(path) => read_token(path)?,
        None => variable.unwrap_or_default().to_owned(),
    };
    let token = text.trim();
    if token.is_empty() {
        return Err(CliError::Usage(format!(
            "--url needs a token: server.admin_token or one of [[server.tokens]] of that hikyaku, in a file that --token-file names, \
             or in the variable {TOKEN_VARIABLE}"
        )));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CliError::Usage(
            "the token has a character that is no visible ASCII; is that the right file?".to_owned(),
        ));
    }
    Ok(Secret::new(token))
}

fn read_token(path: &Path) -> Result<String, CliError> {
    use std::io::Read;

    let failed = |error| CliError::Io { what: format!("the token file {} cannot be read", path.display()), error };
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_origin_and_anything_else_is_told_what_to_mend_without_being_quoted() {
        assert_eq!(origin_of("http://127.0.0.1:8787").expect("right").as_str(), "http://127.0.0.1:8787/");
        assert_eq!(origin_of("https://hikyaku.example/").expect("right").as_str(), "https://hikyaku.example/");
        for (text, words) in [
            ("127.0.0.1:8787", "it is no address"),
            ("ftp://a", "http:// or https://"),
            ("http://u:hunter2@a", "it has a user name"),
            ("http://a/v1", "nothing after host and port"),
            ("http://a?token=hunter2", "nothing after host and port"),
        ] {
            let told = origin_of(text).expect_err(text).to_string();
            assert!(told.contains(words) && !told.contains("hunter2"), "{text}: {told}");
        }
    }

    #[test]
    fn a_token_comes_from_the_file_or_the_variable_and_none_is_told_in_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "from-the-file\n").expect("written");
        let args = RemoteArgs { url: None, token_file: Some(path) };
        assert_eq!(token_of(&args, Some("from-the-variable")).expect("a token").expose(), "from-the-file");
        let none = RemoteArgs::default();
        assert_eq!(token_of(&none, Some("from-the-variable")).expect("a token").expose(), "from-the-variable");
        for (variable, words) in [(None, "--token-file"), (Some(" "), "HIKYAKU_TOKEN"), (Some("a b"), "visible ASCII")]
        {
            let told = token_of(&none, variable).expect_err("none").to_string();
            assert!(told.contains(words), "{told}");
        }
        let absent = RemoteArgs { url: None, token_file: Some(folder.path().join("absent")) };
        assert!(token_of(&absent, None).expect_err("absent").to_string().contains("absent"));
    }
}
