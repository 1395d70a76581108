//! The flags for a webhook's options, the same in `webhooks create` and `webhooks update`. What is not given stays.

use crate::model::SIGNING_GRACE_S;

/// How a webhook's deliveries differ from the settings.
#[derive(Clone, Debug, clap::Args)]
pub struct OptionArgs {
    /// Signs each request (Standard Webhooks): whsec_ and base64; `-` reads it from standard input (after the secret, if that
    /// is read there too), `none` takes it away
    #[arg(long, value_name = "SECRET")]
    pub signing_secret: Option<String>,
    /// Make a new signing secret here, and show it this once without `show --reveal`
    #[arg(long, conflicts_with = "signing_secret")]
    pub generate_signing_secret: bool,
    /// Signs each request with ed25519 (Standard Webhooks' v1a): whsk_ and base64; `-` reads it from standard input (after the
    /// secrets), `none` takes it away. Receivers need its public key alone, which `show` prints
    #[arg(long, value_name = "KEY")]
    pub signing_key: Option<String>,
    /// Make a new signing key here, which nobody ever sees; its public key is shown
    #[arg(long, conflicts_with = "signing_key")]
    pub generate_signing_key: bool,
    /// Seconds for which the signing secret or key before this one signs besides, up to 30 days [default:
    /// delivery.signing_grace_s]; alone, for which all earlier ones that still sign do from now, 0: no longer
    #[arg(long, value_name = "SECONDS", value_parser = signing_grace, allow_negative_numbers = true)]
    pub signing_grace: Option<u64>,
    /// In what form events are sent: misskey, discord, slack or cloudevents; `default` is misskey
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Whether the clear-text secret is sent; with the formats discord and slack it never is
    #[arg(long, value_name = "BOOL")]
    pub send_secret: Option<bool>,
    /// Waits between attempts in seconds, comma-separated; `default` goes back to the settings
    #[arg(long, value_name = "SECONDS,...", allow_hyphen_values = true)]
    pub retry_schedule: Option<String>,
    /// Age in seconds at which a delivery is given up; `default` goes back to the settings
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub max_age: Option<String>,
    /// Milliseconds for one attempt; `default` goes back to the settings
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    pub timeout: Option<String>,
    /// Requests per second at most, such as 5/s or 0.2/s; what is more waits in the queue. `none` takes the limit away
    #[arg(long, value_name = "NUMBER/s")]
    pub rate_limit: Option<String>,
    /// Requests that the rate limit lets go at once after a rest [default: as many as in a second]
    #[arg(long, value_name = "COUNT")]
    pub rate_burst: Option<u32>,
    /// A file with our certificate in PEM, and those that lead to its authority, for receivers that want one by TLS; `none` takes
    /// it away, with its key
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)] // so that PEM in its place is not quoted
    pub client_certificate: Option<String>,
    /// A file with that certificate's private key in PEM, not encrypted; it is never shown
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub client_key: Option<String>,
    /// Only events whose content is so, e.g. '{"path":"/note/visibility","equals":"public"}' (docs/filters.md); give it again for
    /// each further condition. All given take the place of those before
    #[arg(long, value_name = "JSON", conflicts_with = "no_filters")]
    pub filter: Vec<String>,
    /// Events of any content
    #[arg(long)]
    pub no_filters: bool,
}

/// Reads seconds of a grace.
fn signing_grace(text: &str) -> Result<u64, String> {
    let (least, most) = (SIGNING_GRACE_S.start(), SIGNING_GRACE_S.end());
    text.parse()
        .ok()
        .filter(|seconds| SIGNING_GRACE_S.contains(seconds))
        .ok_or_else(|| format!("it must be whole seconds from {least} to {most}, which is 30 days"))
}
