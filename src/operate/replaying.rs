//! Puts dead letters back to work: the same delivery ids, the next generation.
//!
//! A step publishes the next generation of some letters, and removes those letters, with a note of who did it, only once the
//! queue has them. Killed in between, the letters are there although their deliveries are under way: done again, those of that
//! one step are sent again, with the same ids.

use std::sync::Arc;

use super::{OperateError, Operations, Run, Until};
use crate::model::{DeliveryId, Message, ReplayKind, Target, Timestamp, WebhookId};
use crate::record::{DeadLetter, Filter, ReplayMark};

/// What became of one letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayedOne {
    /// It is put back to work, in this generation.
    Sent(u32),
    /// There is no such letter.
    NotThere,
    /// Its webhook is deleted: it stays.
    ToDeleted(WebhookId),
}

/// Letters of a step.
const STEP: u32 = 500;

impl Operations {
    /// Puts what `filter` lets through back to work, on behalf of `by`; not what is for webhooks that are deleted. `told` hears after
    /// each step how many it were so far.
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
        let (mut run, mut after, mut to_deleted) = (Run::default(), None, self.deleted.look().await?);
        loop {
            let turn = self.turn().await?;
            // Read within the turn: what another has put back to work is not here any more.
            let page = self.letters.read(filter, STEP, after).await?;
            run.tell(page.problems);
            let (stay, go): (Vec<_>, Vec<_>) =
                page.letters.into_iter().partition(|letter| to_deleted.is(&letter.delivery.webhook));
            stay.iter().for_each(|letter| to_deleted.add(&letter.delivery.webhook, 1));
            self.replay_step(&go, by).await?;
            drop(turn);
            run.count += go.len() as u64;
            told(run.count);
            after = page.next;
            run.is_done = after.is_none();
            // Who asks again begins at the beginning, where those are that stay.
            if run.is_done || (until.is_over() && run.count > 0) {
                return Ok(run.leaving(&to_deleted));
            }
        }
    }

    /// How many letters [`Self::replay`] would put back to work.
    ///
    /// # Errors
    /// What the store says.
    pub async fn would_replay(&self, filter: &Filter) -> Result<Run, OperateError> {
        let (mut run, mut to_deleted) = (Run::default(), self.deleted.look().await?);
        for (webhook, count) in self.letters.count_by_webhook(filter).await? {
            if to_deleted.is(&webhook) {
                to_deleted.add(&webhook, count);
            } else {
                run.count += count;
            }
        }
        run.is_done = true;
        Ok(run.leaving(&to_deleted))
    }

    /// Puts the letter of the delivery `id` back to work.
    ///
    /// # Errors
    /// As [`Self::replay`], and when the letter cannot be read.
    pub async fn replay_one(&self, id: &DeliveryId, by: &str) -> Result<ReplayedOne, OperateError> {
        let to_deleted = self.deleted.look().await?;
        let _turn = self.turn().await?;
        let Some(letter) = self.letters.show(id).await? else { return Ok(ReplayedOne::NotThere) };
        if to_deleted.is(&letter.delivery.webhook) {
            return Ok(ReplayedOne::ToDeleted(letter.delivery.webhook));
        }
        let generation = letter.delivery.generation.saturating_add(1);
        self.replay_step(&[letter], by).await?;
        Ok(ReplayedOne::Sent(generation))
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
