//! `--rate-limit` and `--rate-burst` of `webhooks create` and `update`: the limit that they ask for together. What a limit may
//! be is said by the model.

use super::CliError;
use super::webhooks::usage;
use crate::model::{RateLimit, RateLimitError};

/// The rate limit that `rate` and `burst` ask for, where there is the limit `now`; nothing when they ask for none.
pub(super) fn limited(
    rate: Option<&str>,
    burst: Option<u32>,
    now: Option<RateLimit>,
) -> Result<Option<Option<RateLimit>>, CliError> {
    let no_rate =
        |text: &str| usage("--rate-limit", &format!("{text:?} is no number per second such as 5/s, nor `none`"));
    let per_second = match (rate, burst) {
        (None, None) => return Ok(None),
        (Some("none"), None) => return Ok(Some(None)),
        (Some("none"), Some(_)) => return Err(usage("--rate-burst", &"there is no burst without a rate limit")),
        (Some(text), _) => {
            let number = text.trim();
            number.strip_suffix("/s").unwrap_or(number).trim().parse().map_err(|_| no_rate(text))?
        }
        (None, Some(_)) => match now {
            Some(limit) => limit.per_second(),
            None => return Err(usage("--rate-burst", &"there is no rate limit yet; give --rate-limit too")),
        },
    };
    match RateLimit::new(per_second, burst) {
        Ok(limit) => Ok(Some(Some(limit))),
        Err(error @ RateLimitError::PerSecond { .. }) => Err(usage("--rate-limit", &error)),
        Err(error @ RateLimitError::Burst { .. }) => Err(usage("--rate-burst", &error)),
    }
}
