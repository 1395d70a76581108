//! How tests wait: for an event, with a reason when it does not come, and never for time alone.

use std::future::Future;
use std::time::Duration;

/// How long anything may take on a busy machine before its test has failed.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);
/// How long nothing may happen where nothing is to happen. There is no event to wait for; a correct program never fails
/// by this, however slow the machine.
pub(crate) const QUIET: Duration = Duration::from_millis(100);

/// Waits for `future`, `what` being what is waited for.
#[track_caller]
pub(crate) fn soon<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    within(LONGEST, what, future)
}

/// Waits for `future` at most `longest`.
#[track_caller]
pub(crate) fn within<F: Future>(longest: Duration, what: &str, future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(longest, future).await {
            Ok(output) => output,
            Err(_) => panic!("{place}: waited {longest:?} in vain: {what}"),
        }
    }
}

/// Checks that `future` does not end.
#[track_caller]
pub(crate) fn never<F: Future<Output: std::fmt::Debug>>(what: &str, future: F) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        if let Ok(output) = tokio::time::timeout(QUIET, future).await {
            panic!("{place}: this must not happen: {what}: {output:?}");
        }
    }
}
