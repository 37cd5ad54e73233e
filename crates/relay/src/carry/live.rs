//! A turn that runs on its own, with any number of readers on any thread: what is released is handed to all of them and
//! kept, as a text, for those that come later. A reader that leaves or does not read ends nothing.
use super::merge::Merged;
use crate::clock::boot_ms;
use crate::limits;
use bytes::Bytes;
use dragoman_engine::answer::record_events;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The outside of a running turn.
pub struct LiveTurn {
    pub turn: String,
    pub conversation: String,
    pub tenant: String,
    pub principal: String,
    stopped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was said in chunks that are no longer kept.
    merged: Merged,
    /// Place in the stream of the first kept chunk, and behind the last.
    base: u64,
    end: u64,
    /// Whole events each.
    chunks: VecDeque<Bytes>,
    /// Nothing more comes.
    over: bool,
    readers: HashMap<u64, Place>,
    next_reader: u64,
    /// The turn's task, where it waits for a reader to read.
    task: Option<Waker>,
    /// Who waits for the end.
    ends: Vec<Waker>,
    /// Boot milliseconds since which nobody reads; 0 where somebody does.
    alone_since: u64,
}

/// How far a reader is.
struct Place {
    at: u64,
    waker: Option<Waker>,
}

/// More than a turn may say in all.
#[derive(Debug)]
pub struct TooLong;

/// Why a reader cannot be let in.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// It says that it has more than there is.
    Ahead,
    /// Too many read already.
    Crowded,
}

impl State {
    fn kept(&self) -> usize {
        (self.end - self.base) as usize
    }

    fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.end += bytes.len() as u64;
            self.chunks.push_back(bytes);
        }
    }

    /// Keeps as text what every reader has; past the most that may be kept, also what a slow one has not.
    fn fold(&mut self) {
        let furthest_behind = self.readers.values().map(|place| place.at).min().unwrap_or(self.end);
        while self.kept() > limits::LIVE_RAW_BYTES {
            let Some(first) = self.chunks.front() else { return };
            let behind = self.base + first.len() as u64;
            if behind > furthest_behind && self.kept() <= limits::LIVE_LAG_BYTES {
                return;
            }
            if let Some(first) = self.chunks.pop_front() {
                self.base = behind;
                self.merged.take(&first);
            }
        }
    }

    fn wake_readers(&mut self) {
        for place in self.readers.values_mut() {
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }

    fn wake_task(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// The chunk at a place and what stands before it of that chunk.
    fn chunk_at(&self, at: u64) -> Option<Bytes> {
        let mut start = self.base;
        for chunk in &self.chunks {
            let end = start + chunk.len() as u64;
            if at < end {
                return Some(chunk.slice((at - start) as usize..));
            }
            start = end;
        }
        None
    }
}

impl LiveTurn {
    pub fn new(turn: &str, conversation: &str, tenant: &str, principal: &str) -> Arc<Self> {
        Arc::new(Self {
            turn: turn.to_owned(),
            conversation: conversation.to_owned(),
            tenant: tenant.to_owned(),
            principal: principal.to_owned(),
            stopped: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// The state is whole between any two statements: a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands released events to all readers.
    pub fn deliver(&self, events: Vec<u8>) -> Result<(), TooLong> {
        if events.is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        state.push(events.into());
        state.fold();
        state.wake_readers();
        let fits = state.merged.bytes() <= limits::LIVE_BYTES;
        if fits { Ok(()) } else { Err(TooLong) }
    }

    /// The last events; nothing follows. A whole answer is told to its readers as a stream.
    pub fn close(&self, last: &[u8], stream: bool) {
        let events = if stream {
            last.to_vec()
        } else {
            serde_json::from_slice(last).ok().and_then(|body| record_events(&body)).unwrap_or_default()
        };
        let mut state = self.state();
        if state.over {
            return;
        }
        state.push(events.into());
        state.over = true;
        state.wake_readers();
        for waker in state.ends.drain(..) {
            waker.wake();
        }
    }

    /// Who asked wants no more of it.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Milliseconds for which nobody has read.
    pub fn alone_ms(&self, now: u64) -> u64 {
        match self.state().alone_since {
            0 => 0,
            since => now.saturating_sub(since),
        }
    }

    /// Ready when the turn is over.
    pub fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.over {
            return Poll::Ready(());
        }
        if !state.ends.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.ends.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Ready when some reader has room for more, or there is none: nobody slow holds up who is fast.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let end = state.end;
        let room = |place: &Place| end - place.at < limits::OUT_BYTES as u64;
        if state.readers.is_empty() || state.readers.values().any(room) {
            return Poll::Ready(());
        }
        state.task = Some(cx.waker().clone());
        Poll::Pending
    }

    /// A reader that has `after` code points of the content already. `None` says nothing of the beginning: who asked.
    pub fn reader(self: &Arc<Self>, after: Option<u64>) -> Result<Reader, Unread> {
        let mut state = self.state();
        if state.readers.len() >= limits::LIVE_READERS {
            return Err(Unread::Crowded);
        }
        let (mut at, mut before) = (state.base, None);
        if let Some(after) = after {
            // One event says what is said so far; what comes is read as it comes.
            let mut merged = state.merged.clone();
            for chunk in &state.chunks {
                merged.take(chunk);
            }
            if after > merged.points() {
                return Err(Unread::Ahead);
            }
            before = merged.event_after(after).map(Bytes::from);
            at = state.end;
        }
        let number = state.next_reader;
        state.next_reader += 1;
        state.alone_since = 0;
        state.readers.insert(number, Place { at, waker: None });
        drop(state);
        Ok(Reader { live: Arc::clone(self), number, before, revoked: None, ended: false })
    }
}

/// The last event of a reader who may not read on, once that is so.
pub type Revoked = Box<dyn Fn() -> Option<Bytes>>;

/// One reader of a running turn, until it is dropped.
pub struct Reader {
    live: Arc<LiveTurn>,
    number: u64,
    /// What was said before it came.
    before: Option<Bytes>,
    /// Who asked is ended with the turn; another reader has a credential of its own.
    revoked: Option<Revoked>,
    ended: bool,
}

impl Reader {
    /// Hands nothing on once `revoked` says the last event.
    #[must_use]
    pub fn unless(mut self, revoked: Revoked) -> Self {
        self.revoked = Some(revoked);
        self
    }

    /// The next events; nothing when the turn is over. An error where the reader was too slow.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(last) = self.revoked.as_ref().and_then(|revoked| revoked()) {
            self.ended = true;
            return Poll::Ready(Some(Ok(last)));
        }
        if let Some(before) = self.before.take() {
            return Poll::Ready(Some(Ok(before)));
        }
        let mut guard = self.live.state();
        let state = &mut *guard;
        let Some(place) = state.readers.get_mut(&self.number) else { return Poll::Ready(None) };
        if place.at < state.base {
            return Poll::Ready(Some(Err(io::Error::other("the reader is too slow"))));
        }
        let at = place.at;
        if at < state.end {
            let Some(chunk) = state.chunk_at(at) else { return Poll::Ready(None) };
            if let Some(place) = state.readers.get_mut(&self.number) {
                place.at = at + chunk.len() as u64;
            }
            state.wake_task();
            return Poll::Ready(Some(Ok(chunk)));
        }
        if state.over {
            return Poll::Ready(None);
        }
        place.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.live.state();
        state.readers.remove(&self.number);
        if state.readers.is_empty() {
            state.alone_since = boot_ms().max(1);
        }
        state.wake_task();
    }
}

/// The turns that run here, of all threads.
#[derive(Default)]
pub struct LiveTurns(Mutex<HashMap<String, Arc<LiveTurn>>>);

impl LiveTurns {
    fn turns(&self) -> MutexGuard<'_, HashMap<String, Arc<LiveTurn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, live: &Arc<LiveTurn>) {
        self.turns().insert(live.turn.clone(), Arc::clone(live));
    }

    pub fn remove(&self, turn: &str) {
        self.turns().remove(turn);
    }

    pub fn find(&self, turn: &str) -> Option<Arc<LiveTurn>> {
        self.turns().get(turn).cloned()
    }
}

#[cfg(test)]
mod tests;
