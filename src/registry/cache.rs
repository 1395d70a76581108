//! What is known of the webhooks at one moment, in memory: the worker asks it for every event.
//!
//! It is made of a [`Loaded`] (all that the store has) and the webhooks of the settings file, and never changes: a
//! change makes another snapshot. The webhooks are shared, so that costs a copy of the tables of pointers only. Events
//! find their subscribers by source and owner; how many webhooks others have costs nothing.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::model::{Deactivation, Event, Owner, Source, Status, Webhook, WebhookId};

/// Problems told of one reading; the rest are counted.
const PROBLEMS_MAX: usize = 100;

/// All that a store has, as it was at `revision`.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Counts the changes made to the registry.
    pub(super) revision: i64,
    /// The webhooks, each active or paused.
    pub(super) webhooks: Vec<Webhook>,
    /// Which webhooks we stopped, stored and declared ones.
    pub(super) deactivated: HashMap<WebhookId, Deactivation>,
    /// Ids of webhooks deleted not long ago.
    pub(super) tombstones: HashSet<WebhookId>,
    /// The names of keys that have sealed something and are not here.
    pub(super) keys_missing: Vec<String>,
    /// What could not be read, in words.
    pub(super) problems: Vec<String>,
}

/// As many of `problems` as are told.
pub(super) fn bounded(mut problems: Vec<String>) -> Vec<String> {
    if problems.len() > PROBLEMS_MAX {
        let more = problems.len() - PROBLEMS_MAX;
        problems.truncate(PROBLEMS_MAX);
        problems.push(format!("and {more} more"));
    }
    problems
}

/// One change of the store: the revision that it found, and the one that it left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) before: i64,
    pub(super) after: i64,
}

/// What is known of an id.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// There is such a webhook, whatever its status.
    Webhook(&'a Arc<Webhook>),
    /// There was one, and it was deleted.
    Deleted,
    /// None is known here.
    Unknown,
}

/// The webhooks at one moment.
#[derive(Clone, Default)]
pub struct Snapshot {
    revision: i64,
    by_id: HashMap<WebhookId, Arc<Webhook>>,
    by_owner: HashMap<(Source, Owner), Arc<Vec<Arc<Webhook>>>>,
    tombstones: Arc<HashSet<WebhookId>>,
    problems: Arc<[String]>,
}

impl Snapshot {
    /// Puts together what the settings file declares and what the store has. A declared webhook hides a stored one of the
    /// same id, which is told as a problem.
    pub(super) fn new(declared: &HashMap<WebhookId, Arc<Webhook>>, mut loaded: Loaded) -> Self {
        let mut snapshot = Self { revision: loaded.revision, ..Self::default() };
        for webhook in declared.values() {
            let stopped = loaded.deactivated.remove(&webhook.id);
            snapshot.put(stopped.map_or_else(|| Arc::clone(webhook), |stopped| deactivated(webhook, stopped)));
        }
        for webhook in loaded.webhooks {
            if declared.contains_key(&webhook.id) {
                let id = &webhook.id;
                loaded.problems.push(format!(
                    "the webhook {id} of the store is not used: the settings file declares another of that id; rename \
                     that one, or delete this with `hikyaku webhooks delete`"
                ));
                continue;
            }
            let stopped = loaded.deactivated.remove(&webhook.id);
            snapshot.put(match stopped {
                Some(stopped) => deactivated(&webhook, stopped),
                None => Arc::new(webhook),
            });
        }
        snapshot.tombstones = Arc::new(loaded.tombstones);
        snapshot.problems = loaded.problems.into();
        snapshot
    }

    /// The webhooks that subscribe to `event`, whatever their status.
    pub fn subscribers<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = &'a Arc<Webhook>> + 'a {
        let owner = event.user.clone().map_or(Owner::System, Owner::User);
        let group = self.by_owner.get(&(event.source.clone(), owner));
        group.into_iter().flat_map(|group| group.iter()).filter(|webhook| webhook.wants(event))
    }

    /// What is known of `id`.
    pub fn find(&self, id: &WebhookId) -> Known<'_> {
        match self.by_id.get(id) {
            Some(webhook) => Known::Webhook(webhook),
            None if self.tombstones.contains(id) => Known::Deleted,
            None => Known::Unknown,
        }
    }

    /// Every webhook, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        self.by_id.values()
    }

    /// The webhooks of `owner` at `source`.
    pub(super) fn of_owner(&self, source: Source, owner: Owner) -> impl Iterator<Item = &Arc<Webhook>> {
        self.by_owner.get(&(source, owner)).into_iter().flat_map(|group| group.iter())
    }

    /// How many webhooks there are.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// What of the store could not be used, in words that name the webhook and how to mend it.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The changes of the store that this has followed.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// Notes that `step` is in. When another process has changed something before it, that is not: the revision stays, so
    /// that the next look at the store reads everything anew.
    pub(super) fn follow(&mut self, step: Step) {
        if self.revision == step.before {
            self.revision = step.after;
        }
    }

    /// Adds a webhook, or replaces the one of that id.
    pub(super) fn put(&mut self, webhook: Arc<Webhook>) {
        self.take(&webhook.id);
        let key = (webhook.source.clone(), webhook.owner.clone());
        Arc::make_mut(self.by_owner.entry(key).or_default()).push(Arc::clone(&webhook));
        self.by_id.insert(webhook.id.clone(), webhook);
    }

    /// Notes that a webhook was deleted.
    pub(super) fn delete(&mut self, id: &WebhookId) {
        self.take(id);
        Arc::make_mut(&mut self.tombstones).insert(id.clone());
    }

    fn take(&mut self, id: &WebhookId) {
        let Some(webhook) = self.by_id.remove(id) else { return };
        let key = (webhook.source.clone(), webhook.owner.clone());
        let Some(group) = self.by_owner.get_mut(&key) else { return };
        let group = Arc::make_mut(group);
        group.retain(|other| other.id != *id);
        if group.is_empty() {
            self.by_owner.remove(&key);
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("revision", &self.revision)
            .field("webhooks", &self.by_id.len())
            .field("tombstones", &self.tombstones.len())
            .field("problems", &self.problems)
            .finish()
    }
}

/// `webhook` as it is once we have stopped it; its owner's pause is stronger.
pub(super) fn deactivated(webhook: &Webhook, stopped: Deactivation) -> Arc<Webhook> {
    let status = match webhook.status {
        Status::Paused => Status::Paused,
        Status::Active | Status::Deactivated(_) => Status::Deactivated(stopped),
    };
    Arc::new(Webhook { status, ..webhook.clone() })
}
