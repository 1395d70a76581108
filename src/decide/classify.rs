//! What an exchange with a receiver means.
//!
//! The table of the wire format, as a function: 2xx is delivered; 410 is gone; 408, 425, 429, 5xx and no answer are tried
//! again; 3xx and every other 4xx are refused (we follow no redirect: it would carry the secret elsewhere, and a POST would
//! become a GET). A failure of ours is told apart, because it must not cost the receiver an attempt.

use std::time::Duration;

use super::parse_retry_after;
use crate::model::{Outcome, Timestamp};

/// How an exchange went, as outbound saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// The receiver answered, headers and body in time.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The text of the header `Retry-After`.
        retry_after: Option<String>,
        /// The beginning of a failing answer's body, as one line.
        excerpt: String,
    },
    /// There was no complete answer.
    NoAnswer {
        /// Why.
        kind: NoAnswer,
        /// The same in words.
        words: String,
    },
}

/// Why there was no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The deadline passed.
    Timeout,
    /// The name has no address.
    Dns,
    /// The TLS handshake failed.
    Tls,
    /// Refused, reset, closed half-way, or no HTTP.
    Connection,
    /// Policy forbids the address.
    Forbidden,
    /// No request can be made of this webhook.
    Invalid,
    /// We could not try.
    OurFault,
}

/// What an exchange means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The kind of success or failure.
    pub outcome: Outcome,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// How long the receiver asked us to wait.
    pub retry_after: Option<Duration>,
    /// The failure in words; empty on success.
    pub words: String,
}

/// Says what `exchange`, ended at `now`, means.
pub fn classify(exchange: &Exchange, now: Timestamp) -> Verdict {
    match exchange {
        Exchange::Answered { status, retry_after, excerpt } => Verdict {
            outcome: outcome_of_status(*status),
            status: Some(*status),
            retry_after: retry_after.as_deref().and_then(|text| parse_retry_after(text, now)),
            words: words_of_answer(*status, excerpt),
        },
        Exchange::NoAnswer { kind, words } => {
            Verdict { outcome: outcome_of_silence(*kind), status: None, retry_after: None, words: words.clone() }
        }
    }
}

/// What the words of a failing answer begin with.
const ANSWERED: &str = "the receiver answered ";

fn words_of_answer(status: u16, excerpt: &str) -> String {
    match (status, excerpt) {
        (200..=299, _) => String::new(),
        (_, "") => format!("{ANSWERED}{status}"),
        _ => format!("{ANSWERED}{status}: {excerpt}"),
    }
}

/// The words of a failure without what the receiver itself said, which may be what we sent, for where that has no place.
pub fn without_excerpt(words: &str) -> &str {
    match words.strip_prefix(ANSWERED).and_then(|rest| rest.find(':')) {
        Some(colon) => &words[..ANSWERED.len() + colon],
        None => words,
    }
}

fn outcome_of_status(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Delivered,
        410 => Outcome::Gone,
        429 => Outcome::RateLimited,
        408 | 425 => Outcome::ServerError,
        300..=499 => Outcome::Refused,
        _ => Outcome::ServerError,
    }
}

fn outcome_of_silence(kind: NoAnswer) -> Outcome {
    match kind {
        NoAnswer::Timeout => Outcome::Timeout,
        NoAnswer::Dns => Outcome::Dns,
        NoAnswer::Tls => Outcome::Tls,
        NoAnswer::Connection => Outcome::Connection,
        NoAnswer::Forbidden => Outcome::Forbidden,
        NoAnswer::Invalid => Outcome::Invalid,
        NoAnswer::OurFault => Outcome::OurFault,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16) -> Outcome {
        classify(&Exchange::Answered { status, retry_after: None, excerpt: String::new() }, Timestamp::default())
            .outcome
    }

    #[test]
    fn the_words_of_a_failure_can_be_told_without_what_the_receiver_said() {
        for excerpt in ["s3cr3t: here", ""] {
            assert_eq!(without_excerpt(&words_of_answer(503, excerpt)), "the receiver answered 503");
        }
        assert_eq!(without_excerpt("tls: no certificate"), "tls: no certificate");
    }

    #[test]
    fn every_status_means_what_the_table_says() {
        for status in 100..1000 {
            let expected = match status {
                200..=299 => Outcome::Delivered,
                410 => Outcome::Gone,
                429 => Outcome::RateLimited,
                408 | 425 | 100..=199 | 500..=999 => Outcome::ServerError,
                _ => Outcome::Refused,
            };
            assert_eq!(answered(status), expected, "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_from_any_answer() {
        let exchange =
            Exchange::Answered { status: 503, retry_after: Some("120".to_owned()), excerpt: "busy".to_owned() };
        assert_eq!(classify(&exchange, Timestamp::default()).retry_after, Some(Duration::from_secs(120)));
    }

    proptest! {
        #[test]
        fn only_2xx_counts_as_delivered(status in 0_u16..2000, retry_after in proptest::option::of("\\PC{0,20}")) {
            let verdict = classify(&Exchange::Answered { status, retry_after, excerpt: "words".to_owned() }, Timestamp::default());
            prop_assert_eq!(verdict.outcome == Outcome::Delivered, (200..300).contains(&status));
            prop_assert_eq!(verdict.words.is_empty(), verdict.outcome == Outcome::Delivered);
        }
    }
}
