//! `[delivery]`: how deliveries are made. A webhook may differ in schedule, age and timeout, within the same limits.

use std::time::Duration;

use crate::decide::{AddressPolicy, AllowedNetwork};
use crate::model::{ATTEMPT_TIMEOUT_MS, MAX_AGE_S, RETRIES_MAX, RETRY_WAIT_S, SIGNING_GRACE, SIGNING_GRACE_S};

use super::reader::Section;
use super::values;

/// Characters of the user agent, well within every server's limit on header lines (nginx: 8 KiB).
const USER_AGENT_CHARS_MAX: usize = 256;

/// Networks that an admin may open, each named by hand; with ports they may cost an HTTP client each.
const NETWORKS_MAX: usize = 64;

/// How deliveries are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `concurrency`: requests in flight per worker, 1 to 65536, at most `queue.prefetch`. Default 2048: with receivers
    /// that need 1 s, some 2,000 deliveries a second; each holds a socket and its event.
    pub concurrency: usize,
    /// `slots_per_webhook`: requests in flight to one webhook at most, 1 to `concurrency`. It begins with 64 or fewer, gets
    /// more while all are in use and answers are fast, and fewer when they get slow or fail. Default half of `concurrency`:
    /// one webhook alone never fills a worker.
    pub slots_per_webhook: usize,
    /// `connections_per_host`: requests in flight to one host (scheme, name and port) at most, over all its webhooks, 1 to
    /// 65536. Default 512: many share a chat's host; those of them that are slow get no more than half of it.
    pub connections_per_host: usize,
    /// `breaker_failures`: failures in a row after which a webhook, or a host that answers nobody, is left alone, then tried by one delivery at a time, first
    /// after some 5 s and at last every 5 min, 0 (never) to 1000. Default 10: more than one delivery's bad luck.
    pub breaker_failures: u32,
    /// `patience_ms`: milliseconds that a delivery waits for its webhook's slot before it is parked, 0 to 10000.
    /// Default 500: longer than most answers take, too short for a slow webhook to fill the prefetch.
    pub patience: Duration,
    /// `foresight`: whether an event for one webhook that is left alone, taken in by a process that delivers, waits from the start in place of
    /// being put off by whoever takes it. Default true: it is stored once in place of twice. Over RabbitMQ such an event does not pass the
    /// exchange `events`: false is for those who have bound queues of their own to it.
    pub foresight: bool,
    /// `timeout_ms`: milliseconds that one attempt may take, from connecting to the end of the answer, 100 to 600000.
    /// Default 10000: receivers with much to do should answer first and work later.
    pub timeout: Duration,
    /// `allowed_private_networks`: networks that webhooks may lead to though they are not reachable from everywhere, each an
    /// address or a network, with ports or without (`10.0.0.5`, `172.28.0.0/16:8080`, `[fd00::/8]:8000-8099`), at most 64.
    /// Default none: a webhook's URL is a stranger's choice, and its request leaves from inside.
    pub allowed_private_networks: Vec<AllowedNetwork>,
    /// `user_agent`: what receivers see as `User-Agent`, 1 to 256 characters of visible ASCII and spaces. Default
    /// `Misskey-Hooks`: what Misskey sends, and receivers may ask for.
    pub user_agent: String,
    /// `retry_schedule_s`: seconds to wait after each failed attempt, then the delivery is dead; each 0.01 to 604800
    /// (7 days), at most 100, empty: no retry. Default 5 s to 24 h in ten steps: a restart costs seconds, an outage of
    /// a weekend loses nothing.
    pub retry_schedule: Vec<Duration>,
    /// `max_age_s`: seconds after which a delivery is dead whatever its schedule says, 1 to 31536000 (a year). Default
    /// 345600 (4 days): twice the default schedule, which leaves room for times of being parked.
    pub max_age: Duration,
    /// `retry_after_max_s`: seconds that a receiver's `Retry-After` may put a retry off at most, 0 (it is not listened
    /// to) to 604800 (7 days). Default 86400: no longer than the schedule's own longest wait.
    pub retry_after_max: Duration,
    /// `signing_grace_s`: seconds for which a webhook's signing secret or key signs besides after another took its place, 0 to
    /// 2592000 (30 days), unless the call that sets it says otherwise. Default 86400: a day in which a person can take the new
    /// one to the receiver.
    pub signing_grace: Duration,
    /// `deactivate_after_s`: seconds after which a webhook is switched off that has failed all that time without one
    /// success, 0 (never) to 31536000 (a year). Default 432000 (5 days): an outage over a long weekend is outlived.
    pub deactivate_after: Option<Duration>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            concurrency: 2048,
            slots_per_webhook: 1024,
            connections_per_host: 512,
            breaker_failures: 10,
            patience: Duration::from_millis(500),
            foresight: true,
            timeout: Duration::from_secs(10),
            allowed_private_networks: Vec::new(),
            user_agent: "Misskey-Hooks".to_owned(),
            retry_schedule: [5, 30, 120, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400]
                .map(Duration::from_secs)
                .to_vec(),
            max_age: Duration::from_secs(345_600),
            retry_after_max: Duration::from_secs(86_400),
            signing_grace: SIGNING_GRACE,
            deactivate_after: Some(Duration::from_secs(432_000)),
        }
    }
}

impl Delivery {
    /// Which addresses webhooks may lead to.
    pub fn addresses(&self) -> AddressPolicy {
        AddressPolicy::new(self.allowed_private_networks.clone())
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let concurrency = section.whole("concurrency", 1..=65_536).unwrap_or(default.concurrency);
        Self {
            concurrency,
            // Who lowers the concurrency alone has made no mistake.
            slots_per_webhook: section
                .whole("slots_per_webhook", 1..=65_536)
                .unwrap_or_else(|| (concurrency / 2).max(1)),
            connections_per_host: section
                .whole("connections_per_host", 1..=65_536)
                .unwrap_or(default.connections_per_host),
            breaker_failures: section.whole("breaker_failures", 0..=1000).unwrap_or(default.breaker_failures),
            patience: section.millis("patience_ms", 0..=10_000).unwrap_or(default.patience),
            foresight: section.flag("foresight").unwrap_or(default.foresight),
            timeout: timeout(section).unwrap_or(default.timeout),
            allowed_private_networks: section
                .list("allowed_private_networks", NETWORKS_MAX, |value| AllowedNetwork::parse(values::text(value)?))
                .unwrap_or(default.allowed_private_networks),
            user_agent: section.text("user_agent", user_agent).unwrap_or(default.user_agent),
            retry_schedule: retry_schedule(section).unwrap_or(default.retry_schedule),
            max_age: max_age(section).unwrap_or(default.max_age),
            retry_after_max: section.whole_seconds("retry_after_max_s", 0..=604_800).unwrap_or(default.retry_after_max),
            signing_grace: section.whole_seconds("signing_grace_s", SIGNING_GRACE_S).unwrap_or(default.signing_grace),
            deactivate_after: section
                .whole_seconds("deactivate_after_s", 0..=31_536_000)
                .map_or(default.deactivate_after, |after| Some(after).filter(|after| !after.is_zero())),
        }
    }
}

/// `timeout_ms` of the settings or of a webhook.
pub(super) fn timeout(section: &mut Section<'_, '_>) -> Option<Duration> {
    section.millis("timeout_ms", ATTEMPT_TIMEOUT_MS)
}

/// `max_age_s` of the settings or of a webhook.
pub(super) fn max_age(section: &mut Section<'_, '_>) -> Option<Duration> {
    section.whole_seconds("max_age_s", MAX_AGE_S)
}

/// `retry_schedule_s` of the settings or of a webhook.
pub(super) fn retry_schedule(section: &mut Section<'_, '_>) -> Option<Vec<Duration>> {
    section.list("retry_schedule_s", RETRIES_MAX, |value| values::seconds(value, &RETRY_WAIT_S))
}

fn user_agent(text: &str) -> Result<String, String> {
    let chars = text.chars().count();
    if !(1..=USER_AGENT_CHARS_MAX).contains(&chars) {
        return Err(format!("it has {chars} characters, and 1 to {USER_AGENT_CHARS_MAX} are allowed"));
    }
    match text.chars().find(|c| !c.is_ascii_graphic() && *c != ' ') {
        Some(found) => Err(format!("it has the character {found:?}; allowed are visible ASCII and spaces")),
        None => Ok(text.to_owned()),
    }
}
