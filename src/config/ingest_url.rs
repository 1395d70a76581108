//! The address under which Misskey reaches us: where its webhooks to us point.

use url::Url;

use crate::ingest::MISSKEY_PATH;
use crate::model::Source;

/// The address under which Misskey reaches us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestUrl {
    /// The whole of it, as it stands in Misskey's webhooks.
    pub url: Url,
    /// The source that its path names, `default` when it names none.
    pub source: Source,
}

impl IngestUrl {
    /// Reads it from a setting.
    ///
    /// # Errors
    /// What is wrong, in words that do not quote the text: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "it must be the address of our ingest as Misskey reaches it, such as http://172.28.0.10:8787/ingest/misskey";
        let url = Url::parse(text).map_err(|error| format!("{EXPECTED} ({error})"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("{EXPECTED}, and its scheme is {:?}", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{EXPECTED}, without a user name or password: Misskey sends nothing to such"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{EXPECTED}, with nothing after the path"));
        }
        if url.host_str().is_some_and(|host| host == "localhost") {
            return Err(
                "Misskey does not look into /etc/hosts and so does not find localhost; write 127.0.0.1".to_owned()
            );
        }
        let source = source_of(url.path())?;
        Ok(Self { url, source })
    }
}

fn source_of(path: &str) -> Result<Source, String> {
    const EXPECTED: &str = "its path must end with /ingest/misskey or /ingest/misskey/SOURCE";
    let name = match path.rsplit_once(MISSKEY_PATH) {
        // A proxy before us may have paths of its own.
        None if path.len() > 1 => return Ok(Source::default()),
        None => return Err(EXPECTED.to_owned()),
        Some((_, "")) => return Ok(Source::default()),
        Some((_, rest)) => rest.strip_prefix('/').unwrap_or_default(),
    };
    if name.is_empty() || name.contains(['/', '%']) {
        return Err(format!("{EXPECTED}, and SOURCE be letters, digits, '-', '_' and '.'"));
    }
    Source::new(name).map_err(|error| format!("{EXPECTED}, and this SOURCE is none: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_source() {
        for (text, source) in [
            ("http://172.28.0.10:8787/ingest/misskey", "default"),
            ("https://hooks.example/behind/ingest/misskey/second", "second"),
            ("https://hooks.example/behind-a-proxy", "default"),
        ] {
            assert_eq!(IngestUrl::parse(text).expect(text).source.as_str(), source, "{text}");
        }
    }

    #[test]
    fn an_address_that_misskey_cannot_reach_is_refused_in_words() {
        for (text, words) in [
            ("172.28.0.10:8787/ingest/misskey", "must be the address"),
            ("ftp://h.example/ingest/misskey", "its scheme is \"ftp\""),
            ("http://u:hunter2@h.example/ingest/misskey", "without a user name"),
            ("http://h.example/ingest/misskey?x=1", "with nothing after the path"),
            ("http://localhost:8787/ingest/misskey", "write 127.0.0.1"),
            ("http://h.example", "its path must end with"),
            ("http://h.example/ingest/misskey/", "SOURCE"),
            ("http://h.example/ingest/misskey/a/b", "SOURCE"),
            ("http://h.example/ingest/misskey/a%20b", "SOURCE"),
        ] {
            let message = IngestUrl::parse(text).expect_err(text);
            assert!(message.contains(words) && !message.contains("hunter2"), "{text}: {message}");
        }
    }
}
