//! A running turn, as the thread's clock and the changes see it: what may end it, and the pause without
//! contact. One waker, no timer of its own; deadlines are as fine as the thread's tick.
use super::live::LiveTurn;
use crate::changes::Stop;
use crate::limits;
use crate::plan::Ready;
use crate::wire::Principal;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What ended a turn from outside.
#[derive(Clone, Debug)]
pub enum Ended {
    /// A change that carries one of its tags.
    Changed(Stop),
    /// No contact for longer than a turn may pause.
    NoContact,
    /// A deadline, named.
    Timeout(&'static str),
    /// The relay stops and the drain's time is over.
    Restart,
    /// Who asked wants no more of it.
    Stopped,
    /// Nobody reads it any longer.
    Left,
}

/// The outside of one turn.
pub struct Running {
    who: Arc<Principal>,
    plan: Arc<Ready>,
    /// A tag of its own: its conversation's.
    tag: Option<String>,
    /// The outside of a turn that runs on its own, and how long it may without a reader, milliseconds.
    live: OnceCell<(Arc<LiveTurn>, u64)>,
    ended: RefCell<Option<Ended>>,
    /// Boot milliseconds; 0 is none.
    deadline: Cell<u64>,
    what: Cell<&'static str>,
    total: Cell<u64>,
    paused_since: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Running {
    pub fn new(who: Arc<Principal>, plan: Arc<Ready>, conversation: Option<&str>) -> Self {
        Self {
            who,
            plan,
            tag: conversation.map(|id| format!("conversation:{id}")),
            live: OnceCell::new(),
            ended: RefCell::default(),
            deadline: Cell::new(0),
            what: Cell::new(""),
            total: Cell::new(0),
            paused_since: Cell::new(0),
            waker: RefCell::default(),
        }
    }

    /// The tags that concern it: its principal's, its plan's and its conversation's.
    pub fn tags(&self) -> impl Iterator<Item = &String> {
        self.who.tags.iter().chain(&self.plan.plan.tags).chain(&self.tag)
    }

    /// From now on it runs on its own: it may be stopped, and ends where nobody has read it for `alone_ms`.
    pub fn on_its_own(&self, live: &Arc<LiveTurn>, alone_ms: u64) {
        // Said once, when the turn begins.
        drop(self.live.set((Arc::clone(live), alone_ms)));
    }

    /// The next wait may last until boot time `at`; `what` names it in the error.
    pub fn until(&self, at: u64, what: &'static str) {
        self.deadline.set(at);
        self.what.set(what);
    }

    /// The whole call may last until boot time `at`.
    pub fn total(&self, at: u64) {
        self.total.set(at);
    }

    /// No deadline runs: the turn waits for nobody but us.
    pub fn unbounded(&self) {
        self.deadline.set(0);
        self.total.set(0);
    }

    /// A deadline was met with another attempt: it no longer ends the turn.
    pub fn expired(&self) {
        let mut ended = self.ended.borrow_mut();
        if matches!(*ended, Some(Ended::Timeout(_))) {
            *ended = None;
        }
    }

    /// A change ends the turn.
    pub fn stop(&self, stop: Stop) {
        self.end(Ended::Changed(stop));
    }

    pub fn end_for_restart(&self) {
        self.end(Ended::Restart);
    }

    fn end(&self, why: Ended) {
        self.ended.borrow_mut().get_or_insert(why);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Marks that the turn waits for contact, from `now` on.
    pub fn pause(&self, now: u64) {
        if self.paused_since.get() == 0 {
            self.paused_since.set(now.max(1));
        }
    }

    /// Waits until the thread's clock ends the pause.
    pub async fn resumed(&self) {
        poll_fn(|_| if self.paused_since.get() == 0 { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// The thread's clock: deadlines, and the end of a pause.
    pub fn tick(&self, now: u64, contact: bool) {
        if let Some((live, alone_ms)) = self.live.get() {
            if live.is_stopped() {
                self.end(Ended::Stopped);
            } else if live.alone_ms(now) > *alone_ms {
                self.end(Ended::Left);
            }
        }
        let paused = self.paused_since.get();
        let over = |at: u64| at != 0 && now > at;
        if paused != 0 && contact {
            self.paused_since.set(0);
            self.wake();
        } else if paused != 0 && now.saturating_sub(paused) > limits::PAUSE_MS {
            self.end(Ended::NoContact);
        } else if over(self.total.get()) {
            self.end(Ended::Timeout("total"));
        } else if paused == 0 && over(self.deadline.get()) {
            self.end(Ended::Timeout(self.what.get()));
        }
    }

    /// Ready when something ended the turn; otherwise the task is woken when something does.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Some(why) = self.ended.borrow().as_ref() {
            return Poll::Ready(why.clone());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// `future`, unless something ends the turn first.
    pub async fn or_ended<F: Future>(&self, future: F) -> Result<F::Output, Ended> {
        let mut future = pin!(future);
        poll_fn(|cx| match self.poll_ended(cx) {
            Poll::Ready(why) => Poll::Ready(Err(why)),
            Poll::Pending => future.as_mut().poll(cx).map(Ok),
        })
        .await
    }
}
