//! In what form a webhook gets its events: Misskey's own, or one that a chat or a bus of events takes.
//!
//! Here are the names and what follows from one without an event; the bytes are `outbound::formats`' work. The names stand in
//! the store, the settings, the API and `docs/formats.md`.

use url::{Host, Url};

use super::WebhookError;

/// Names that are not known are quoted up to so many characters.
const QUOTED_CHARS_MAX: usize = 50;

/// The form of a webhook's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// What Misskey sends, byte for byte.
    #[default]
    Misskey,
    /// A message for Discord's webhooks.
    Discord,
    /// A message for Slack's incoming webhooks, and for those that take the same.
    Slack,
    /// CloudEvents 1.0, structured mode, in JSON.
    CloudEvents,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Misskey, Self::Discord, Self::Slack, Self::CloudEvents];

    /// The name by which it is chosen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Misskey => "misskey",
            Self::Discord => "discord",
            Self::Slack => "slack",
            Self::CloudEvents => "cloudevents",
        }
    }

    /// What stands in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Misskey | Self::Discord | Self::Slack => "application/json",
            Self::CloudEvents => "application/cloudevents+json",
        }
    }

    /// Whether the receiver could check a clear-text secret. A chat cannot: to send it one would only show it around.
    pub fn has_use_for_secret(self) -> bool {
        match self {
            Self::Misskey | Self::CloudEvents => true,
            Self::Discord | Self::Slack => false,
        }
    }

    /// What to do when `url` looks like the webhook of a chat that refuses this format; nothing when it does not.
    pub fn misfit(self, url: &Url) -> Option<String> {
        let (chat, takes) = chat_at(url)?;
        if takes == self {
            return None;
        }
        Some(format!("the URL is a {chat} webhook, which refuses the format {self}; the format {takes} fits"))
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The chat whose webhook `url` is, and the format that it takes there.
fn chat_at(url: &Url) -> Option<(&'static str, Format)> {
    let Some(Host::Domain(host)) = url.host() else { return None };
    let path = url.path().trim_end_matches('/');
    let is_of = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    // Versions of the API stand between: /api/v10/webhooks.
    if (is_of("discord.com") || is_of("discordapp.com")) && path.starts_with("/api/") && path.contains("/webhooks/") {
        return match path.rsplit('/').next() {
            Some("slack") => Some(("Discord (for Slack's messages)", Format::Slack)),
            Some("github") => None,
            _ => Some(("Discord", Format::Discord)),
        };
    }
    (host == "hooks.slack.com" && path.starts_with("/services/")).then_some(("Slack", Format::Slack))
}

/// Reads the name of a format.
///
/// # Errors
/// When there is no such format.
pub fn check_format(text: &str) -> Result<Format, WebhookError> {
    let found = Format::ALL.into_iter().find(|format| format.as_str() == text);
    found.ok_or_else(|| WebhookError::Format { given: text.chars().take(QUOTED_CHARS_MAX).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_name_only_and_others_are_refused_with_the_names() {
        for format in Format::ALL {
            assert_eq!(check_format(format.as_str()), Ok(format));
        }
        for bad in ["", "Discord", "discord ", "teams"] {
            let words = check_format(bad).expect_err(bad).to_string();
            let expected = format!("format: {bad:?} is none; it is misskey, discord, slack or cloudevents");
            assert_eq!(words, expected);
        }
    }

    #[test]
    fn the_webhook_of_a_chat_that_refuses_the_format_is_told() {
        let misfit = |url: &str, format: Format| format.misfit(&Url::parse(url).expect("a URL"));
        for url in [
            "https://discord.com/api/webhooks/1/token",
            "https://ptb.discord.com/api/v10/webhooks/1/token?wait=true",
            "https://discordapp.com/api/webhooks/1/token/",
        ] {
            assert_eq!(misfit(url, Format::Discord), None, "{url}");
            let words = misfit(url, Format::Misskey).expect(url);
            assert!(words.contains("Discord webhook") && words.contains("the format discord fits"), "{words}");
        }
        let for_slack = "https://discord.com/api/webhooks/1/token/slack";
        assert_eq!(misfit(for_slack, Format::Slack), None);
        assert!(misfit(for_slack, Format::Discord).expect("told").contains("the format slack fits"));
        assert!(misfit("https://hooks.slack.com/services/T/B/x", Format::CloudEvents).is_some());
        for url in ["https://bot.example/api/webhooks/1/x", "https://notdiscord.com/api/webhooks/1/x", "http://[::1]/"]
        {
            assert!(Format::ALL.iter().all(|format| misfit(url, *format).is_none()), "{url}");
        }
    }
}
