//! Sends again what was sent before: deliveries that have ended, in whatever way, whose bodies the history has yet, or a dead letter.
//!
//! The same delivery id, the next generation. What is on its way already is left alone: what waits in the queue, and what was put
//! back to work and has not been heard of since. A run has a beginning (`before`), and leaves alone what was put back to work after
//! it: broken off and done again with the same beginning, it sends nothing a second time but the one step that it was killed in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::deleted::ToDeleted;
use super::{OperateError, Operations, Until};
use crate::model::{Delivery, DeliveryId, DeliveryState, Event, Message, ReplayKind, Target, Timestamp, WebhookId};
use crate::record::{HistoryCursor, HistoryFilter, HistoryReader, KeptDelivery, ReplayMark, Replayed, WithEvent};

/// Deliveries that are looked at in a step.
const STEP: u32 = 200;
/// How long a delivery that was put back to work counts as on its way though the history has not heard of it: that may have a gap.
const UNHEARD_OF_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The same of what waits, from when it came back at the latest: its end may be in such a gap too.
const OVERDUE_MAX: Duration = Duration::from_secs(60 * 60);

/// What to send again.
#[derive(Clone, Debug)]
pub struct Resend {
    /// Which deliveries.
    pub filter: HistoryFilter,
    /// Not those that were put back to work at this moment or later.
    pub before: Timestamp,
    /// Where to go on.
    pub after: Option<HistoryCursor>,
    /// Whether nothing is sent.
    pub is_dry: bool,
}

/// How far that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resent {
    /// Deliveries that are sent again; in a dry run, that would be.
    pub count: u64,
    /// Deliveries that are on their way already, or were put back to work since the beginning.
    pub under_way: u64,
    /// Deliveries whose body is not kept any more, or never was.
    pub without_body: u64,
    /// Where to go on; none: that was all.
    pub next: Option<HistoryCursor>,
    /// Deliveries that cannot be read, in words, the first ones.
    pub problems: Vec<String>,
}

/// What becomes of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResentOne {
    /// It is sent again, in this generation.
    Sent(u32),
    /// It is on its way already.
    UnderWay,
    /// Its body is not kept any more, or never was.
    WithoutBody,
    /// Its webhook is deleted.
    ToDeleted(WebhookId),
    /// Neither the history has it nor the dead letters.
    Unknown,
}

/// What is to be done with a delivery.
enum Choice {
    Send(Delivery, Arc<Event>),
    UnderWay,
    WithoutBody,
    ToDeleted(WebhookId),
}

impl Operations {
    /// Sends again what `resend` says, on behalf of `by`.
    ///
    /// # Errors
    /// When history, store or queue do not do it, or others put deliveries back to work all the time.
    pub async fn resend(
        &self,
        history: &HistoryReader,
        resend: &Resend,
        by: &str,
        until: Until,
    ) -> Result<Resent, OperateError> {
        let mut resent = Resent { next: resend.after, ..Resent::default() };
        let mut to_deleted = self.deleted.look().await?;
        loop {
            let _turn = self.turn().await?;
            let page = history.read(&resend.filter, STEP, resent.next).await?;
            let room = super::PROBLEMS_MAX.saturating_sub(resent.problems.len());
            resent.problems.extend(page.problems.into_iter().take(room));
            self.resend_step(page.deliveries, resend, by, (&mut resent, &mut to_deleted)).await?;
            resent.next = page.next;
            if resent.next.is_none() || until.is_over() {
                let room = super::PROBLEMS_MAX.saturating_sub(resent.problems.len());
                resent.problems.extend(to_deleted.words("deliveries", room));
                return Ok(resent);
            }
        }
    }

    /// Sends the delivery `id` again, on behalf of `by`, unless it is on its way.
    ///
    /// # Errors
    /// As [`Self::resend`], and when what the history has of it cannot be read.
    pub async fn resend_one(
        &self,
        history: &HistoryReader,
        id: &DeliveryId,
        by: &str,
    ) -> Result<ResentOne, OperateError> {
        let to_deleted = self.deleted.look().await?;
        let _turn = self.turn().await?;
        let choice = match history.with_event(id).await? {
            Some(found) => {
                let replays = self.letters.latest_replays(vec![id.clone()]).await?;
                // What was put back to work and has ended since may be sent once more.
                let before = self.clock.now().plus(Duration::from_secs(1));
                self.choose(found, &replays, before, &to_deleted).await?
            }
            // The history may have a gap where it died.
            None => match self.letters.show(id).await? {
                Some(letter) if to_deleted.is(&letter.delivery.webhook) => Choice::ToDeleted(letter.delivery.webhook),
                Some(letter) => Choice::Send(letter.delivery.replayed(self.clock.now()), letter.event),
                None => return Ok(ResentOne::Unknown),
            },
        };
        match choice {
            Choice::UnderWay => Ok(ResentOne::UnderWay),
            Choice::WithoutBody => Ok(ResentOne::WithoutBody),
            Choice::ToDeleted(webhook) => Ok(ResentOne::ToDeleted(webhook)),
            Choice::Send(delivery, event) => {
                let generation = delivery.generation;
                self.send(vec![(delivery, event)], by).await?;
                Ok(ResentOne::Sent(generation))
            }
        }
    }

    async fn resend_step(
        &self,
        deliveries: Vec<WithEvent>,
        resend: &Resend,
        by: &str,
        (resent, to_deleted): (&mut Resent, &mut ToDeleted),
    ) -> Result<(), OperateError> {
        let ids = deliveries.iter().map(|(kept, _)| kept.id.clone()).collect();
        let replays = self.letters.latest_replays(ids).await?;
        let mut chosen = Vec::new();
        for found in deliveries {
            match self.choose(found, &replays, resend.before, to_deleted).await? {
                Choice::Send(delivery, event) => chosen.push((delivery, event)),
                Choice::UnderWay => resent.under_way += 1,
                Choice::WithoutBody => resent.without_body += 1,
                Choice::ToDeleted(webhook) => to_deleted.add(&webhook, 1),
            }
        }
        resent.count += chosen.len() as u64;
        if resend.is_dry { Ok(()) } else { self.send(chosen, by).await }
    }

    async fn choose(
        &self,
        (kept, event): WithEvent,
        replays: &HashMap<DeliveryId, Replayed>,
        before: Timestamp,
        to_deleted: &ToDeleted,
    ) -> Result<Choice, OperateError> {
        let replayed = replays.get(&kept.id);
        if is_under_way(&kept, replayed, before, self.clock.now()) {
            return Ok(Choice::UnderWay);
        }
        if to_deleted.is(&kept.webhook) {
            return Ok(Choice::ToDeleted(kept.webhook));
        }
        let event = match event {
            Some(event) => Arc::new(event),
            // A dead letter has its body with it; the history may have a gap where it died.
            None if matches!(kept.state, DeliveryState::Dead | DeliveryState::Waiting) => {
                match self.letters.show(&kept.id).await? {
                    Some(letter) => letter.event,
                    None => return Ok(Choice::WithoutBody),
                }
            }
            None => return Ok(Choice::WithoutBody),
        };
        let generation = replayed.map_or(kept.generation, |replayed| replayed.generation.max(kept.generation));
        let ended = Delivery { generation, ..Delivery::fresh(&event, kept.webhook) };
        Ok(Choice::Send(ended.replayed(self.clock.now()), event))
    }

    /// Publishes them, and then removes dead letters that they were, with a note of who did it.
    async fn send(&self, chosen: Vec<(Delivery, Arc<Event>)>, by: &str) -> Result<(), OperateError> {
        if chosen.is_empty() {
            return Ok(());
        }
        let before = |delivery: &Delivery| delivery.generation.saturating_sub(1);
        let done = chosen.iter().map(|(delivery, event)| (delivery.id(event), before(delivery))).collect();
        let message = |(delivery, event)| Message { event, target: Target::One(delivery) };
        self.queue.publish(chosen.into_iter().map(message).collect()).await?;
        let mark = ReplayMark { how: ReplayKind::Resend, by: by.to_owned(), at: self.clock.now() };
        Ok(self.letters.replayed(done, mark).await?)
    }
}

/// Whether it will be sent anyway, or was within the run that began at `before`.
fn is_under_way(kept: &KeptDelivery, replayed: Option<&Replayed>, before: Timestamp, now: Timestamp) -> bool {
    if kept.state == DeliveryState::Waiting && !is_overdue(kept, now) {
        return true;
    }
    replayed.is_some_and(|replayed| {
        let is_unheard_of = replayed.generation > kept.generation && now.since(replayed.at) < UNHEARD_OF_MAX;
        is_unheard_of || replayed.at >= before
    })
}

/// Whether what waits cannot be on its way any more.
fn is_overdue(kept: &KeptDelivery, now: Timestamp) -> bool {
    kept.due.is_some_and(|due| {
        // RabbitMQ may keep it for as long again.
        let latest = due.plus(due.since(kept.changed_at));
        now.since(latest) > OVERDUE_MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventId, EventType, Source, WebhookId};

    const NOW: Timestamp = Timestamp::from_millis(1_774_960_496_789);

    fn kept(state: DeliveryState) -> KeptDelivery {
        let (event, webhook) = (EventId::new("e").expect("id"), WebhookId::new("wh1").expect("id"));
        KeptDelivery {
            id: DeliveryId::of(&event, &webhook),
            event,
            kind: EventType::new("note").expect("type"),
            user: None,
            source: Source::default(),
            webhook,
            accepted_at: NOW,
            generation: 1,
            attempts: 1,
            state,
            reason: None,
            changed_at: NOW,
            due: None,
        }
    }

    fn replayed(generation: u32, ago: Duration) -> Replayed {
        Replayed { generation, how: ReplayKind::Resend, by: "admin".to_owned(), at: NOW.minus(ago) }
    }

    #[test]
    fn what_is_on_its_way_or_was_sent_since_the_beginning_is_left_alone() {
        let (hour, day) = (Duration::from_secs(3600), UNHEARD_OF_MAX);
        let is = |state, replayed: Option<&Replayed>, before| is_under_way(&kept(state), replayed, before, NOW);
        let beginning = NOW.minus(2 * hour);
        for ended in [DeliveryState::Delivered, DeliveryState::Dead, DeliveryState::Dropped] {
            assert!(!is(ended, None, beginning), "{ended}");
            assert!(!is(ended, Some(&replayed(1, 3 * hour)), beginning), "put back to work before, and ended since");
            assert!(is(ended, Some(&replayed(2, 3 * hour)), beginning), "put back to work, and not heard of since");
            assert!(!is(ended, Some(&replayed(2, day)), beginning), "not heard of for too long: the history has a gap");
            assert!(is(ended, Some(&replayed(1, hour)), beginning), "sent in this run, and ended since");
        }
        assert!(is(DeliveryState::Waiting, None, beginning));
    }

    #[test]
    fn what_waited_until_long_ago_has_ended_in_a_gap_of_the_history() {
        let (wait, beginning) = (Duration::from_secs(30 * 60), NOW);
        let is = |since_due: Duration, replayed: Option<&Replayed>| {
            let due = NOW.minus(since_due);
            let kept = KeptDelivery { due: Some(due), changed_at: due.minus(wait), ..kept(DeliveryState::Waiting) };
            is_under_way(&kept, replayed, beginning, NOW)
        };
        let longest = wait + OVERDUE_MAX;
        assert!(is(longest, None), "a bucket may keep it for as long again, and a worker may be away");
        assert!(!is(longest + Duration::from_millis(1), None));
        assert!(is(2 * longest, Some(&replayed(2, wait))), "it was put back to work since");
    }
}
