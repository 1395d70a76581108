//! The limit on interim answers (1xx): a receiver may send some before its answer, and not without end.
//!
//! hyper skips them by itself, as many as have come, in one step of a connection's task, and goes on for as long as there is
//! more to read: on a fast line that is a second and more, in which the one delivery thread does nothing else. So they are
//! counted as hyper reads them. Beyond the limit the step is made to end with what has been read already, at most
//! twice [`HEAD_BYTES_MAX`](super::http::HEAD_BYTES_MAX), and the attempt is told, which gives up and so closes the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::task::coop;

/// Interim answers to a request. Servers send one or two (100, 103), those that report progress (102) one in some seconds.
pub(super) const INTERIM_MAX: u32 = 100;
/// More than what tokio lets a task do in one step (128).
const BUDGET_MAX: usize = 1024;

/// Counts the interim answers to one request.
#[derive(Debug, Default)]
pub(super) struct Interim {
    seen: AtomicU32,
    too_many: Notify,
}

impl Interim {
    /// Counts those to `request` from now on.
    pub(super) fn of<B>(request: &mut hyper::Request<B>) -> Arc<Self> {
        let interim = Arc::new(Self::default());
        let counting = Arc::clone(&interim);
        hyper::ext::on_informational(request, move |_| counting.one_more());
        interim
    }

    /// Returns once there have been too many.
    pub(super) async fn too_many(&self) {
        self.too_many.notified().await;
    }

    fn one_more(&self) {
        if self.seen.fetch_add(1, Ordering::Relaxed) >= INTERIM_MAX {
            self.too_many.notify_one();
            end_step();
        }
    }
}

/// Has the task that runs read nothing more until its next turn: it has none left of what tokio lets it do in one.
fn end_step() {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..BUDGET_MAX {
        if !coop::has_budget_remaining() {
            return;
        }
        match coop::poll_proceed(&mut context) {
            Poll::Ready(turn) => turn.made_progress(),
            Poll::Pending => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_reads_nothing_more_in_a_step_that_was_ended() {
        let spawned = tokio::spawn(async {
            assert!(coop::has_budget_remaining());
            end_step();
            coop::has_budget_remaining()
        });
        assert!(!spawned.await.expect("no panic"));
    }
}
