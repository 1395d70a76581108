//! `[misskey]`: the Misskey beside us.

use url::Url;

use super::reader::Section;
use super::server::unless_empty;

/// The Misskey beside us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misskey {
    /// `url`: its origin, such as `https://misskey.example`, without path; the `server` of events (of the source
    /// `default`) that do not say theirs, as those of older servers. Empty, the default: such events go out without it.
    pub url: Option<Url>,
}

impl Misskey {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self { url: section.text("url", |text| unless_empty(text, origin)).flatten() }
    }
}

fn origin(text: &str) -> Result<Url, String> {
    const EXPECTED: &str = "it must be an http or https origin such as https://misskey.example";
    let url = Url::parse(text).map_err(|error| format!("{EXPECTED} ({error})"))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{EXPECTED}, and its scheme is {:?}", url.scheme()));
    }
    if !is_anonymous {
        return Err(format!("{EXPECTED}, without a user name or password"));
    }
    if !is_bare {
        return Err(format!("{EXPECTED}, with nothing after the host and port"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_origin_is_taken() {
        for good in ["https://misskey.example", "http://127.0.0.1:3000/", "https://[::1]:3000"] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for (bad, words) in [
            ("misskey.example", "must be an http"),
            ("ftp://misskey.example", "its scheme is \"ftp\""),
            ("https://u:hunter2@misskey.example", "without a user name"),
            ("https://misskey.example/api", "nothing after"),
            ("https://misskey.example/?x", "nothing after"),
            ("https://misskey.example/#x", "nothing after"),
        ] {
            let message = origin(bad).expect_err(bad);
            assert!(message.contains(words) && !message.contains("hunter2"), "{bad}: {message}");
        }
    }
}
