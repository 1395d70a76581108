//! Which of the addresses that Misskey sends to are ours, and of which source each is.
//!
//! The settings name one of them. The others differ from it in the source alone, which is the path's last part; an address
//! without one is that of the source `default`.

use url::Url;

use crate::ingest::MISSKEY_PATH;
use crate::model::Source;

/// The addresses under which Misskey reaches us.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The address without a source, its path without a slash at its end.
    base: Url,
}

impl Reach {
    /// Those that differ from `url` in the source alone, which is `source` in it.
    pub fn new(url: &Url, source: &Source) -> Self {
        let mut base = url.clone();
        let path = base.path().trim_end_matches('/');
        let is_named = |(before, last): &(&str, &str)| before.ends_with(MISSKEY_PATH) && *last == source.as_str();
        let path = path.rsplit_once('/').filter(is_named).map_or(path, |(before, _)| before).to_owned();
        base.set_path(&path);
        Self { base }
    }

    /// The source of the address `to`, if it is ours. What comes after the path tells nothing apart: we do not look at it.
    pub fn source_of(&self, to: &str) -> Option<Source> {
        let to = Url::parse(to).ok()?;
        let place =
            |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
        if place(&to) != place(&self.base) {
            return None;
        }
        let rest = to.path().trim_end_matches('/').strip_prefix(self.base.path().trim_end_matches('/'))?;
        match rest.strip_prefix('/') {
            None if rest.is_empty() => Some(Source::default()),
            None => None,
            Some(name) if name.contains('/') => None,
            Some(name) => Source::new(&decoded(name)).ok(),
        }
    }
}

/// A part of a path with its percent-encoding undone.
fn decoded(part: &str) -> String {
    // What means something in a form means nothing in a path.
    let pairs = part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(pairs.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(url: &str, source: &str) -> Reach {
        Reach::new(&url.parse().expect("a URL"), &Source::new(source).expect("a source"))
    }

    fn source(reach: &Reach, to: &str) -> Option<String> {
        reach.source_of(to).map(|source| source.as_str().to_owned())
    }

    #[test]
    fn an_address_is_ours_with_any_source_however_it_is_written() {
        for reach in [
            reach("http://172.28.0.10:8787/ingest/misskey", "default"),
            reach("http://172.28.0.10:8787/ingest/misskey/second", "second"),
        ] {
            for (to, expected) in [
                ("http://172.28.0.10:8787/ingest/misskey", "default"),
                ("HTTP://172.28.0.10:8787/ingest/misskey/", "default"),
                ("http://172.28.0.10:8787/ingest/misskey?from=misskey", "default"),
                ("http://172.28.0.10:8787/ingest/../ingest/misskey/second", "second"),
                ("http://172.28.0.10:8787/ingest/misskey/a%20b+c=d&e", "a b+c=d&e"),
            ] {
                assert_eq!(source(&reach, to).as_deref(), Some(expected), "{to}");
            }
        }
        let behind = reach("https://Hooks.Example:443/in", "default");
        assert_eq!(source(&behind, "https://hooks.example/in").as_deref(), Some("default"));
        assert_eq!(source(&behind, "https://hooks.example/in/second").as_deref(), Some("second"));
    }

    #[test]
    fn what_is_anybody_elses_is_not_ours() {
        let reach = reach("http://172.28.0.10:8787/ingest/misskey", "default");
        for to in [
            "https://172.28.0.10:8787/ingest/misskey",
            "http://172.28.0.10/ingest/misskey",
            "http://172.28.0.11:8787/ingest/misskey",
            "http://172.28.0.10:8787/ingest/misskeys",
            "http://172.28.0.10:8787/ingest/misskey/a/b",
            "http://172.28.0.10:8787/",
            "not a URL",
            "data:text/plain,x",
        ] {
            assert_eq!(source(&reach, to), None, "{to}");
        }
    }

    #[test]
    fn a_path_of_a_proxys_that_ends_like_a_source_is_that_path() {
        let reach = reach("https://hooks.example/default", "default");
        assert_eq!(source(&reach, "https://hooks.example/default").as_deref(), Some("default"));
        assert_eq!(source(&reach, "https://hooks.example/other"), None);
    }
}
