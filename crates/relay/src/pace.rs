//! Whether a thread is asked for more than it can do: the work that waits ahead of a task which may run. New turns
//! are refused then, so that the ones taken in stay fast. It ends no turn.
use crate::limits;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One thread's pace.
#[derive(Default)]
pub struct Pace {
    looking: Cell<bool>,
    judged: RefCell<Judged>,
}

/// What the last looks gave.
#[derive(Debug, Default)]
struct Judged {
    /// When the last look was done.
    at: Option<Instant>,
    /// Since when every look found too much work.
    late_since: Option<Instant>,
    /// Until when a shorter time suffices, for the thread was behind a moment ago.
    wary_until: Option<Instant>,
    behind: bool,
}

impl Judged {
    /// Takes in that `ahead` of work waited, as seen at `now`.
    fn look(&mut self, ahead: Duration, now: Instant) {
        self.at = Some(now);
        if ahead <= Duration::from_millis(limits::BEHIND_MS) {
            self.late_since = None;
            self.behind = false;
            return;
        }
        let since = *self.late_since.get_or_insert(now);
        let wary = self.wary_until.is_some_and(|until| now < until);
        // One long piece of work, a body of megabytes, is no overload: that takes more than one look.
        let long = if wary { limits::BEHIND_AGAIN_MS } else { limits::BEHIND_FOR_MS };
        self.behind = now - since >= Duration::from_millis(long);
        if self.behind {
            self.wary_until = Some(now + Duration::from_millis(limits::BEHIND_WARY_MS));
        }
    }

    /// Milliseconds since the last look; none yet is very long.
    fn age(&self, now: Instant) -> u128 {
        self.at.map_or(u128::MAX, |at| (now - at).as_millis())
    }
}

impl Pace {
    /// Whether the thread has more to do than it can. Looks again now and then, by a task of its own.
    pub fn is_behind(self: &Rc<Self>) -> bool {
        let now = Instant::now();
        let age = self.judged.borrow().age(now);
        if age >= u128::from(limits::LOOK_MS) && !self.looking.replace(true) {
            let pace = Rc::clone(self);
            let began = thread_time();
            // It stands behind all that may run now; when its turn has come, that was done.
            tokio::task::spawn_local(async move {
                pace.looking.set(false);
                pace.judged.borrow_mut().look(thread_time().saturating_sub(began), Instant::now());
            });
        }
        age < u128::from(limits::LOOK_OLD_MS) && self.judged.borrow().behind
    }
}

/// The processor time of this thread. Unlike a clock it does not run while a neighbour has the processor: a busy
/// machine alone makes nobody refuse.
fn thread_time() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid, writable timespec, and the clock id is a constant of this system.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    // Without this clock no work is ever seen, and the places alone bound the turns.
    if failed == 0 { Duration::new(now.tv_sec as u64, now.tv_nsec as u32) } else { Duration::ZERO }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
