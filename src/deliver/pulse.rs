//! Whether the delivery loop lives: it is asked, and answers between two turns of its work.
//!
//! Nothing is asked, and nothing costs time, unless somebody wants to know, as systemd's watchdog does. What waits for receivers or for the
//! queue is no obstacle; only a loop that turns no more stays silent.

use tokio::sync::{mpsc, oneshot};

/// Questions that wait for an answer.
const ASKED_MAX: usize = 1;

/// Asks the loop.
#[derive(Clone, Debug)]
pub struct Pulse(mpsc::Sender<oneshot::Sender<()>>);

/// Answers in the loop.
#[derive(Debug)]
pub(super) struct Beating(mpsc::Receiver<oneshot::Sender<()>>);

/// Who asks, and who answers.
pub(super) fn pulse() -> (Pulse, Beating) {
    let (ask, asked) = mpsc::channel(ASKED_MAX);
    (Pulse(ask), Beating(asked))
}

impl Pulse {
    /// Ends when the loop has answered, or when it has come to its end, as it does when it is told to; not while it hangs.
    pub async fn felt(&self) {
        let (answer, answered) = oneshot::channel();
        if self.0.send(answer).await.is_ok() {
            let _answered_or_ended = answered.await;
        }
    }
}

impl Beating {
    /// Answers the next question; waits for ever when nobody can ask any more.
    pub(super) async fn beat(&mut self) {
        match self.0.recv().await {
            Some(answer) => {
                let _gone_meanwhile = answer.send(());
            }
            None => std::future::pending().await,
        }
    }
}
