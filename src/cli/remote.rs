//! A running hikyaku, asked over its operators' API: what `--url` of `status`, `dead`, `deliveries` and `webhooks` means.
//!
//! The operator names the address, so it may be a private one; requests go to that origin and nowhere else, are not redirected,
//! and have a deadline and a limit of bytes. The token comes from a file or a variable, never from an argument, which `ps` shows
//! to everyone on the machine.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use url::{Host, Url};

use super::webhooks::given_or_typed;
use super::{CliError, Output};
use crate::model::Secret;
use crate::outbound::{Asked, Authorities, Caller, ClientError, Reply};

/// Holds the token where no file does.
pub const TOKEN_VARIABLE: &str = "HIKYAKU_TOKEN";
/// How long a request may take, all of it: a page of a million records takes a moment, a replay goes in steps.
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of an answer: 1,000 deliveries have about one megabyte.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
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

/// The same, for a command whose own `--url` is another: this one stands before what it is to do.
#[derive(Debug, clap::Args)]
pub struct Managing<C: clap::Subcommand> {
    /// Which hikyaku.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: C,
}

/// Why a running hikyaku did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It cannot be asked.
    #[error("the system's certificates cannot be loaded")]
    Client(#[from] ClientError),
    /// It does not answer.
    #[error("hikyaku at {origin} does not answer: {why}. Does it run, and is that the address of its server.listen?")]
    NoAnswer {
        /// Where.
        origin: String,
        /// Why, in words.
        why: String,
    },
    /// It does not do it.
    #[error("hikyaku at {origin} answered {status}: {detail}")]
    Refused {
        /// Where.
        origin: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        detail: String,
    },
    /// It answers something else than this API does.
    #[error(
        "what {origin} answered ({status}) is not as the operators' API answers; is that hikyaku, and of this version?"
    )]
    Unreadable {
        /// Where.
        origin: String,
        /// The HTTP status.
        status: u16,
    },
}

/// A running hikyaku.
#[derive(Debug)]
pub struct Remote {
    caller: Caller,
    url: Url,
    token: Secret,
}

impl Remote {
    /// The hikyaku that `args` name, if they name one. `authorities` are trusted beside the system's; `token` is the content of the
    /// variable [`TOKEN_VARIABLE`].
    ///
    /// # Errors
    /// When the address or the token cannot be used.
    pub fn of(
        args: &RemoteArgs,
        token: Option<&str>,
        authorities: &Authorities,
        output: &mut Output,
    ) -> Result<Option<Self>, CliError> {
        let Some(text) = &args.url else {
            return match args.token_file {
                None => Ok(None),
                Some(_) => Err(CliError::Usage("--token-file is for --url, which is missing".to_owned())),
            };
        };
        let url = origin_of(text)?;
        let token = token_of(args, token)?;
        if url.scheme() == "http" && !is_loopback(&url) {
            output.note(
                "the token goes over the network as it is, since the address is http://; https:// keeps it secret",
            );
        }
        let user_agent = concat!("hikyaku/", env!("CARGO_PKG_VERSION"));
        let caller = Caller::new(user_agent, DEADLINE, &url, authorities).map_err(RemoteError::Client)?;
        Ok(Some(Self { caller, url, token }))
    }

    /// What `GET path` answers.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, CliError> {
        self.ask("GET", path, query, None).await
    }

    /// What `POST path` with `json` answers; null when that is nothing.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn post(&self, path: &str, json: &Value) -> Result<Value, CliError> {
        self.ask("POST", path, &[], Some(json.to_string().into_bytes())).await
    }

    async fn ask(
        &self,
        method: &'static str,
        path: &str,
        query: &[(&str, String)],
        json: Option<Vec<u8>>,
    ) -> Result<Value, CliError> {
        let mut url = self.url.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let asked = Asked { method, url, bearer: Some(&self.token), json };
        let origin = self.origin();
        let reply = self.caller.ask(asked, ANSWER_BYTES_MAX).await;
        let reply = reply.map_err(|error| RemoteError::NoAnswer { origin, why: error.to_string() })?;
        self.read(&reply)
    }

    fn read(&self, reply: &Reply) -> Result<Value, CliError> {
        let unreadable = || RemoteError::Unreadable { origin: self.origin(), status: reply.status };
        if reply.body.is_empty() && (200..300).contains(&reply.status) {
            return Ok(Value::Null);
        }
        let body: Value = serde_json::from_slice(&reply.body).map_err(|_| unreadable())?;
        // A problem document, or Misskey's way of saying it.
        let words = |pointer| body.pointer(pointer).and_then(Value::as_str);
        let detail = || words("/detail").or(words("/error/info/reason")).or(words("/error/message"));
        match reply.status {
            200..300 => Ok(body),
            400 => Err(CliError::Usage(detail().ok_or_else(unreadable)?.to_owned())),
            404 => Err(CliError::NotFound(detail().ok_or_else(unreadable)?.to_owned())),
            status => {
                let detail = detail().ok_or_else(unreadable)?.to_owned();
                Err(RemoteError::Refused { origin: self.origin(), status, detail }.into())
            }
        }
    }

    fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// The origin that `--url` names.
fn origin_of(text: &str) -> Result<Url, CliError> {
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

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn token_of(args: &RemoteArgs, variable: Option<&str>) -> Result<Secret, CliError> {
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

fn read_token(path: &std::path::Path) -> Result<String, CliError> {
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
