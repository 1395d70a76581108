//! Where a delivery's row lies: a number that is known from the delivery alone.
//!
//! The number is the moment at which the event was taken in, in milliseconds, and below that 20 bits of the delivery's id. Rows are
//! so in the order of time, as listings want them. Two deliveries can want one place; the later one then takes the next that is
//! free, so who looks for a delivery looks on until the place is free or its.

use crate::model::Timestamp;

/// Bits of the number below the millisecond.
pub(super) const ID_BITS: u32 = 20;
/// Of an id's characters after `msg_`, each of 5 bits, so many.
const ID_CHARS: usize = (ID_BITS / 5) as usize;
/// The last moment that has places of its own, in the year 2248.
const LAST_MS: i64 = (1 << 43) - 1;

/// The place that the delivery `id` of an event that was taken in at `accepted_at` wants.
pub(super) fn place_of(accepted_at: Timestamp, id: &str) -> i64 {
    let bits = id.bytes().skip("msg_".len()).take(ID_CHARS).fold(0, |bits, c| (bits << 5) | bits_of(c));
    first_place(accepted_at) + bits
}

/// The lowest place of that moment.
pub(super) fn first_place(moment: Timestamp) -> i64 {
    moment.as_millis().clamp(0, LAST_MS) << ID_BITS
}

/// The first and the last place of that moment.
pub(super) fn places_of(moment: Timestamp) -> (i64, i64) {
    (first_place(moment), first_place(moment) | ((1 << ID_BITS) - 1))
}

/// What a character of base32 stands for.
fn bits_of(c: u8) -> i64 {
    i64::from(if c.is_ascii_lowercase() { c - b'a' } else { c.saturating_sub(b'2') + 26 } & 0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(begin: &str) -> String {
        format!("msg_{begin:a<32}")
    }

    #[test]
    fn places_are_in_the_order_of_time_and_then_of_ids() {
        let moment = Timestamp::from_millis;
        assert_eq!(place_of(moment(1), &id("")), 1 << 20);
        assert_eq!(place_of(moment(1), &id("aaab")), (1 << 20) + 1);
        assert_eq!(place_of(moment(1), &id("baaa")), (1 << 20) + (1 << 15));
        assert_eq!(place_of(moment(1), &id("7777")), (2 << 20) - 1);
        assert_eq!(place_of(moment(2), &id("")), 2 << 20);
    }

    #[test]
    fn a_moment_that_is_no_ones_has_a_place_too() {
        assert_eq!(place_of(Timestamp::from_millis(i64::MIN), &id("")), 0);
        assert_eq!(place_of(Timestamp::from_millis(i64::MAX), &id("7777")), i64::MAX);
    }
}
