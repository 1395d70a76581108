//! Takes an event in once, however often and however early it is sent again.
//!
//! Storing goes on in a task of its own, to the end, whether or not anybody still waits for it: who has been told 503 because
//! it took too long sends the event again, and by then it is known. What is sent again while the first is under way waits for
//! the first's outcome. A queue that remembers does so in the step that stores; else it is claimed in the store, published,
//! confirmed, and then noted there. A store that does not answer keeps nothing out: a repeat is better than a loss.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Ingest;
use crate::model::{Event, Message, ReceiptKey, Target};
use crate::queue::{Once, QueueError};
use crate::record::{CLAIM_LEASE, Claim, Receipts, RecordError};
use crate::telemetry::of_same_request;
use crate::traces::Span;

/// How long the store may take to say whether it knows a receipt, and to note one, while somebody waits for an answer.
const STORE_WAIT_MAX: Duration = Duration::from_secs(1);

/// How often it is asked what became of what another machine is storing.
const OTHERS_ASKED_EVERY: Duration = Duration::from_millis(100);

type Outcome = Result<Once, QueueError>;
type Told = watch::Receiver<Option<Outcome>>;

/// What is being stored, by its key. It has no more than whoever asks keeps in memory.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashMap<ReceiptKey, Told>>);

/// The turn to store what has `key`; when it ends, however it does, the next one may.
struct Turn {
    under_way: Arc<UnderWay>,
    key: ReceiptKey,
    tell: watch::Sender<Option<Outcome>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.under_way.locked().remove(&self.key);
    }
}

impl UnderWay {
    /// Whom to ask what became of `key`, and the turn to store it unless somebody has it.
    fn join(self: &Arc<Self>, key: ReceiptKey) -> (Told, Option<Turn>) {
        let mut by_key = self.locked();
        if let Some(told) = by_key.get(&key) {
            return (told.clone(), None);
        }
        let (tell, told) = watch::channel(None);
        by_key.insert(key, told.clone());
        (told, Some(Turn { under_way: Arc::clone(self), key, tell }))
    }

    /// What is held is whole at every moment, so a panic elsewhere has not broken it.
    fn locked(&self) -> MutexGuard<'_, HashMap<ReceiptKey, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ingest {
    /// Stores `event`, unless one was stored under `key` within the last 8 days; `Ok` when it is durable. Goes on to the end
    /// when the caller waits no longer, and keeps `held` until then. It is a step of `span`.
    ///
    /// # Errors
    /// It is not stored, or it is not known; the producer must keep it and may offer it again.
    pub async fn accept(
        &self,
        event: Event,
        key: Option<ReceiptKey>,
        held: impl Send + 'static,
        span: &Span,
    ) -> Outcome {
        let (ingest, mut event) = (self.clone(), self.with_server(event));
        let mut publishing = self.publishing_one(span, &event);
        event.trace = publishing.context();
        let Some(key) = key else {
            let storing = tokio::spawn(of_same_request(async move {
                let stored = ingest.store_one(event).await.inspect_err(|_| publishing.failed("not_stored"));
                drop((held, publishing));
                stored
            }));
            return storing.await.unwrap_or(Err(QueueError::Closed)).map(|()| Once::Stored);
        };
        let (mut told, turn) = self.under_way.join(key);
        let is_first = turn.is_some();
        if !is_first {
            publishing.discard();
        }
        if let Some(turn) = turn {
            tokio::spawn(of_same_request(async move {
                let outcome = ingest.store_once(event, key).await;
                match outcome {
                    Ok(Once::Stored) => {}
                    Ok(Once::Known) => publishing.discard(),
                    Err(_) => publishing.failed("not_stored"),
                }
                drop(publishing);
                turn.tell.send_replace(Some(outcome));
                drop((turn, held));
            }));
        }
        let outcome = told.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        match outcome.unwrap_or(Err(QueueError::Closed))? {
            Once::Stored if is_first => Ok(Once::Stored),
            Once::Stored | Once::Known => {
                self.telemetry.ingest_duplicate();
                Ok(Once::Known)
            }
        }
    }

    /// Whether an event was stored under `key` within the last 8 days, as far as whoever remembers it says so in time.
    pub(super) async fn knows(&self, key: ReceiptKey) -> bool {
        if self.queue.remembers() {
            return self.queue.knows(key).await.unwrap_or(false);
        }
        match &self.receipts {
            Some(receipts) => in_time(receipts.knows(key)).await.unwrap_or(false),
            None => false,
        }
    }

    async fn store_one(&self, event: Event) -> Result<(), QueueError> {
        let source = event.source.clone();
        self.store(vec![message(event)], BTreeMap::from([(source, 1)])).await
    }

    async fn store_once(&self, event: Event, key: ReceiptKey) -> Outcome {
        if self.queue.remembers() {
            let source = event.source.clone();
            let stored = self.queue.publish_once(message(event), key).await;
            let once = stored.inspect_err(|error| self.telemetry.events_not_stored(1, error))?;
            if once == Once::Stored {
                self.telemetry.events_accepted(&source, 1);
            }
            return Ok(once);
        }
        let Some(receipts) = &self.receipts else {
            return self.store_one(event).await.map(|()| Once::Stored);
        };
        self.store_and_note(receipts, event, key).await
    }

    async fn store_and_note(&self, receipts: &Receipts, event: Event, key: ReceiptKey) -> Outcome {
        let claimed = claimed(receipts, key).await;
        if let Ok(Claim::Known) = claimed {
            return Ok(Once::Known);
        }
        let source = event.source.clone();
        let publishing = self.queue.publish_patiently(vec![message(event)]);
        if let Err(error) = renewing(receipts, key, publishing).await {
            self.telemetry.events_not_stored(1, &error);
            // What may be stored after all stays claimed until that is over: whoever is asked next waits so long.
            if !error.may_be_stored() {
                let _ends_by_itself = in_time(receipts.let_go(key)).await;
            }
            return Err(error);
        }
        self.telemetry.events_accepted(&source, 1);
        // It is noted all the same when that takes longer.
        if let Err(error) = in_time(receipts.note(key)).await.and(claimed.map(drop)) {
            self.telemetry.ingest_unremembered(&*error);
        }
        Ok(Once::Stored)
    }
}

/// Claims `key`, and waits while another machine stores it: it is known then, or for us to store.
async fn claimed(receipts: &Receipts, key: ReceiptKey) -> Result<Claim, Box<dyn Error + Send + Sync>> {
    loop {
        match in_time(receipts.claim(key)).await? {
            Claim::Others => tokio::time::sleep(OTHERS_ASKED_EVERY).await,
            claim => return Ok(claim),
        }
    }
}

/// Waits for `publishing`, which can take as long as RabbitMQ is in trouble, and keeps the claim meanwhile.
async fn renewing<T>(receipts: &Receipts, key: ReceiptKey, publishing: impl Future<Output = T>) -> T {
    let mut publishing = pin!(publishing);
    loop {
        match tokio::time::timeout(CLAIM_LEASE / 3, &mut publishing).await {
            Ok(published) => return published,
            Err(_) => drop(in_time(receipts.renew(key)).await),
        }
    }
}

fn message(event: Event) -> Message {
    Message { event: Arc::new(event), target: Target::Subscribers }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, RecordError>>) -> Result<T, Box<dyn Error + Send + Sync>> {
    match tokio::time::timeout(STORE_WAIT_MAX, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(format!("the store has not answered within {} s", STORE_WAIT_MAX.as_secs()).into()),
    }
}
