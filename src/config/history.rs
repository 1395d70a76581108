//! `[history]`: what is kept of deliveries and attempts, and for how long.

use std::time::Duration;

use super::reader::Section;
use crate::outbound::RESPONSE_KEPT_BYTES_MAX;

/// Ten years of 365 days, in seconds.
const TEN_YEARS_S: u64 = 10 * 365 * 86_400;

/// What is kept of deliveries and attempts, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// `enabled`: whether every delivery and attempt is noted. Default true: what was sent, and what came back, is the first
    /// question when something is missing.
    pub enabled: bool,
    /// `retention_s`: seconds that a delivery is kept after its last change, 60 to 315360000 (10 years). Default 604800 (7
    /// days): longer than deliveries are tried for, and short for what people did.
    pub retention: Duration,
    /// `count_max`: deliveries, and attempts, kept at most, 1000 to 100000000. Default 1000000: less than a gigabyte.
    pub count_max: u64,
    /// `response_bytes_max`: bytes kept of what a receiver answered, 0 to 2048. Default 2048: enough to see what it says.
    pub response_bytes_max: usize,
    /// `bodies`: whether the events' bodies are kept, so that what was delivered can be sent again. Default true: a receiver that
    /// lost what it got asks for it again. They are what people wrote.
    pub bodies: bool,
    /// `bodies_retention_s`: seconds that a body is kept, 60 to 315360000 (10 years). Default 604800 (7 days), as long as its
    /// delivery.
    pub bodies_retention: Duration,
    /// `bodies_bytes_max`: bytes that bodies take at most, 1048576 (1 MiB) to 1099511627776 (1 TiB); of more, those that were written
    /// first go. Default 1073741824 (1 GiB): some 800,000 of Misskey's events.
    pub bodies_bytes_max: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            enabled: true,
            retention: Duration::from_secs(604_800),
            count_max: 1_000_000,
            response_bytes_max: RESPONSE_KEPT_BYTES_MAX,
            bodies: true,
            bodies_retention: Duration::from_secs(604_800),
            bodies_bytes_max: 1 << 30,
        }
    }
}

impl History {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            enabled: section.flag("enabled").unwrap_or(default.enabled),
            retention: section.whole_seconds("retention_s", 60..=TEN_YEARS_S).unwrap_or(default.retention),
            count_max: section.whole("count_max", 1000..=100_000_000).unwrap_or(default.count_max),
            response_bytes_max: section
                .whole("response_bytes_max", 0..=RESPONSE_KEPT_BYTES_MAX)
                .unwrap_or(default.response_bytes_max),
            bodies: section.flag("bodies").unwrap_or(default.bodies),
            bodies_retention: section
                .whole_seconds("bodies_retention_s", 60..=TEN_YEARS_S)
                .unwrap_or(default.bodies_retention),
            bodies_bytes_max: section.whole("bodies_bytes_max", 1 << 20..=1 << 40).unwrap_or(default.bodies_bytes_max),
        }
    }
}
