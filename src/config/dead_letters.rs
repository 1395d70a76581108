//! `[dead_letters]`: how long given-up deliveries are kept.

use std::time::Duration;

use super::reader::Section;

/// Ten years of 365 days, in seconds.
const TEN_YEARS_S: u64 = 10 * 365 * 86_400;

/// How long given-up deliveries are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// `retention_s`: seconds that a dead letter is kept, 60 to 315360000 (10 years). Default 2592000 (30 days): time
    /// to notice, mend and replay; what people wrote should not lie about for longer.
    pub retention: Duration,
    /// `count_max`: dead letters kept at most, 1 to 100000000. Default 1000000: a disk's worth of patience, some
    /// gigabytes. Looked at once a minute.
    pub count_max: u64,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self { retention: Duration::from_secs(2_592_000), count_max: 1_000_000 }
    }
}

impl DeadLetters {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            retention: section.whole_seconds("retention_s", 60..=TEN_YEARS_S).unwrap_or(default.retention),
            count_max: section.whole("count_max", 1..=100_000_000).unwrap_or(default.count_max),
        }
    }
}
