//! Whether this machine's clock is right, by the clocks of those it talks to: signatures carry the time, and receivers refuse
//! those of another.

use std::time::Duration;

use crate::cli::Finding;
use crate::model::Timestamp;

const ABOUT: &str = "clock";
/// A difference that nobody notices.
const DIFFERENCE_MAX: Duration = Duration::from_secs(5);
/// What receivers suffer at most (Standard Webhooks' libraries allow five minutes), less a minute.
const SUFFERED_MAX: Duration = Duration::from_secs(4 * 60);

/// Compares this machine's clock with that of `whose`, which showed a moment from `first` to `last` at some time after
/// `before` and before `after` here.
pub(super) fn compare(whose: &str, first: Timestamp, last: Timestamp, before: Timestamp, after: Timestamp) -> Finding {
    // Of two spans that touch nothing is known to be wrong.
    let (behind, ahead) = (first.since(after), before.since(last));
    let (difference, side) = if behind > ahead { (behind, "behind") } else { (ahead, "ahead of") };
    if difference <= DIFFERENCE_MAX {
        return Finding::ok(ABOUT, format!("this machine's clock and {whose} agree"));
    }
    let what = format!("this machine's clock is {} s {side} {whose}", difference.as_secs());
    let mend = "let both keep time by NTP (`timedatectl set-ntp true`); which of the two is wrong cannot be seen from here. \
                Signatures carry the time, and receivers refuse those that are minutes off";
    if difference > SUFFERED_MAX { Finding::error(ABOUT, what, mend) } else { Finding::warning(ABOUT, what, mend) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Level;

    #[test]
    fn a_difference_counts_only_beyond_what_an_answer_may_have_taken() {
        let at = Timestamp::from_millis;
        for (first, last, before, after, level, words) in [
            (1_000, 1_999, 1_500, 1_600, Level::Ok, "agree"),
            (0, 999, 5_900, 6_000, Level::Ok, "agree"),
            (0, 999, 1_000, 60_000, Level::Ok, "agree"),
            (0, 999, 12_000, 12_100, Level::Warning, "11 s ahead of Misskey's"),
            (60_000, 60_999, 0, 100, Level::Warning, "59 s behind Misskey's"),
            (600_000, 600_999, 0, 100, Level::Error, "599 s behind"),
        ] {
            let finding = compare("Misskey's", at(first), at(last), at(before), at(after));
            assert!(finding.level == level && finding.what.contains(words), "{first} {before}: {finding:?}");
        }
    }
}
