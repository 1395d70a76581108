//! Why there was no answer: from reqwest's nested errors to the one kind that decides, and words for people.
//!
//! A failure of ours (no file descriptor, no memory, no local port) is told apart from the receiver's.

use std::error::Error;
use std::io;

use rustix::io::Errno;

use super::guard::NotAnswered;
use super::interim::INTERIM_MAX;
use super::resolver::{ForbiddenName, NameError};
use super::tunnel::TunnelError;
use crate::decide::{Exchange, NoAnswer};

/// System errors that are our own machine's doing.
const OURS: &[Errno] = &[Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::NETDOWN];

/// Words about a request to another server than the one that was named.
pub(super) const ELSEWHERE: &str = "it is another server than the one that is to be asked";

/// Links of an error's chain that are looked at.
const LINKS_MAX: usize = 16;

/// What `error` means.
pub(super) fn not_answered(error: &NotAnswered) -> Exchange {
    match error {
        NotAnswered::Forbidden(forbidden) => {
            Exchange::NoAnswer { kind: NoAnswer::Forbidden, words: forbidden.to_string() }
        }
        NotAnswered::Elsewhere => Exchange::NoAnswer { kind: NoAnswer::Forbidden, words: ELSEWHERE.to_owned() },
        NotAnswered::Failed(error) => no_answer(error),
        NotAnswered::TooManyInterim => Exchange::NoAnswer { kind: NoAnswer::Connection, words: too_many_interim() },
        NotAnswered::Unanswered(error) => exchange_of(error, false, links(error).any(is_timeout)),
    }
}

/// Words about more interim answers than are waited for.
pub(super) fn too_many_interim() -> String {
    format!("more than {INTERIM_MAX} interim answers (1xx) and no answer")
}

/// Whether the system has given up waiting.
fn is_timeout(link: &(dyn Error + 'static)) -> bool {
    link.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// What `error` means.
pub(super) fn no_answer(error: &reqwest::Error) -> Exchange {
    exchange_of(error, error.is_builder(), error.is_timeout())
}

fn exchange_of(error: &(dyn Error + 'static), is_builder: bool, is_timeout: bool) -> Exchange {
    if let Some(forbidden) = links(error).find_map(|link| link.downcast_ref::<ForbiddenName>()) {
        return Exchange::NoAnswer { kind: NoAnswer::Forbidden, words: forbidden.to_string() };
    }
    let mut words = words(error);
    if links(error).filter_map(tls_error).any(is_unknown_issuer) {
        words.push_str(
            "; its authority is neither the system's nor in outbound.ca_files, or a certificate between is not sent",
        );
    }
    Exchange::NoAnswer { kind: kind(error, is_builder, is_timeout), words }
}

fn is_unknown_issuer(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
}

fn kind(error: &(dyn Error + 'static), is_builder: bool, is_timeout: bool) -> NoAnswer {
    if is_builder {
        return NoAnswer::Invalid;
    }
    let chain = || links(error);
    if chain().any(|link| link.is::<NameError>()) {
        return NoAnswer::Dns;
    }
    match chain().find_map(|link| link.downcast_ref::<TunnelError>()) {
        Some(TunnelError::OurSide { .. }) => return NoAnswer::OurFault,
        Some(TunnelError::Receiver { .. }) => return NoAnswer::Connection,
        None => {}
    }
    if chain().any(|link| tls_error(link).is_some()) {
        return NoAnswer::Tls;
    }
    if chain().filter_map(|link| link.downcast_ref::<io::Error>()).any(is_ours) {
        return NoAnswer::OurFault;
    }
    if is_timeout { NoAnswer::Timeout } else { NoAnswer::Connection }
}

fn links<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    let follow = move || {
        let link = next?;
        next = link.source();
        Some(link)
    };
    std::iter::from_fn(follow).take(LINKS_MAX)
}

/// The error of TLS that `link` is or holds.
fn tls_error<'a>(link: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    // hyper-rustls wraps an `io::Error` in another, whose `source` passes over what is within.
    let mut innermost = link;
    for _ in 0..LINKS_MAX {
        match innermost.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => innermost = inner,
            None => break,
        }
    }
    innermost.downcast_ref()
}

fn is_ours(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| OURS.contains(&errno))
}

/// The chain in words, innermost last, without the URL (it can hold a token) and without saying anything twice.
pub(super) fn words(error: &(dyn Error + 'static)) -> String {
    let mut words = String::new();
    // The outermost link of reqwest's says the URL.
    let skipped = usize::from(error.is::<reqwest::Error>());
    for link in links(error).skip(skipped) {
        let text = link.to_string();
        if text.is_empty() || words.contains(&text) {
            continue;
        }
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&text);
    }
    if words.is_empty() { "no answer".to_owned() } else { words }
}
