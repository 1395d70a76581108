//! The registry: which webhooks there are, kept in the store or declared in the settings file.
//!
//! Changes come from the CLI and the APIs, deactivations from the worker; each is one transaction of the store. Readers
//! take a [`Snapshot`], which is in memory and never waits for the store.
//!
//! Contract, for every backend:
//! - What a call changed is on the disk, and in the snapshot, before the call returns `Ok`. After an `Err` nothing of it
//!   was changed, unless the error says that this is not known ([`PostgresError::InDoubt`]). A caller that goes away midway may
//!   have changed it; then, as in doubt, a watching registry has it within a second.
//! - With [`Registry::watch`], what another process changed is in the snapshot within a second: it tells, by the store's
//!   [`CHANGES`] or the bells of its file. What nobody could tell of (a process killed before it did, a connection that was
//!   lost unnoticed) is found within [`LOOK_EVERY`]. Without a change, nothing is done more often.
//! - While the store cannot be read the last snapshot stays, and [`Registry::health`] says so.
//! - A row that cannot be read costs that webhook only; [`Snapshot::problems`] names it.
//! - A deleted webhook's id is known as deleted, and cannot be used again, for [`TOMBSTONE_AGE_MAX`].
//! - A declared webhook cannot be changed or deleted here. We can deactivate it, which outlives a restart, and its owner
//!   can activate it again.
//! - That we have deactivated a webhook is kept, with the deactivation and in the same step, until its owner was told
//!   ([`Registry::announcements`]).
//!
//! - With a key, secrets, options and URLs lie in the store sealed, and nothing of their clear text stays in it. A store that
//!   another key has sealed is not opened; if that happens under way, the last snapshot stays.
//!
//! [`CHANGES`]: crate::store::CHANGES
//! [`PostgresError::InDoubt`]: crate::postgres::PostgresError::InDoubt
//!
//! Without a key they lie there in clear text. They are never printed. This module sends nothing and decides nothing about
//! deliveries.

mod asked;
mod backend;
mod cache;
mod deactivating;
mod error;
mod following;
mod postgres;
mod room;
mod row;
mod seal;
mod signing;
mod sqlite;
mod state;
mod tombstones;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use self::backend::{Backend, Created, Updated};
use self::cache::{Loaded, Step};
use crate::clock::SharedClock;
use crate::model::{Status, Webhook, WebhookId};
use crate::store::{SchemaPart, Store};

pub use asked::{Change, Filter, NewWebhook};
pub use cache::{Known, Snapshot};
pub use deactivating::Announcement;
pub use error::RegistryError;
pub use seal::{SealKey, Seals};
pub use signing::{made_signing_key, made_signing_secret};
pub use tombstones::tombstones;

/// Its tables, as they are migrated.
pub const SCHEMA_PART: SchemaPart =
    SchemaPart { name: "registry", file_steps: sqlite::STEPS.len(), postgres_steps: postgres::STEPS.len() };

/// How long a deleted webhook's id stays known and taken: far longer than a delivery, or a dead letter by default, lives.
pub const TOMBSTONE_AGE_MAX: Duration = Duration::from_secs(TOMBSTONE_DAYS * 24 * 60 * 60);
const TOMBSTONE_DAYS: u64 = 90;

/// How often a watching registry looks whether another process has changed something of which it did not hear.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long a look waits for PostgreSQL: with the above, one that is frozen is told within 5 s.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(2);
/// The same, where it cannot hear; thrice in the second promised.
const UNHEARD_LOOK_EVERY: Duration = Duration::from_millis(300);

/// Characters of an id made here: 60 random bits, as long as Misskey's own.
const ID_CHARS: usize = 16;

/// The webhooks. See the module's head for what it promises.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    /// The watching task, if any; it ends with this.
    watcher: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    store: Backend,
    /// By the settings file.
    declared: RwLock<HashMap<WebhookId, Arc<Webhook>>>,
    clock: SharedClock,
    snapshot: watch::Sender<Arc<Snapshot>>,
    trouble: watch::Sender<Option<String>>,
    /// Told each time that something in the store may have changed.
    heard: watch::Sender<()>,
    /// Held from the store's answer until the snapshot has it, so that an older reading cannot replace a newer one.
    turn: Mutex<()>,
}

impl Registry {
    /// Opens the registry in `store`, its tables made if absent, beside the webhooks `declared` in the settings file. A file is
    /// opened at once, on the caller's thread: at start, not while serving. What lies there is sealed anew if `seals` would seal
    /// it with another key, or with none.
    ///
    /// # Errors
    /// [`RegistryError::KeysMissing`] when there is something that no key here opens, [`RegistryError::DeclaredAndStored`] or [`RegistryError::DeclaredTwice`] when an id is not unique (who wants to
    /// delete the stored one opens the registry without the declared ones), or what the store says.
    pub async fn open(
        store: &Store,
        seals: Seals,
        declared: Vec<Webhook>,
        clock: SharedClock,
    ) -> Result<Self, RegistryError> {
        let declared = by_id(declared)?;
        let store = Backend::open(store, seals).await?;
        store.prune_tombstones(clock.now().minus(TOMBSTONE_AGE_MAX)).await?;
        let loaded = store.load_unless(None).await?.unwrap_or_default();
        if !loaded.keys_missing.is_empty() {
            return Err(RegistryError::KeysMissing { names: loaded.keys_missing });
        }
        check_apart(&declared, &loaded)?;
        let snapshot = watch::Sender::new(Arc::new(Snapshot::new(&declared, loaded)));
        let declared = RwLock::new(declared);
        let (trouble, heard, turn) = (watch::Sender::new(None), watch::Sender::new(()), Mutex::new(()));
        let shared = Shared { store, declared, clock, snapshot, trouble, heard, turn };
        Ok(Self { shared: Arc::new(shared), watcher: JoinSet::new() })
    }

    /// Puts `declared` in the place of the webhooks that the settings file declared so far.
    ///
    /// # Errors
    /// As those of [`Self::open`]; those so far stay.
    pub async fn declare(&self, declared: Vec<Webhook>) -> Result<(), RegistryError> {
        let declared = by_id(declared)?;
        let shared = &self.shared;
        let _turn = shared.turn.lock().await;
        let loaded = shared.store.load_unless(None).await?.unwrap_or_default();
        if !loaded.keys_missing.is_empty() {
            return Err(RegistryError::KeysMissing { names: loaded.keys_missing });
        }
        check_apart(&declared, &loaded)?;
        *shared.declared.write().unwrap_or_else(PoisonError::into_inner) = declared;
        shared.show(loaded);
        Ok(())
    }

    /// Follows what other processes change, in a task that ends when the registry is dropped.
    #[must_use]
    pub fn watch(self) -> Self {
        self.watch_every(LOOK_EVERY)
    }

    /// As [`Self::watch`], looking each `every` behind what is heard.
    #[must_use]
    pub fn watch_every(mut self, every: Duration) -> Self {
        let shared = Arc::clone(&self.shared);
        self.watcher.abort_all();
        self.watcher.spawn(async move {
            let rung = Arc::new(Notify::new());
            let ringer = Arc::clone(&rung);
            let hearing = shared.store.hear(move || ringer.notify_one());
            let every = if hearing.is_some() { every } else { every.min(UNHEARD_LOOK_EVERY) };
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = rung.notified() => {}
                }
                shared.heard.send_replace(());
                shared.poll().await;
            }
        });
        self
    }

    /// Tells each time that something in the store may have changed, by whichever process and of whichever part; with
    /// [`Self::watch`].
    pub fn heard(&self) -> watch::Receiver<()> {
        self.shared.heard.subscribe()
    }

    /// Reads what has changed in the store, for whoever needs all of now; what keeps it from that, [`Self::health`] says.
    pub async fn refresh(&self) {
        self.shared.poll().await;
    }

    /// The webhooks as they are now, from memory.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.snapshot.borrow())
    }

    /// Tells of every new snapshot.
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshot.subscribe()
    }

    /// What keeps the snapshot from following the store, in words; nothing when it does.
    pub fn health(&self) -> Option<String> {
        self.shared.trouble.borrow().clone()
    }

    /// The webhooks that `filter` lets through, the oldest first, from memory.
    pub fn list(&self, filter: &Filter) -> Vec<Arc<Webhook>> {
        let snapshot = self.snapshot();
        let fits = |webhook: &&Arc<Webhook>| {
            filter.owner.as_ref().is_none_or(|owner| webhook.owner == *owner)
                && filter.source.as_ref().is_none_or(|source| webhook.source == *source)
        };
        let mut found: Vec<Arc<Webhook>> = match (&filter.source, &filter.owner) {
            (Some(source), Some(owner)) => snapshot.of_owner(source.clone(), owner.clone()).cloned().collect(),
            _ => snapshot.all().filter(fits).cloned().collect(),
        };
        found.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        found
    }

    /// The webhook `id`, from memory.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub fn show(&self, id: &WebhookId) -> Result<Arc<Webhook>, RegistryError> {
        match self.snapshot().find(id) {
            Known::Webhook(webhook) => Ok(Arc::clone(webhook)),
            Known::Deleted | Known::Unknown => Err(RegistryError::NotFound { id: id.clone() }),
        }
    }

    /// Adds a webhook to the store and tells how it turned out.
    ///
    /// # Errors
    /// [`RegistryError::Taken`] or [`RegistryError::Deleted`] when it may not have its id, or what the store says.
    pub async fn create(&self, new: NewWebhook) -> Result<Arc<Webhook>, RegistryError> {
        self.create_within(new, usize::MAX).await
    }

    /// As [`Self::create`], unless the owner has `max` webhooks of that source in the store already; whoever else adds one
    /// at the same time, in this process or another. Declared ones do not count.
    ///
    /// # Errors
    /// [`RegistryError::Full`], and those of [`Self::create`].
    pub async fn create_within(&self, new: NewWebhook, max: usize) -> Result<Arc<Webhook>, RegistryError> {
        let shared = &self.shared;
        let webhook = Arc::new(new.into_webhook(shared.clock.now()));
        let id = &webhook.id;
        if shared.declared(id).is_some() {
            return Err(RegistryError::Taken { id: id.clone() });
        }
        let _turn = shared.turn.lock().await;
        match shared.store.create(Arc::clone(&webhook), max).await? {
            Created::Done(step) => {
                shared.follow(step, |snapshot| snapshot.put(Arc::clone(&webhook)));
                Ok(webhook)
            }
            Created::Taken => Err(RegistryError::Taken { id: id.clone() }),
            Created::Deleted => Err(RegistryError::Deleted { id: id.clone(), days: TOMBSTONE_DAYS }),
            Created::Full => Err(RegistryError::Full { max }),
        }
    }

    /// Changes a webhook and tells how it turned out. Of a declared one all that can be asked is to be active again.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Declared`], [`RegistryError::Damaged`] when the row is unreadable
    /// even with the change, or what the store says.
    pub async fn update(&self, id: &WebhookId, change: Change) -> Result<Arc<Webhook>, RegistryError> {
        let shared = &self.shared;
        if let Some(declared) = shared.declared(id) {
            return shared.reactivate(&declared, &change).await;
        }
        let _turn = shared.turn.lock().await;
        match shared.store.update(id, change, shared.clock.now()).await? {
            Updated::Done(webhook, stopped, step) => {
                let webhook = match stopped {
                    Some(stopped) => cache::deactivated(&webhook, stopped),
                    None => Arc::from(webhook),
                };
                shared.follow(step, |snapshot| snapshot.put(Arc::clone(&webhook)));
                Ok(webhook)
            }
            Updated::Absent => Err(RegistryError::NotFound { id: id.clone() }),
            Updated::Damaged(why) => Err(RegistryError::Damaged { id: id.clone(), why }),
        }
    }

    /// Deletes a webhook of the store; its id is known as deleted from then on.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Declared`], or what the store says.
    pub async fn delete(&self, id: &WebhookId) -> Result<(), RegistryError> {
        let shared = &self.shared;
        if shared.declared(id).is_some() {
            return Err(RegistryError::Declared { id: id.clone() });
        }
        let _turn = shared.turn.lock().await;
        let Some(step) = shared.store.delete(id, shared.clock.now()).await? else {
            return Err(RegistryError::NotFound { id: id.clone() });
        };
        shared.follow(step, |snapshot| snapshot.delete(id));
        Ok(())
    }
}

impl Shared {
    /// The webhook of that id that the settings file declares.
    fn declared(&self, id: &WebhookId) -> Option<Arc<Webhook>> {
        self.declared.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Makes a snapshot of what the store has. The caller holds the turn.
    fn show(&self, loaded: Loaded) {
        let declared = self.declared.read().unwrap_or_else(PoisonError::into_inner);
        self.snapshot.send_replace(Arc::new(Snapshot::new(&declared, loaded)));
    }

    /// Puts one change of ours into the snapshot. The caller holds the turn.
    fn follow(&self, step: Step, change: impl FnOnce(&mut Snapshot)) {
        let mut next = Snapshot::clone(&self.snapshot.borrow());
        change(&mut next);
        next.follow(step);
        self.snapshot.send_replace(Arc::new(next));
    }

    /// Does what can be done to a declared webhook: activates it after we deactivated it.
    async fn reactivate(&self, declared: &Arc<Webhook>, change: &Change) -> Result<Arc<Webhook>, RegistryError> {
        if !change.only_activates() || declared.status == Status::Paused {
            return Err(RegistryError::Declared { id: declared.id.clone() });
        }
        let _turn = self.turn.lock().await;
        if let Some(step) = self.store.reactivate(&declared.id).await? {
            self.follow(step, |snapshot| snapshot.put(Arc::clone(declared)));
        }
        Ok(Arc::clone(declared))
    }
}

fn by_id(webhooks: Vec<Webhook>) -> Result<HashMap<WebhookId, Arc<Webhook>>, RegistryError> {
    let mut declared = HashMap::new();
    for webhook in webhooks {
        let id = webhook.id.clone();
        if declared.insert(id.clone(), Arc::new(webhook)).is_some() {
            return Err(RegistryError::DeclaredTwice { id });
        }
    }
    Ok(declared)
}

/// Checks that nothing is both declared and stored.
fn check_apart(declared: &HashMap<WebhookId, Arc<Webhook>>, loaded: &Loaded) -> Result<(), RegistryError> {
    let both = loaded.webhooks.iter().map(|webhook| &webhook.id).filter(|id| declared.contains_key(*id));
    let ids: Vec<WebhookId> = both.cloned().collect();
    if ids.is_empty() { Ok(()) } else { Err(RegistryError::DeclaredAndStored { ids }) }
}

fn made_id() -> WebhookId {
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.truncate(ID_CHARS);
    #[expect(clippy::expect_used, reason = "hexadecimal digits are an id")]
    WebhookId::new(&id).expect("hexadecimal digits are an id")
}

#[cfg(test)]
mod tests;
