//! A JSON number, compared as the number that it is: `1`, `1.0` and `10e-1` are one, and 2^53 and 2^53 + 1 are two.
//!
//! A binary fraction of 64 bits could do neither for the numbers that a body may hold (`1e400`, 25 digits).

/// A number without the zeros at either end of its digits; zero has none, and no sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    digits: String,
    /// The power of ten that the digits are multiplied with.
    exponent: i64,
}

impl Decimal {
    /// Reads a number as JSON writes it; nothing when it is none, or its exponent has over 18 digits.
    pub fn read(text: &str) -> Option<Self> {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let significant = digits.trim_end_matches('0').len();
        let zeros = i64::try_from(digits.len().checked_sub(significant)?).ok()?;
        digits.truncate(significant);
        digits.drain(..digits.len().checked_sub(digits.trim_start_matches('0').len())?);
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits, exponent: 0 });
        }
        Some(Self { is_negative, digits, exponent: exponent.checked_add(zeros)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_written_in_many_ways_is_one_number() {
        for same in [
            &["1", "1.0", "1e0", "10E-1", "0.1e+1", "100e-2"][..],
            &["0", "-0", "0.000", "0e999", "-0.0e-5"],
            &["-12.5", "-125e-1", "-0.125e2"],
            &["1e400", "10e399", "0.1e401"],
            &["12345678901234567890123", "12345678901234567890123.0"],
        ] {
            for text in same {
                assert_eq!(Decimal::read(text), Decimal::read(same[0]), "{text}");
                assert!(Decimal::read(text).is_some(), "{text}");
            }
        }
    }

    #[test]
    fn numbers_that_differ_a_little_are_two() {
        for (one, other) in [
            ("9007199254740992", "9007199254740993"),
            ("1", "-1"),
            ("1", "10"),
            ("0.1", "0.10000000000000000001"),
            ("1e400", "1e401"),
        ] {
            assert_ne!(Decimal::read(one), Decimal::read(other), "{one} and {other}");
        }
    }

    #[test]
    fn what_is_no_number_or_beyond_all_bounds_is_none() {
        for text in
            ["", "-", ".", "e5", "1e", "1x", "--1", "1.2.3", "1e99999999999999999999", "1e-9223372036854775808.5"]
        {
            assert_eq!(Decimal::read(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn equal_as_decimals_is_equal_as_fractions_where_those_are_exact(a in -999_i32..999, b in -999_i32..999, shift in 0_u32..4) {
            let text = |number: i32| format!("{number}{}e-{shift}", "0".repeat(shift as usize));
            proptest::prop_assert_eq!(Decimal::read(&text(a)), Decimal::read(&a.to_string()));
            proptest::prop_assert_eq!(Decimal::read(&text(a)) == Decimal::read(&b.to_string()), a == b);
        }
    }
}
