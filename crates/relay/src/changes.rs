//! Contact with control: the lease, the newest change seen, and the recent changes against which a turn
//! that starts just now is checked. The long poll itself runs on a thread of its own (`contact`).
use crate::clock::boot_ms;
use crate::limits;
use crate::wire::{Change, Effect, Text};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How long what control said may be used: counted from *sending* the last poll that was answered, on a
/// clock that counts suspension.
pub struct Lease {
    sent: AtomicU64,
    ms: AtomicU64,
}

impl Lease {
    pub fn new(ms: u64) -> Self {
        Self { sent: AtomicU64::new(0), ms: AtomicU64::new(ms) }
    }

    /// A poll that was sent at boot time `sent` was answered.
    pub fn renew(&self, sent: u64, ms: u64) {
        self.ms.store(ms, Ordering::Relaxed);
        self.sent.fetch_max(sent, Ordering::Release);
    }

    /// Whether what control said may be used now.
    pub fn fresh(&self) -> bool {
        let sent = self.sent.load(Ordering::Acquire);
        sent != 0 && boot_ms().saturating_sub(sent) < self.ms.load(Ordering::Relaxed)
    }

    /// Waits for contact, at most `limits::WAIT_MS`.
    pub async fn wait(&self) -> bool {
        for _ in 0..limits::WAIT_MS / limits::TICK_MS {
            if self.fresh() {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(limits::TICK_MS)).await;
        }
        self.fresh()
    }
}

/// What a turn is told by a change that carries one of its tags.
#[derive(Clone, Debug)]
pub struct Stop {
    pub notice: Option<Text>,
}

/// The verdict on a turn that started while changes arrived.
#[derive(Debug)]
pub enum Since {
    /// Nothing that concerns it.
    Unchanged,
    /// What it was planned with is forgotten: plan again.
    Again,
}

/// The newest change seen and the recent ones.
#[derive(Default)]
pub struct ChangeLog {
    newest: AtomicU64,
    /// Goes up with every answer that brought a change or a reset; cached answers compare it.
    epoch: AtomicU64,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    changes: VecDeque<(u64, Arc<Change>)>,
    /// Epochs up to here are no longer kept.
    lost_before: u64,
}

impl ChangeLog {
    /// The last sequence number control told.
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::SeqCst)
    }

    /// A mark to compare answers with: equal marks, no change between.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Takes in what one poll brought. Comes before the caches are told.
    pub fn advance(&self, seq: u64, changes: &[Arc<Change>], reset: bool) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.epoch() + 1;
        if reset {
            recent.changes.clear();
            recent.lost_before = epoch;
        }
        recent.changes.extend(changes.iter().map(|c| (epoch, Arc::clone(c))));
        while recent.changes.len() > limits::RECENT_CHANGES {
            if let Some((lost, _)) = recent.changes.pop_front() {
                recent.lost_before = recent.lost_before.max(lost);
            }
        }
        self.epoch.store(epoch, Ordering::SeqCst);
        self.newest.store(seq, Ordering::SeqCst);
    }

    /// Whether a change since `epoch` carries one of the tags.
    pub fn since<'a, T: Iterator<Item = &'a String>>(&self, epoch: u64, tags: impl Fn() -> T) -> Since {
        let again = self.any_since(epoch, |c| tags().any(|t| c.tags.contains(t)));
        if again { Since::Again } else { Since::Unchanged }
    }

    /// Whether a change since `epoch` stops what carries one of the tags.
    pub fn stopped_since(&self, epoch: u64, tags: &[String]) -> bool {
        self.any_since(epoch, |c| stop_of(c, tags.iter()).is_some())
    }

    /// Whether there is such a change; what is no longer kept counts as one.
    fn any_since(&self, epoch: u64, concerns: impl Fn(&Change) -> bool) -> bool {
        if self.epoch() == epoch {
            return false;
        }
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        epoch < recent.lost_before || recent.changes.iter().any(|(at, c)| *at > epoch && concerns(c))
    }
}

/// The stop a change brings to what carries `tags`, if it does.
pub fn stop_of<'a>(change: &Change, mut tags: impl Iterator<Item = &'a String>) -> Option<Stop> {
    let hit = change.effect == Effect::Stop && tags.any(|t| change.tags.contains(t));
    hit.then(|| Stop { notice: change.notice.clone() })
}
