//! Puts dead letters back to work: the same delivery ids, the next generation.
//!
//! A step publishes the next generation of some letters, and removes those letters, with a note of who did it, only once the
//! queue has them. Killed in between, the letters are there although their deliveries are under way: done again, those of that
//! one step are sent again, with the same ids.

use std::sync::Arc;

use super::{OperateError, Operations, Run, Until};
use crate::model::{DeliveryId, Message, ReplayKind, Target, Timestamp};
use crate::record::{DeadLetter, Filter, ReplayMark};

/// Letters of a step.
const STEP: u32 = 500;

impl Operations {
    /// Puts what `filter` lets through back to work, on behalf of `by`. `told` hears after each step how many it were so far.
    ///
    /// # Errors
    /// When the store or the queue does not do it, or others put letters back to work all the time.
    pub async fn replay(
        &self,
        filter: &Filter,
        by: &str,
        until: Until,
        mut told: impl FnMut(u64) + Send,
    ) -> Result<Run, OperateError> {
        let (mut run, mut after) = (Run::default(), None);
        loop {
            let turn = self.turn().await?;
            // Read within the turn: what another has put back to work is not here any more.
            let page = self.letters.read(filter, STEP, after).await?;
            run.tell(page.problems);
            run.count += page.letters.len() as u64;
            self.replay_step(&page.letters, by).await?;
            drop(turn);
            told(run.count);
            after = page.next;
            run.is_done = after.is_none();
            if run.is_done || until.is_over() {
                return Ok(run);
            }
        }
    }

    /// Puts the letter of the delivery `id` back to work, and tells its new generation; nothing when there is none.
    ///
    /// # Errors
    /// As [`Self::replay`], and when the letter cannot be read.
    pub async fn replay_one(&self, id: &DeliveryId, by: &str) -> Result<Option<u32>, OperateError> {
        let _turn = self.turn().await?;
        let Some(letter) = self.letters.show(id).await? else { return Ok(None) };
        let generation = letter.delivery.generation.saturating_add(1);
        self.replay_step(&[letter], by).await?;
        Ok(Some(generation))
    }

    async fn replay_step(&self, letters: &[DeadLetter], by: &str) -> Result<(), OperateError> {
        if letters.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.queue.publish(letters.iter().map(|letter| message_of(letter, now)).collect()).await?;
        let done = letters.iter().map(|letter| (letter.id.clone(), letter.delivery.generation)).collect();
        let mark = ReplayMark { how: ReplayKind::Replay, by: by.to_owned(), at: now };
        Ok(self.letters.replayed(done, mark).await?)
    }
}

fn message_of(letter: &DeadLetter, now: Timestamp) -> Message {
    Message { event: Arc::clone(&letter.event), target: Target::One(letter.delivery.replayed(now)) }
}
