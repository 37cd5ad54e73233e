//! Things found by a name that is made of parts, without making the name: sharded, so that threads rarely wait.
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shards of a map: more than threads that carry turns on the machines this is made for.
const SHARDS: usize = 16;
/// Names of one shard that are remembered as forgotten; with more, every new thing counts as met before.
const FORGOTTEN: usize = 250_000;

/// What a thing is found by: a limit's or rate's id, an instant, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    pub id: &'a str,
    pub starts: u64,
    /// Parts that stand behind one another.
    pub thing: [&'a str; 2],
}

/// A thing that knows its name.
pub trait Named {
    fn is(&self, name: &Name<'_>) -> bool;
}

/// One shard: the things by the hash of their name, and the hashes of those that were forgotten.
struct Shard<T> {
    there: HashMap<u64, Vec<Arc<T>>>,
    forgotten: HashSet<u64>,
    /// So many were forgotten that they are not told apart any longer.
    full: bool,
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Self { there: HashMap::new(), forgotten: HashSet::new(), full: false }
    }
}

/// The things, by name.
pub struct Names<T> {
    shards: [Mutex<Shard<T>>; SHARDS],
    hasher: RandomState,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { shards: Default::default(), hasher: RandomState::new() }
    }
}

impl<T: Named> Names<T> {
    fn hash(&self, name: &Name<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name.id.as_bytes());
        hasher.write_u8(0xFF);
        hasher.write_u64(name.starts);
        for part in name.thing {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xFF);
        }
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<T>> {
        self.shards[hash as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thing of this name, made where there is none; `make` is told whether it is the first of its name.
    pub fn find(&self, name: &Name<'_>, make: impl FnOnce(bool) -> T) -> Arc<T> {
        let hash = self.hash(name);
        let mut shard = self.shard(hash);
        let first = !shard.full && !shard.forgotten.contains(&hash);
        let same = shard.there.entry(hash).or_default();
        if let Some(thing) = same.iter().find(|thing| thing.is(name)) {
            return Arc::clone(thing);
        }
        let made = Arc::new(make(first));
        same.push(Arc::clone(&made));
        made
    }

    /// All of them, by and by.
    pub fn each(&self, mut f: impl FnMut(&Arc<T>)) {
        for shard in &self.shards {
            let things: Vec<Arc<T>> = {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.there.values().flatten().map(Arc::clone).collect()
            };
            things.iter().for_each(&mut f);
        }
    }

    /// Forgets those that nobody else holds and that `over` says are over.
    pub fn forget(&self, over: impl Fn(&T) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let Shard { there, forgotten, full } = &mut *shard;
            there.retain(|hash, same| {
                let before = same.len();
                same.retain(|thing| Arc::strong_count(thing) > 1 || !over(thing));
                if same.len() < before && !*full {
                    forgotten.insert(*hash);
                }
                !same.is_empty()
            });
            if forgotten.len() > FORGOTTEN {
                forgotten.clear();
                *full = true;
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let counted = |shard: &Mutex<Shard<T>>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).there.values().map(Vec::len).sum::<usize>()
        };
        self.shards.iter().map(counted).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
