//! The places for connections: so many there are, and who gives one up when somebody else wants it.
//!
//! A connection is idle while it has no request under way: it has sent nothing yet, or half of a head, or nothing after an answer.
//! When all places are taken and one more connection comes, the one that has been idle for longest is closed. So whoever holds
//! all places with connections that do nothing keeps nobody out; a client that is closed so has lost nothing but an idle connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    table: Mutex<Table>,
    /// Told when a connection becomes idle.
    became_idle: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// Given to each connection each time that it becomes idle.
    next: u64,
    /// Idle connections, by since when.
    idle: BTreeMap<u64, Arc<Notify>>,
    /// Connections that are told to go and have not gone.
    going: usize,
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Idle(u64),
    Busy,
    Gone,
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    standing: Mutex<Standing>,
    go: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

/// A request is under way on the connection that has this place, until this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(max)), table: Mutex::default(), became_idle: Notify::new() })
    }

    /// A place for a connection that has come, as soon as there is one.
    pub(super) async fn take(self: &Arc<Self>) -> Arc<Place> {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return self.given(permit);
            }
            self.send_one_away();
            tokio::select! {
                biased;
                Ok(permit) = Arc::clone(&self.free).acquire_owned() => return self.given(permit),
                () = self.became_idle.notified() => {}
            }
        }
    }

    fn given(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Arc<Place> {
        let go = Arc::new(Notify::new());
        let since = self.locked().idle_from_now(Arc::clone(&go));
        Arc::new(Place { places: Arc::clone(self), standing: Mutex::new(Standing::Idle(since)), go, _permit: permit })
    }

    /// Tells the connection to go that has been idle for longest, unless one is on its way already.
    fn send_one_away(&self) {
        let mut table = self.locked();
        if table.going == 0
            && let Some((_, go)) = table.idle.pop_first()
        {
            table.going += 1;
            go.notify_one();
        }
    }

    /// What is held is whole at every moment, so a panic elsewhere has not broken it.
    fn locked(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn idle_from_now(&mut self, go: Arc<Notify>) -> u64 {
        self.next += 1;
        self.idle.insert(self.next, go);
        self.next
    }
}

impl Place {
    /// Notes that a request is under way; none when the connection has been told to go.
    pub(super) fn busy(self: &Arc<Self>) -> Option<Busy> {
        let mut standing = self.locked();
        if let Standing::Idle(since) = *standing {
            let stays = self.places.locked().idle.remove(&since).is_some();
            *standing = if stays { Standing::Busy } else { Standing::Gone };
        }
        (*standing == Standing::Busy).then(|| Busy(Arc::clone(self)))
    }

    /// Ends when the connection must go.
    pub(super) async fn told_to_go(&self) {
        self.go.notified().await;
    }

    fn locked(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let place = &self.0;
        *place.locked() = Standing::Idle(place.places.locked().idle_from_now(Arc::clone(&place.go)));
        place.places.became_idle.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let standing = *self.locked();
        let mut table = self.places.locked();
        let was_told_to_go = match standing {
            Standing::Idle(since) => table.idle.remove(&since).is_none(),
            Standing::Gone => true,
            Standing::Busy => false,
        };
        table.going -= usize::from(was_told_to_go);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        future.now_or_never()
    }

    #[tokio::test]
    async fn the_one_that_has_been_idle_for_longest_goes_and_no_other() {
        let places = Places::new(3);
        let (first, second, third) = (places.take().await, places.take().await, places.take().await);
        drop(first.busy().expect("it stays"));
        let under_way = third.busy().expect("it stays");
        assert!(now(places.take()).is_none(), "there are three places");
        assert!(now(second.told_to_go()).is_some());
        assert!(second.busy().is_none(), "it is too late for a request");
        assert!(now(places.take()).is_none(), "it has not gone yet");
        assert!(now(first.told_to_go()).is_none(), "one is enough");
        drop(second);
        let fourth = now(places.take()).expect("its place is free");
        assert!(now(places.take()).is_none() && now(first.told_to_go()).is_some(), "the next to go was idle after it");
        drop((first, under_way, third, fourth));
        assert_eq!(places.free.available_permits(), 3);
        let table = places.locked();
        assert_eq!((table.idle.len(), table.going), (0, 0));
    }

    #[tokio::test]
    async fn who_waits_while_all_are_busy_gets_the_place_of_the_first_that_becomes_idle() {
        let places = Places::new(1);
        let only = places.take().await;
        let under_way = only.busy().expect("it stays");
        let mut waiting = Box::pin(places.take());
        assert!(now(waiting.as_mut()).is_none() && now(only.told_to_go()).is_none());
        drop(under_way);
        assert!(now(waiting.as_mut()).is_none() && now(only.told_to_go()).is_some());
        drop(only);
        assert!(now(waiting.as_mut()).is_some());
    }
}
