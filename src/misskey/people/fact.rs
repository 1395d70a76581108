//! One thing that Misskey has said of a token, for as long as it is believed.

use std::time::Duration;

use tokio::sync::Mutex;

use super::PeopleError;
use crate::clock::SharedClock;
use crate::model::Timestamp;

/// How long a yes is believed.
pub(super) const YES_KEPT: Duration = Duration::from_secs(60);
/// How long a no is: whoever mends his token need not wait long.
pub(super) const NO_KEPT: Duration = Duration::from_secs(10);
/// How long it is that Misskey is away: so that those who wait for one answer do not each find out.
pub(super) const AWAY_KEPT: Duration = Duration::from_secs(2);

/// What was said, and when. Held while it is asked, so that others who want it wait for that answer.
pub(super) struct Fact<T>(Mutex<Option<(Timestamp, Result<T, PeopleError>)>>);

impl<T> Default for Fact<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Fact<T> {
    /// Whether it is known to be something that `fits`; also while it is being asked, since nobody knows what comes.
    pub(super) fn may_be(&self, fits: impl FnOnce(&T) -> bool) -> bool {
        match self.0.try_lock().as_deref() {
            Ok(Some((_, Ok(said)))) => fits(said),
            Ok(Some((_, Err(_))) | None) => false,
            Err(_) => true,
        }
    }

    /// What is believed, or else what `ask` comes to. Who gives up waiting leaves the asking to the next.
    pub(super) async fn get(
        &self,
        clock: &SharedClock,
        ask: impl Future<Output = Result<T, PeopleError>>,
    ) -> Result<T, PeopleError> {
        let mut said = self.0.lock().await;
        if let Some((at, said)) = &*said
            && is_fresh(said, *at, clock.now())
        {
            return said.clone();
        }
        *said = None;
        let answer = ask.await;
        *said = Some((clock.now(), answer.clone()));
        answer
    }
}

fn is_fresh<T>(said: &Result<T, PeopleError>, at: Timestamp, now: Timestamp) -> bool {
    let kept = match said {
        Ok(_) => YES_KEPT,
        Err(PeopleError::WrongToken | PeopleError::Denied(_)) => NO_KEPT,
        Err(PeopleError::Away { .. }) => AWAY_KEPT,
    };
    // A clock that was set back makes nothing young again.
    at <= now && now.since(at) < kept
}
