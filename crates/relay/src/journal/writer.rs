//! The running journal: a queue, one writer thread, one low-priority thread for tiles, one that watches the time.
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dragoman_engine::ledger::ENTRY_BYTES_MAX;
use tokio::sync::oneshot;

use super::core::{CommitError, Core};
use super::open::{EarlierLog, Opened, SyncJournal};
use super::record::{SEGMENT_BODY, TRAILER_BYTES, span};
use super::segments::Segments;
use super::{
    DERIVE_EVERY_MS, GROUP_BYTES_MAX, GROUP_ENTRIES_MAX, GROUP_GATHER_US, GROUP_SLOW_MS, JournalConfig,
    JournalError, OnLost,
};

/// How often the watching thread looks, milliseconds.
const WATCH_EVERY_MS: u64 = 500;

/// The handle of an open journal. Cheap to clone; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    segments: Arc<Segments>,
    earlier: Vec<EarlierLog>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    ending: Mutex<bool>,
    ended: Condvar,
    wants_spare: AtomicBool,
    counts: Counts,
    group_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    entries: Vec<Vec<u8>>,
    waiters: Vec<Waiter>,
    bytes: usize,
    since: Option<Instant>,
    in_flight: Vec<Waiter>,
    started: Option<Instant>,
    /// The writer sleeps until this many entries wait.
    wakes_at: Option<usize>,
    closing: bool,
    dead: bool,
}

/// Who waits for an entry: its place in the group, and how to tell.
#[derive(Debug)]
struct Waiter {
    place: u64,
    reply: oneshot::Sender<Result<u64, JournalError>>,
}

#[derive(Debug, Default)]
struct Counts {
    groups: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
    commit_ns: AtomicU64,
    largest: AtomicU64,
    slow: AtomicU64,
    refused: AtomicU64,
    signed: AtomicU64,
}

/// Counts since the journal was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalStats {
    /// Groups written.
    pub groups: u64,
    /// Entries written.
    pub entries: u64,
    /// Bytes of entries written.
    pub bytes: u64,
    /// Time spent writing and syncing, nanoseconds.
    pub commit_ns: u64,
    /// Entries of the largest group.
    pub largest: u64,
    /// Waits that failed because a group was slow.
    pub slow: u64,
    /// Entries refused for want of space or room in the queue.
    pub refused: u64,
    /// Checkpoints signed.
    pub signed: u64,
}

/// Resolves when the entry is durable, to its index. Dropping it does not take the entry back.
#[derive(Debug)]
#[must_use = "an entry counts only once this has resolved"]
pub struct Append(Result<oneshot::Receiver<Result<u64, JournalError>>, JournalError>);

impl Future for Append {
    type Output = Result<u64, JournalError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Err(e) => Poll::Ready(Err(e.clone())),
            Ok(reply) => Poll::Ready(ready!(Pin::new(reply).poll(cx)).unwrap_or(Err(JournalError::Closed))),
        }
    }
}

impl Append {
    /// Waits on this thread. Not for use inside an async runtime.
    pub fn wait(self) -> Result<u64, JournalError> {
        self.0?.blocking_recv().unwrap_or(Err(JournalError::Closed))
    }
}

impl Journal {
    /// Opens a folder and starts the journal's threads.
    pub fn open(config: &JournalConfig) -> Result<Opened<Self>, JournalError> {
        let opened = SyncJournal::open(config)?;
        let group_bytes_max = GROUP_BYTES_MAX.min(config.segment_bytes as usize / 2);
        let SyncJournal { shard, earlier, lock } = opened.journal;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            ending: Mutex::new(false),
            ended: Condvar::new(),
            wants_spare: AtomicBool::new(shard.core.wants_spare()),
            counts: Counts::default(),
            group_bytes_max,
        });
        let segments = Arc::clone(&shard.segments);
        let (mut core, mut deriver) = (shard.core, shard.deriver);
        let spare = core.spare();
        // A log without a checkpoint does not verify, and a verifier may come within the first second.
        derive_once(&mut deriver, &shared);
        let writer = {
            let (shared, on_lost) = (Arc::clone(&shared), Arc::clone(&config.on_lost));
            spawn("journal-write", move || write_groups(&shared, &mut core, &on_lost))?
        };
        let deriving = {
            let (shared, config) = (Arc::clone(&shared), config.clone());
            let layout = super::shard::Layout::new(&config.dir, &shard.quarter);
            spawn("journal-derive", move || {
                lower_priority();
                while !shared.wait_for_end(DERIVE_EVERY_MS) {
                    if shared.wants_spare.swap(false, Ordering::Relaxed) {
                        if let Err(e) = spare.make(&*config.disk, &layout, config.segment_bytes) {
                            shared.wants_spare.store(true, Ordering::Relaxed);
                            tracing::warn!(error = %e, "the next segment cannot be prepared");
                        }
                    }
                    derive_once(&mut deriver, &shared);
                }
                if writer.join().is_err() {
                    tracing::error!("the journal's writer panicked");
                }
                derive_once(&mut deriver, &shared);
                drop(lock);
            })?
        };
        let watching = {
            let shared = Arc::clone(&shared);
            spawn("journal-watch", move || {
                while !shared.wait_for_end(WATCH_EVERY_MS) {
                    shared.fail_slow();
                }
            })?
        };
        let threads = Mutex::new(vec![deriving, watching]);
        Ok(Opened {
            journal: Self { inner: Arc::new(Inner { shared, segments, earlier, threads }) },
            log_id: opened.log_id,
            interrupted: opened.interrupted,
            open: opened.open,
            next_index: opened.next_index,
        })
    }

    /// Queues a canonical entry. Entries become durable in the order of these calls.
    pub fn append(&self, entry: Vec<u8>) -> Append {
        self.append_many(vec![entry])
    }

    /// Queues entries that become durable together, with consecutive indexes; resolves to the first.
    pub fn append_many(&self, entries: Vec<Vec<u8>>) -> Append {
        Append(self.inner.shared.enqueue(entries))
    }

    /// Durable entries from index `from` on: at most `max_entries`, and about `max_bytes` in all (one entry at least).
    /// Empty where nothing that new is durable yet.
    pub fn read(
        &self,
        from: u64,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, JournalError> {
        Ok(self.inner.segments.read(from, max_entries, max_bytes)?)
    }

    /// Logs of earlier quarters, oldest first.
    pub fn earlier(&self) -> &[EarlierLog] {
        &self.inner.earlier
    }

    /// Like [`Self::read`], from a log of an earlier quarter.
    pub fn read_earlier(
        &self,
        log: &EarlierLog,
        from: u64,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, JournalError> {
        log.read(from, max_entries, max_bytes)
    }

    /// How many entries are durable: one more than the last durable index.
    pub fn durable(&self) -> u64 {
        self.inner.segments.durable()
    }

    /// Counts since the start.
    pub fn stats(&self) -> JournalStats {
        let c = &self.inner.shared.counts;
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        JournalStats {
            groups: get(&c.groups),
            entries: get(&c.entries),
            bytes: get(&c.bytes),
            commit_ns: get(&c.commit_ns),
            largest: get(&c.largest),
            slow: get(&c.slow),
            refused: get(&c.refused),
            signed: get(&c.signed),
        }
    }

    /// Writes what is queued, signs the last checkpoint and unlocks the folder. Blocks; other clones see `Closed`.
    pub fn close(self) {
        self.inner.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    fn close(&self) {
        {
            let mut queue = self.shared.lock();
            queue.closing = true;
            queue.wakes_at = None;
        }
        self.shared.work.notify_all();
        *self.shared.ending.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.ended.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the journal panicked");
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(
        &self,
        entries: Vec<Vec<u8>>,
    ) -> Result<oneshot::Receiver<Result<u64, JournalError>>, JournalError> {
        let mut bytes = 0;
        for entry in &entries {
            if entry.is_empty() || entry.len() > ENTRY_BYTES_MAX {
                return Err(JournalError::Entry(format!("{} bytes; 1 to {ENTRY_BYTES_MAX}", entry.len())));
            }
            debug_assert!(dragoman_engine::ledger::check(entry).is_ok(), "entries are canonical");
            bytes += span(entry.len());
        }
        if entries.is_empty() {
            return Err(JournalError::Entry("none given".into()));
        }
        let (reply, receiver) = oneshot::channel();
        let mut queue = self.lock();
        if queue.closing || queue.dead {
            return Err(JournalError::Closed);
        }
        let room = self.group_bytes_max - span(SEGMENT_BODY.len()) - span(TRAILER_BYTES);
        if queue.bytes + bytes > room || queue.entries.len() + entries.len() > GROUP_ENTRIES_MAX {
            self.counts.refused.fetch_add(entries.len() as u64, Ordering::Relaxed);
            return Err(JournalError::Unavailable("too many entries wait".into()));
        }
        let place = queue.entries.len() as u64;
        if place == 0 {
            queue.since = Some(Instant::now());
        }
        queue.entries.extend(entries);
        queue.waiters.push(Waiter { place, reply });
        queue.bytes += bytes;
        let wake = queue.wakes_at.is_some_and(|enough| queue.entries.len() >= enough);
        if wake {
            queue.wakes_at = None;
        }
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        Ok(receiver)
    }

    /// Waits a little for those of the group before: turns that were answered together mostly come back together,
    /// and one sync for all of them costs as much as one for each half.
    fn gather(&self, last: &LastGroup) -> MutexGuard<'_, Queue> {
        let mut queue = self.lock();
        let Some(until) = last.ended.map(|at| at + Duration::from_micros(GROUP_GATHER_US)) else {
            return queue;
        };
        let enough = (last.entries + queue.entries.len()).min(GROUP_ENTRIES_MAX / 2);
        while enough > 1 && queue.entries.len() < enough && !queue.closing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue.wakes_at = Some(enough);
            queue = self.work.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue
    }

    /// Waits for the next group's entries; `false` when the journal closes and nothing is left.
    fn take(&self, entries: &mut Vec<Vec<u8>>, last: &LastGroup) -> bool {
        let mut queue = self.gather(last);
        while queue.entries.is_empty() {
            if queue.closing {
                return false;
            }
            queue.wakes_at = Some(1);
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.wakes_at = None;
        entries.clear();
        std::mem::swap(&mut queue.entries, entries);
        queue.in_flight = std::mem::take(&mut queue.waiters);
        queue.bytes = 0;
        queue.since = None;
        queue.started = Some(Instant::now());
        true
    }

    fn finish(&self) -> Vec<Waiter> {
        let mut queue = self.lock();
        queue.started = None;
        std::mem::take(&mut queue.in_flight)
    }

    /// Waits up to `ms`; `true` once the journal is closing.
    fn wait_for_end(&self, ms: u64) -> bool {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.ended.wait_timeout_while(ending, Duration::from_millis(ms), |ending| !*ending);
        *wait.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Fails those who have waited too long; what they wait for goes on.
    fn fail_slow(&self) {
        let limit = Duration::from_millis(GROUP_SLOW_MS);
        let mut queue = self.lock();
        let mut late = Vec::new();
        if queue.started.is_some_and(|at| at.elapsed() > limit) {
            late.append(&mut queue.in_flight);
        }
        if queue.since.is_some_and(|at| at.elapsed() > limit) {
            late.append(&mut queue.waiters);
        }
        drop(queue);
        if !late.is_empty() {
            tracing::warn!(waiters = late.len(), "a group of the journal is slow");
            self.counts.slow.fetch_add(late.len() as u64, Ordering::Relaxed);
            answer(late, &Err(JournalError::Slow));
        }
    }
}

/// A waiter that is gone needs no answer.
fn answer(waiters: Vec<Waiter>, result: &Result<u64, JournalError>) {
    for waiter in waiters {
        let one = result.clone().map(|first| first + waiter.place);
        drop(waiter.reply.send(one));
    }
}

/// The group before: by it the next one's size is guessed.
#[derive(Debug, Default)]
struct LastGroup {
    entries: usize,
    ended: Option<Instant>,
}

fn write_groups(shared: &Shared, core: &mut Core, on_lost: &OnLost) {
    let mut entries = Vec::new();
    let mut last = LastGroup::default();
    while shared.take(&mut entries, &last) {
        let begun = Instant::now();
        let result = core.commit(&entries);
        let counts = &shared.counts;
        let number = entries.len() as u64;
        let result = match result {
            Ok(first) => {
                counts.groups.fetch_add(1, Ordering::Relaxed);
                counts.entries.fetch_add(number, Ordering::Relaxed);
                counts.bytes.fetch_add(entries.iter().map(|e| e.len() as u64).sum(), Ordering::Relaxed);
                counts.commit_ns.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
                counts.largest.fetch_max(number, Ordering::Relaxed);
                if core.wants_spare() {
                    shared.wants_spare.store(true, Ordering::Relaxed);
                }
                Ok(first)
            }
            Err(CommitError::NoSpace(e)) => {
                counts.refused.fetch_add(number, Ordering::Relaxed);
                Err(JournalError::Unavailable(e.to_string()))
            }
            Err(lost @ CommitError::Lost(..)) => {
                // What reached the disk is unknown: nothing may be acknowledged or written after this.
                tracing::error!(error = %lost, "the journal lost a write");
                on_lost(&lost.to_string());
                let mut queue = shared.lock();
                queue.dead = true;
                let waiters = std::mem::take(&mut queue.waiters);
                drop(queue);
                answer(waiters, &Err(JournalError::Closed));
                answer(shared.finish(), &Err(JournalError::Closed));
                return;
            }
        };
        answer(shared.finish(), &result);
        last = LastGroup { entries: entries.len(), ended: Some(Instant::now()) };
    }
}

fn derive_once(deriver: &mut super::derive::Deriver, shared: &Shared) {
    match deriver.derive() {
        Ok(true) => drop(shared.counts.signed.fetch_add(1, Ordering::Relaxed)),
        Ok(false) => {}
        // The journal is the record; tiles and checkpoint catch up when the disk lets them.
        Err(e) => tracing::warn!(error = %e, "tiles or checkpoint could not be written"),
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, JournalError> {
    Ok(std::thread::Builder::new().name(name.into()).spawn(run)?)
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    const NICE: i32 = 10;
    // SAFETY: plain system calls on this thread's own id; no memory is passed.
    unsafe {
        let thread = libc::syscall(libc::SYS_gettid) as libc::id_t;
        libc::setpriority(libc::PRIO_PROCESS, thread, NICE);
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}
