//! How fast a caller may ask: the generic cell rate algorithm, one instant for each key or end user. A rate of `most` a
//! minute lets `burst` through at once after a pause. It counts in this relay alone.
use super::named::{Name, Named};
use std::sync::atomic::{AtomicU64, Ordering};

const MINUTE_NS: u128 = 60_000_000_000;

/// When the next cell would be on time, boot ns.
#[derive(Debug)]
pub struct Pace {
    id: String,
    thing: [String; 2],
    due: AtomicU64,
}

impl Named for Pace {
    fn is(&self, name: &Name<'_>) -> bool {
        self.id == name.id && self.thing[0] == name.thing[0] && self.thing[1] == name.thing[1]
    }
}

/// Nanoseconds that `n` of `most` a minute take, rounded up.
fn span(n: u64, most: u64) -> u64 {
    let ns = (u128::from(n) * MINUTE_NS).div_ceil(u128::from(most.max(1)));
    u64::try_from(ns).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}

/// What is left of a rate, and what a caller has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What may come at once now.
    pub left: u64,
    /// Nanoseconds until all of the burst may come again.
    pub reset_ns: u64,
    /// Nanoseconds until as much as was asked for may come; none where it never may.
    pub wait_ns: Option<u64>,
}

impl Pace {
    pub fn new(name: &Name<'_>) -> Self {
        Self { id: name.id.to_owned(), thing: name.thing.map(str::to_owned), due: AtomicU64::new(0) }
    }

    /// Lets `n` through at `now` (boot ns), or says how long to wait.
    pub fn take(&self, n: u64, (most, burst): (u64, u64), now: u64) -> Result<State, State> {
        let after = |due| next(due, n, (most, burst), now);
        let taken = self
            .due
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |due| after(due).ok().map(|(due, _)| due));
        let (Ok(before) | Err(before)) = taken;
        after(before).map(|(_, state)| state)
    }

    /// Gives back what was taken and not used.
    pub fn give_back(&self, n: u64, most: u64) {
        // It always gives a value, so it always succeeds.
        let _ = self.due.fetch_update(Ordering::AcqRel, Ordering::Acquire, |due| Some(back(due, n, most)));
    }

    /// It says no more than a new one would.
    pub fn is_idle(&self, now: u64) -> bool {
        self.due.load(Ordering::Acquire) <= now
    }
}

/// `n` of `most` a minute, `burst` at once, at `now` (boot ns), where the next cell would be on time at `due`: when it is
/// after that, or how long to wait.
pub fn next(due: u64, n: u64, (most, burst): (u64, u64), now: u64) -> Result<(u64, State), State> {
    let (step, whole) = (span(n, most), span(burst, most));
    let next = due.max(now) + step;
    if next - now <= whole {
        return Ok((next, state(next - now, whole, most, Some(0))));
    }
    let behind = due.saturating_sub(now);
    let wait = (step <= whole).then(|| (behind + step).saturating_sub(whole));
    Err(state(behind, whole, most, wait))
}

/// When the next cell is on time after `n` that had to be let through: at most `burst` more than may come at once.
pub fn charged(due: u64, n: u64, (most, burst): (u64, u64), now: u64) -> u64 {
    (due.max(now) + span(n, most)).min(now + 2 * span(burst, most))
}

/// When the next cell is on time once `n` of `most` a minute are given back: rounded, so that it is never more than was
/// taken.
pub fn back(due: u64, n: u64, most: u64) -> u64 {
    let ns = u64::try_from(u128::from(n) * MINUTE_NS / u128::from(most.max(1))).unwrap_or(0);
    due.saturating_sub(ns)
}

fn state(behind: u64, whole: u64, most: u64, wait_ns: Option<u64>) -> State {
    let room = u128::from(whole.saturating_sub(behind));
    let left = u64::try_from(room * u128::from(most) / MINUTE_NS).unwrap_or(u64::MAX);
    State { left, reset_ns: behind, wait_ns }
}

#[cfg(test)]
mod tests;
