//! A bounded cache of control's answers. Equal misses are asked once; an answer that is older than the
//! newest change seen is not kept; a change forgets what carries its tags, and what nobody asks for goes by itself.
use crate::limits;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// SHA-256 of the whole question. Never a part of it: two questions that share a prefix share nothing.
pub type Key = [u8; 32];

/// What can be kept.
pub trait Kept {
    /// Changes with one of these tags forget the value.
    fn tags(&self) -> &[String];
}

struct Ready<V> {
    value: Arc<V>,
    /// Milliseconds UTC.
    until: u64,
}

enum Slot<V> {
    Ready(Ready<V>),
    Asking(watch::Receiver<()>),
}

/// Two generations: what is used moves to the young one, and when that is full or has had its time the old one is
/// forgotten. By number alone, everybody who ever came would stay, long after their answers ended.
struct Inner<V> {
    young: HashMap<Key, Slot<V>>,
    old: HashMap<Key, Slot<V>>,
    /// Since when the young one is it: milliseconds UTC.
    since: u64,
}

impl<V> Inner<V> {
    fn turn(&mut self, now: u64) {
        self.old = std::mem::take(&mut self.young);
        self.since = now;
    }
}

/// What a look-up finds.
pub enum Found<V> {
    Hit(Arc<V>),
    /// Another turn asks already: wait until it is done, then look again.
    Wait(watch::Receiver<()>),
    /// Ask, then `keep` or drop the ticket.
    Ask(Ticket),
}

/// The right to ask a question. When it is dropped, those who wait look again.
pub struct Ticket {
    key: Key,
    _done: watch::Sender<()>,
}

/// A cache of at most `capacity` values, each forgotten within two generations of its last use.
pub struct Cache<V> {
    inner: Mutex<Inner<V>>,
    capacity: usize,
}

impl<V: Kept> Cache<V> {
    pub fn new(capacity: usize) -> Self {
        let inner = Inner { young: HashMap::new(), old: HashMap::new(), since: 0 };
        Self { inner: Mutex::new(inner), capacity }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<V>> {
        // A panic while the map was held leaves it whole: each step below is one map operation.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What moves into the young generation counts like what is new: a crowd that is asked for without end would
    /// else carry all of itself along.
    fn make_room(&self, inner: &mut Inner<V>, now: u64) {
        if inner.young.len() >= self.capacity / 2 {
            inner.turn(now);
        }
    }

    /// The value of `key` that holds at `now` (milliseconds UTC), or who gets it.
    pub fn find(&self, key: &Key, now: u64) -> Found<V> {
        let mut inner = self.lock();
        // A clock that was set back turns them as well: nothing stays for the length of its jump.
        if now.abs_diff(inner.since) >= limits::GENERATION_MS {
            inner.turn(now);
        }
        if !inner.young.contains_key(key)
            && let Some(slot) = inner.old.remove(key)
        {
            self.make_room(&mut inner, now);
            inner.young.insert(*key, slot);
        }
        match inner.young.get(key) {
            Some(Slot::Ready(ready)) if now < ready.until => return Found::Hit(Arc::clone(&ready.value)),
            // A sender that is gone left its slot behind: its turn ended before the answer came.
            Some(Slot::Asking(done)) if done.has_changed().is_ok() => return Found::Wait(done.clone()),
            _ => {}
        }
        let (sender, receiver) = watch::channel(());
        self.make_room(&mut inner, now);
        inner.young.insert(*key, Slot::Asking(receiver));
        Found::Ask(Ticket { key: *key, _done: sender })
    }

    /// Keeps the answer until `until` unless `fresh` says that a change arrived since it was asked for.
    /// `fresh` is called under the lock that `forget` takes, so that no change slips between.
    pub fn keep(&self, ticket: Ticket, value: Arc<V>, until: u64, fresh: impl FnOnce() -> bool) {
        let mut inner = self.lock();
        if fresh() {
            inner.young.insert(ticket.key, Slot::Ready(Ready { value, until }));
        } else {
            inner.young.remove(&ticket.key);
        }
        drop(inner);
        drop(ticket);
    }

    /// Forgets what carries one of `tags`.
    pub fn forget(&self, tags: &HashSet<&str>) {
        let stays = |slot: &Slot<V>| match slot {
            Slot::Ready(ready) => !ready.value.tags().iter().any(|t| tags.contains(t.as_str())),
            Slot::Asking(_) => true,
        };
        let mut inner = self.lock();
        inner.young.retain(|_, slot| stays(slot));
        inner.old.retain(|_, slot| stays(slot));
    }

    /// Forgets everything that is ready.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.young.retain(|_, slot| matches!(slot, Slot::Asking(_)));
        inner.old.clear();
    }

    pub fn len(&self) -> usize {
        let inner = self.lock();
        inner.young.len() + inner.old.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
