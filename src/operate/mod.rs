//! What operators do to deliveries: put dead letters back to work, delete, export and import them, send again what was sent, and
//! erase persons. The same for the operators' API and the command line, which read what is asked for and tell what came of it.
//!
//! Everything goes in steps of bounded size, and memory is bounded by the step. Each step leaves the world so that nothing is
//! lost and doing the whole again does what is left: it can be killed at any moment. A step that puts deliveries back to work
//! holds the turn to do so ([`crate::record::ReplayTurn`]), so two at a time, in one process or in several, share the work and
//! send nothing twice.

mod deleted;
mod exporting;
mod forgetting;
mod importing;
mod lines;
mod purging;
mod replaying;
mod resending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::deleted::ToDeleted;
use crate::clock::SharedClock;
use crate::queue::{Queue, QueueError};
use crate::record::{DeadLetters, Filter, RecordError, ReplayTurn};
use crate::registry::RegistryError;

pub use deleted::DeletedWebhooks;
pub use exporting::{Exported, Exporting};
pub use forgetting::{ForgetPlaces, ForgetReport, forget};
pub use importing::{Imported, Importing, RefusedLine};
pub use lines::{Line, Lines};
pub use replaying::ReplayedOne;
pub use resending::{Resend, Resent, ResentOne};

/// How long a step waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether the turn is free.
const TURN_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Problems that are told of one run.
const PROBLEMS_MAX: usize = 20;

/// What operators work on.
#[derive(Clone, Debug)]
pub struct Operations {
    /// The dead letters.
    pub letters: Arc<DeadLetters>,
    /// To what is deleted nothing is sent.
    pub deleted: DeletedWebhooks,
    /// Where deliveries are put back to work.
    pub queue: Queue,
    /// Time.
    pub clock: SharedClock,
}

/// How far a run came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Letters that it has dealt with.
    pub count: u64,
    /// Letters that stay, since their webhooks are deleted.
    pub stays: u64,
    /// Whether that is all; if not, doing the same again goes on.
    pub is_done: bool,
    /// Letters that it could not deal with, in words, the first ones.
    pub problems: Vec<String>,
}

/// When a run stops though there is more to do.
#[derive(Clone, Copy, Debug)]
pub struct Until(Option<Instant>);

impl Until {
    /// When all is done.
    pub const DONE: Self = Self(None);

    /// After the step with which `longest` is over.
    pub fn within(longest: Duration) -> Self {
        Self(Some(Instant::now() + longest))
    }

    fn is_over(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }
}

/// Why something was not done. What was done before stays done.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It could not be noted that a person is forgotten.
    #[error(
        "nothing is erased yet, and what comes by of the person is not dropped either: ask the same again when this is mended"
    )]
    NothingErased {
        /// Why not.
        #[source]
        why: RecordError,
    },
    /// A person is forgotten for what comes by, and erased of some of what there is.
    #[error(
        "erased so far: webhooks {webhooks}, dead letters {dead_letters}; what comes by of the person is dropped. The rest is still there: \
         ask the same again when this is mended"
    )]
    ErasedInPart {
        /// Webhooks that were deleted.
        webhooks: u64,
        /// Dead letters that were.
        dead_letters: u64,
        /// Why not the rest.
        #[source]
        why: Box<OperateError>,
    },
}

impl Operations {
    /// `filter`, and of it only what is dead now: what dies while a run goes on is not part of it.
    pub fn as_of_now(&self, filter: &Filter) -> Filter {
        let now = self.clock.now().plus(Duration::from_millis(1));
        Filter { until: Some(filter.until.map_or(now, |until| until.min(now))), ..filter.clone() }
    }

    /// The turn to put deliveries back to work, as soon as it is free.
    async fn turn(&self) -> Result<ReplayTurn, RecordError> {
        let began = Instant::now();
        loop {
            match self.letters.replay_turn().await {
                Err(RecordError::ReplayPresent) if began.elapsed() < TURN_WAIT_MAX => {
                    tokio::time::sleep(TURN_LOOK_EVERY).await;
                }
                turn => return turn,
            }
        }
    }
}

impl Run {
    /// It, with those that stay since their webhooks are deleted.
    fn leaving(mut self, to_deleted: &ToDeleted) -> Self {
        self.stays = to_deleted.count();
        self.tell(to_deleted.words("dead letters", PROBLEMS_MAX));
        self
    }

    fn tell(&mut self, problems: Vec<String>) {
        let room = PROBLEMS_MAX.saturating_sub(self.problems.len());
        self.problems.extend(problems.into_iter().take(room));
    }
}
