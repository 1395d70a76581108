//! `store.url` of PostgreSQL: `postgres://user:password@host:5432/database?sslmode=...&schema=...`.
//!
//! As libpq has it (postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING), several hosts with commas among it, with these
//! differences: TLS is either checked in full or off. Off is the default for this machine (loopback, a socket's folder), in full
//! for every other host; `require` and `verify-ca` are taken for `verify-full`. `schema` is ours. Nothing here prints the password.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::error::words;

/// The schema, unless the URL names another.
pub(super) const SCHEMA: &str = "hikyaku";
/// Characters of a name in PostgreSQL (NAMEDATALEN - 1), less those that we add.
const SCHEMA_CHARS_MAX: usize = 40;
/// How long one host may take to take a connection.
const HOST_WAIT_MAX: Duration = Duration::from_secs(3);
/// When a silent connection is asked whether it lives, how often, and after what time without an answer it is given up.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);
const UNANSWERED_MAX: Duration = Duration::from_secs(15);
const SHAPE: &str = "it must be postgres://user:password@host:5432/database";

/// Where PostgreSQL is, as whom to come, and where our tables lie.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    config: Box<Config>,
    tls: Option<TlsOptions>,
    schema: String,
    place: String,
}

/// The files that TLS needs beside the system's authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsOptions {
    /// `sslrootcert`: authorities to trust instead of the system's, in PEM.
    pub(super) authorities: Option<PathBuf>,
    /// `sslcert` and `sslkey`: a client certificate, in PEM.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

/// What of the query is ours to read.
#[derive(Default)]
struct Ours {
    mode: Option<bool>,
    authorities: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    schema: Option<String>,
}

impl PostgresUrl {
    /// Whether `url` is meant to be one.
    pub fn is_meant_by(url: &str) -> bool {
        url.starts_with("postgres:") || url.starts_with("postgresql:")
    }

    /// Reads a URL.
    ///
    /// # Errors
    /// Words that name what is wrong and how it should be, without the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let (rest, query) = rest.map(|rest| rest.split_once('?').unwrap_or((rest, ""))).ok_or(SHAPE)?;
        let (ours, theirs) = Ours::read(query)?;
        let mut config: Config = format!("postgres://{rest}?{theirs}")
            .parse()
            .map_err(|error: tokio_postgres::Error| format!("{}; {SHAPE}", words(&error)))?;
        if config.get_user().is_none_or(str::is_empty) {
            return Err(format!("a user is missing; {SHAPE}"));
        }
        if config.get_hosts().is_empty() {
            return Err(format!("a host is missing; {SHAPE}"));
        }
        if config.get_hosts().len() > 1 {
            // Of several, the one that takes changes.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let is_checked = ours.mode.unwrap_or_else(|| !config.get_hosts().iter().all(is_this_machine));
        let tls = ours.tls(is_checked)?;
        config
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .connect_timeout(HOST_WAIT_MAX)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_EVERY)
            .tcp_user_timeout(UNANSWERED_MAX);
        if config.get_application_name().is_none() {
            config.application_name("hikyaku");
        }
        let (schema, place) = (ours.schema.unwrap_or_else(|| SCHEMA.to_owned()), place(&config));
        Ok(Self { config: Box::new(config), tls, schema, place })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn tls(&self) -> Option<&TlsOptions> {
        self.tls.as_ref()
    }

    /// Where our tables lie: a name that needs no quoting but quotes.
    pub fn schema(&self) -> &str {
        &self.schema
    }
}

impl Ours {
    /// Takes our options out of `query`, and gives back the rest of it.
    fn read(query: &str) -> Result<(Self, String), String> {
        let (mut ours, mut theirs) = (Self::default(), Vec::new());
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let path = || decode(value, name).map(PathBuf::from);
            match name {
                "sslmode" => ours.mode = Some(mode(value)?),
                "sslrootcert" => ours.authorities = Some(path()?),
                "sslcert" => ours.certificate = Some(path()?),
                "sslkey" => ours.key = Some(path()?),
                "schema" => ours.schema = Some(schema(value)?),
                _ => theirs.push(option),
            }
        }
        Ok((ours, theirs.join("&")))
    }

    fn tls(&self, is_checked: bool) -> Result<Option<TlsOptions>, String> {
        let client = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            _ => return Err("sslcert and sslkey go together".to_owned()),
        };
        if !is_checked && (client.is_some() || self.authorities.is_some()) {
            return Err("certificates are for TLS, which is off here: add sslmode=verify-full".to_owned());
        }
        Ok(is_checked.then(|| TlsOptions { authorities: self.authorities.clone(), client }))
    }
}

/// Whether TLS is spoken, and then checked.
fn mode(value: &str) -> Result<bool, String> {
    match value {
        "disable" => Ok(false),
        "require" | "verify-ca" | "verify-full" => Ok(true),
        "allow" | "prefer" => Err(format!(
            "sslmode={value} would fall back to clear text without a word; write verify-full, or disable where the network \
             between is yours alone"
        )),
        _ => Err("sslmode must be verify-full or disable".to_owned()),
    }
}

fn schema(name: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && !name.starts_with("pg_");
    if !begins || name.len() > SCHEMA_CHARS_MAX || !name.chars().all(is_allowed) {
        return Err(format!(
            "schema must be 1 to {SCHEMA_CHARS_MAX} lower-case letters, digits and '_', not beginning with a digit or pg_"
        ));
    }
    Ok(name.to_owned())
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    }
}

/// `user@host:port/database`, of each host.
fn place(config: &Config) -> String {
    let port = |index: usize| config.get_ports().get(index).or(config.get_ports().first()).copied().unwrap_or(5432);
    let name = |(index, host): (usize, &Host)| match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", port(index)),
        Host::Tcp(name) => format!("{name}:{}", port(index)),
        Host::Unix(folder) => format!("{} (port {})", folder.display(), port(index)),
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(name).collect();
    let user = config.get_user().unwrap_or_default();
    format!("{user}@{}/{}", hosts.join(","), config.get_dbname().unwrap_or(user))
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
fn decode(text: &str, what: &str) -> Result<String, String> {
    let wrong = || format!("{what} is not percent-encoded as in a URL; write %26 for & and %25 for %");
    percent_encoding::percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| wrong())
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self}, schema {}, tls {:?})", self.schema, self.tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(url: &str) -> String {
        PostgresUrl::parse(url).expect(url).to_string()
    }

    #[test]
    fn a_place_is_user_host_and_database_and_never_the_password() {
        for (url, place) in [
            ("postgres://h:hunter2@db.example:5433/x", "h@db.example:5433/x"),
            ("postgresql://h:hunter2@db.example", "h@db.example:5432/h"),
            ("postgres://h%40k:hunter2@a,b:5433/x", "h@k@a:5432,b:5433/x"),
            ("postgres://h:hunter2@[::1]/x", "h@[::1]:5432/x"),
            ("postgres://h:hunter2@%2Frun%2Fpostgresql/x", "h@/run/postgresql (port 5432)/x"),
        ] {
            assert_eq!(place_of(url), place, "{url}");
            let printed = format!("{:?}", PostgresUrl::parse(url).expect(url));
            assert!(!printed.contains("hunter2"), "{printed}");
        }
    }

    #[test]
    fn tls_is_checked_in_full_but_on_this_machine_unless_the_url_says_otherwise() {
        let has_tls = |url: &str| PostgresUrl::parse(url).expect(url).tls().is_some();
        for off in [
            "postgres://h@localhost/x",
            "postgres://h@127.0.0.1/x",
            "postgres://h@[::1]/x",
            "postgres://h@%2Frun/x",
            "postgres://h@db/x?sslmode=disable",
        ] {
            assert!(!has_tls(off), "{off}");
        }
        for on in [
            "postgres://h@db/x",
            "postgres://h@localhost,db/x",
            "postgres://h@localhost/x?sslmode=verify-full",
            "postgres://h@db/x?sslmode=require",
            "postgres://h@db/x?sslrootcert=/ca.pem",
        ] {
            assert!(has_tls(on), "{on}");
        }
    }

    #[test]
    fn files_and_the_schema_are_read_from_the_query() {
        let url =
            "postgres://h@db/x?sslrootcert=%2Fa%26b.pem&sslcert=/c.pem&sslkey=/k.pem&schema=mine&application_name=me";
        let url = PostgresUrl::parse(url).expect("valid");
        let tls = url.tls().expect("TLS");
        assert_eq!(tls.authorities, Some(PathBuf::from("/a&b.pem")));
        assert_eq!(tls.client, Some((PathBuf::from("/c.pem"), PathBuf::from("/k.pem"))));
        assert_eq!((url.schema(), url.config().get_application_name()), ("mine", Some("me")));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, words) in [
            ("mysql://h:hunter2@db/x", "must be postgres://"),
            ("postgres://:hunter2@db/x", "a user is missing"),
            ("postgres://h:hunter2@db:port/x", "port"),
            ("postgres://h:hunter2@db/x?nonsense=1", "nonsense"),
            ("postgres://h:hunter2@db/x?sslmode=prefer", "clear text"),
            ("postgres://h:hunter2@db/x?sslmode=on", "verify-full or disable"),
            ("postgres://h:hunter2@db/x?sslcert=/c.pem", "go together"),
            ("postgres://h:hunter2@localhost/x?sslrootcert=/c.pem", "sslmode=verify-full"),
            ("postgres://h:hunter2@db/x?schema=Mine", "lower-case"),
            ("postgres://h:hunter2@db/x?schema=pg_x", "pg_"),
            ("postgres://h:hunter2@db/x?schema=", "lower-case"),
        ] {
            let message = PostgresUrl::parse(url).expect_err(url);
            assert!(message.contains(words) && !message.contains("hunter2"), "{url}: {message}");
        }
    }
}
