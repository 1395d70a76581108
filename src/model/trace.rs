//! Which trace something belongs to, as W3C Trace Context writes it in a `traceparent` (Recommendation of 23 November 2021,
//! section 3.2):
//!
//! ```text
//! 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!    the trace                        the span         flags: 1, it is recorded
//! ```
//!
//! What is not well formed is no context, and never an event's fault: its trace begins anew.

use std::fmt;

/// Characters of a `traceparent` of the version 00.
const CHARS: usize = 55;

/// Names a trace: 16 bytes, not all of them zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Names a span within its trace: 8 bytes, not all of them zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A span as those know it that come after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether the trace is recorded: whoever begins a trace decides that for all of it.
    pub is_sampled: bool,
}

impl TraceId {
    /// That of `number`; 0 counts as 1.
    pub fn from_number(number: u128) -> Self {
        Self(number.max(1).to_be_bytes())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Its last 56 bits, which are drawn by chance (Trace Context, level 2, section 3.2.2.3).
    pub fn chance(&self) -> u64 {
        let [.., a, b, c, d, e, f, g] = self.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g])
    }
}

impl SpanId {
    /// That of `number`; 0 counts as 1.
    pub fn from_number(number: u64) -> Self {
        Self(number.max(1).to_be_bytes())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

impl TraceContext {
    /// Reads a `traceparent`; nothing when it is none. Of a version that is not known, what the version 00 has is read.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let known = text.get(..CHARS)?;
        let mut parts = known.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = [version.len(), trace.len(), span.len(), flags.len()];
        if lengths != [2, 32, 16, 2] || ![version, trace, span, flags].into_iter().all(is_hex) {
            return None;
        }
        let more = &text[CHARS..];
        if version == "ff" || !more.is_empty() && (version == "00" || !more.starts_with('-')) {
            return None;
        }
        let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        let flags = u8::from_str_radix(flags, 16).ok()?;
        (trace != 0 && span != 0).then(|| Self {
            trace: TraceId::from_number(trace),
            span: SpanId::from_number(span),
            is_sampled: flags & 1 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WELL_FORMED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_well_formed_is_read_and_written_as_it_was() {
        let read = TraceContext::parse(WELL_FORMED).expect("well formed");
        assert_eq!(read.to_string(), WELL_FORMED);
        assert_eq!(read.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(read.is_sampled);
        let unsampled = WELL_FORMED.replace("-01", "-00");
        assert_eq!(TraceContext::parse(&unsampled).expect("well formed").to_string(), unsampled);
        let other_flags = TraceContext::parse(&WELL_FORMED.replace("-01", "-fe")).expect("flags that are not known");
        assert!(!other_flags.is_sampled);
    }

    #[test]
    fn of_a_later_version_that_is_read_which_is_known() {
        for later in [
            WELL_FORMED.replacen("00", "01", 1),
            WELL_FORMED.replacen("00", "cc", 1) + "-",
            WELL_FORMED.replacen("00", "cc", 1) + "-what the future will be like",
        ] {
            assert_eq!(TraceContext::parse(&later), TraceContext::parse(WELL_FORMED), "{later}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_no_context() {
        for bad in [
            String::new(),
            WELL_FORMED[..54].to_owned(),
            format!("{WELL_FORMED}-"),
            format!("{WELL_FORMED}0"),
            format!(" {WELL_FORMED}"),
            WELL_FORMED.to_uppercase(),
            WELL_FORMED.replacen("00", "ff", 1),
            WELL_FORMED.replacen("00", "cc", 1) + "0",
            WELL_FORMED.replace('-', "_"),
            WELL_FORMED.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            WELL_FORMED.replace("00f067aa0ba902b7", &"0".repeat(16)),
            WELL_FORMED.replace("4bf9", "4bg9"),
            WELL_FORMED.replace("-01", "-0x"),
            WELL_FORMED.replace("-01", "-+1"),
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01".to_owned(),
            "語".repeat(55),
        ] {
            assert_eq!(TraceContext::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn the_chance_of_a_trace_is_its_last_seven_bytes() {
        let trace = TraceId::from_number(0xffff_ffff_ffff_ffff_ff01_0203_0405_0607);
        assert_eq!(trace.chance(), 0x01_0203_0405_0607);
    }

    proptest! {
        #[test]
        fn every_context_comes_back_as_it_was(trace in 1_u128.., span in 1_u64.., is_sampled: bool) {
            let context = TraceContext {
                trace: TraceId::from_number(trace), span: SpanId::from_number(span), is_sampled,
            };
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }

        #[test]
        fn nothing_makes_reading_panic(text in "\\PC{0,80}") {
            let _whatever = TraceContext::parse(&text);
        }
    }
}
