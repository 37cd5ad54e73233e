//! One bucket of a limit as this run of the relay holds it: what may still be reserved, and the sums it exchanges with
//! control. Reserving is one atomic step. INVARIANT: granted = free + reserved by turns + spent + returned.
use super::message::{Allotment, Ask};
use super::named::{Name, Named};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Asks for this many times a turn's own need at first.
const WANT_TIMES: u64 = 8;
/// Asks that follow one another within so many milliseconds want twice as much each.
const HURRY_MS: u64 = 5_000;
/// What is wanted at the most: times the need.
const WANT_MOST: u64 = 4_096;
/// More is asked for when less than this part of what was wanted is left.
const LOW_PART: u64 = 4;
/// Milliseconds for which a refusal of control is believed.
pub const REFUSED_MS: u64 = 250;

/// Sums since the run's start. They only grow.
#[derive(Debug, Default)]
struct Sums {
    granted: u64,
    returned: u64,
    want: u64,
    asked_at: u64,
    /// Control has answered: before that, what it has of an earlier life of this bucket is not known.
    known: bool,
}

/// Parts of a bucket's name, for finding it.
#[derive(Debug)]
struct Key {
    id: String,
    starts: u64,
    thing: [String; 2],
}

/// A bucket.
#[derive(Debug)]
pub struct Bucket {
    key: Key,
    /// `<limit>:<window>:<thing>`.
    pub name: String,
    pub tenant: String,
    /// End of its window, ms UTC.
    pub ends: u64,
    free: AtomicI64,
    /// Boot ms until which may be reserved.
    until: AtomicU64,
    /// Boot ms until which control is not asked again for this much or more.
    refused_until: AtomicU64,
    refused_need: AtomicU64,
    /// More is asked for in advance below this.
    low: AtomicI64,
    ahead: AtomicBool,
    /// Control has not heard yet of all that was given back.
    untold: AtomicBool,
    most: AtomicU64,
    left: AtomicU64,
    sums: Mutex<Sums>,
    /// Who asks control holds it: one question at a time.
    pub asking: tokio::sync::Mutex<()>,
}

impl Named for Bucket {
    fn is(&self, name: &Name<'_>) -> bool {
        let key = &self.key;
        key.starts == name.starts
            && key.id == name.id
            && key.thing[0] == name.thing[0]
            && key.thing[1] == name.thing[1]
    }
}

/// What came of reserving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    Yes,
    /// And little is left: ask for more in advance.
    YesLow,
    No,
}

impl Bucket {
    /// `first`: this run never had a bucket of this name, so all that control granted it of that is its own.
    pub fn new(key: &Name<'_>, name: String, tenant: &str, (ends, most): (u64, u64), first: bool) -> Self {
        let thing = key.thing.map(str::to_owned);
        Self {
            key: Key { id: key.id.to_owned(), starts: key.starts, thing },
            name,
            tenant: tenant.to_owned(),
            ends,
            free: AtomicI64::new(0),
            until: AtomicU64::new(0),
            refused_until: AtomicU64::new(0),
            refused_need: AtomicU64::new(0),
            low: AtomicI64::new(0),
            ahead: AtomicBool::new(false),
            untold: AtomicBool::new(false),
            most: AtomicU64::new(most),
            left: AtomicU64::new(most),
            sums: Mutex::new(Sums { known: first, ..Sums::default() }),
            asking: tokio::sync::Mutex::new(()),
        }
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves `amount` at `now` (boot ms), if there is so much.
    pub fn take(&self, amount: u64, now: u64) -> Took {
        let Ok(amount) = i64::try_from(amount) else { return Took::No };
        if now >= self.until.load(Ordering::Acquire) {
            return Took::No;
        }
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
            (free >= amount).then(|| free - amount)
        });
        match taken {
            Err(_) => Took::No,
            Ok(free) if free - amount < self.low.load(Ordering::Relaxed) => Took::YesLow,
            Ok(_) => Took::Yes,
        }
    }

    /// Gives back what a reservation did not spend; where more was spent than reserved, takes the rest.
    pub fn settle(&self, reserved: u64, spent: u64) {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.free.fetch_add(signed(reserved).saturating_sub(signed(spent)), Ordering::AcqRel);
    }

    /// What may still be reserved here.
    pub fn free(&self) -> u64 {
        u64::try_from(self.free.load(Ordering::Acquire)).unwrap_or(0)
    }

    /// What is left of the limit, as far as is known here, and how much it is.
    pub fn left(&self) -> (u64, u64) {
        (self.left.load(Ordering::Relaxed).saturating_add(self.free()), self.most.load(Ordering::Relaxed))
    }

    /// Control said a moment ago that there is not so much.
    pub fn is_refused(&self, need: u64, now: u64) -> bool {
        now < self.refused_until.load(Ordering::Acquire) && need >= self.refused_need.load(Ordering::Acquire)
    }

    /// Nobody asks in advance yet: the caller does.
    pub fn begin_ahead(&self) -> bool {
        !self.ahead.swap(true, Ordering::AcqRel)
    }

    pub fn end_ahead(&self) {
        self.ahead.store(false, Ordering::Release);
    }

    /// The question for `amount` more than what is free; `now` in boot ms. With nothing lacking it renews.
    pub fn ask(&self, amount: u64, now: u64) -> Ask<'_> {
        let need = amount.saturating_sub(self.free());
        let mut sums = self.sums();
        let hurry = sums.asked_at > 0 && now.saturating_sub(sums.asked_at) < HURRY_MS;
        let least = amount.saturating_mul(WANT_TIMES);
        let most = amount.saturating_mul(WANT_MOST);
        sums.want = if hurry { sums.want.saturating_mul(2).clamp(least, most) } else { least };
        sums.asked_at = now;
        let want = sums.want.min(WIRE_MOST);
        let (granted, returned) = (sums.granted, sums.returned);
        Ask { bucket: &self.name, tenant: &self.tenant, granted, returned, need: need.min(WIRE_MOST), want }
    }

    /// What to give back at `now` (boot ms; `wall` ms UTC): all that is free, where it may not be reserved any longer.
    pub fn idle(&self, now: u64, wall: u64) -> Option<Ask<'_>> {
        let over = now >= self.until.load(Ordering::Acquire) || wall >= self.ends;
        if !over {
            return None;
        }
        self.until.store(0, Ordering::Release);
        let free =
            self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| (free > 0).then_some(0));
        let mut sums = self.sums();
        if let Ok(free) = free {
            sums.returned += u64::try_from(free).unwrap_or(0);
            self.untold.store(true, Ordering::Release);
        }
        let (granted, returned) = (sums.granted, sums.returned);
        let untold = self.untold.load(Ordering::Acquire);
        untold.then_some(Ask {
            bucket: &self.name,
            tenant: &self.tenant,
            granted,
            returned,
            need: 0,
            want: 0,
        })
    }

    /// A question's answer did not come: control may have granted what is not known here.
    pub fn unsure(&self) {
        self.untold.store(true, Ordering::Release);
    }

    /// Control has heard all that was given back, and says what it granted: what was not known is given back next.
    pub fn told(&self, said: &Allotment) {
        self.untold.store(false, Ordering::Release);
        self.learn(&mut self.sums(), said);
    }

    /// Takes what control granted and is not known here yet; how much that is.
    fn learn(&self, sums: &mut Sums, said: &Allotment) -> u64 {
        if !std::mem::replace(&mut sums.known, true) {
            // What an earlier life of this bucket had is spent or given back: only this answer's grant is new.
            sums.granted = sums.granted.max(said.before);
            sums.returned += said.returned;
        }
        let more = said.granted.saturating_sub(sums.granted);
        sums.granted += more;
        self.free.fetch_add(i64::try_from(more).unwrap_or(i64::MAX), Ordering::AcqRel);
        more
    }

    /// Takes in what control said of a question that was short of `need`.
    pub fn heard(&self, said: &Allotment, need: u64, now: u64) {
        let mut sums = self.sums();
        let met = !sums.known && said.before > 0;
        let more = self.learn(&mut sums, said);
        if more > 0 {
            self.low.store(i64::try_from(sums.want.min(more) / LOW_PART).unwrap_or(0), Ordering::Relaxed);
        }
        drop(sums);
        self.most.store(said.most, Ordering::Relaxed);
        self.left.store(said.left, Ordering::Relaxed);
        self.until.store(now.saturating_add(said.ms), Ordering::Release);
        if need > 0 && more == 0 && !met {
            self.refused_need.store(need, Ordering::Release);
            self.refused_until.store(now + REFUSED_MS, Ordering::Release);
        }
    }

    /// Nothing more may be reserved from it: its limit has changed.
    pub fn expire(&self) {
        self.until.store(0, Ordering::Release);
        self.refused_until.store(0, Ordering::Release);
    }

    /// Nothing is held here.
    pub fn is_empty(&self) -> bool {
        let told = !self.untold.load(Ordering::Acquire);
        told && self.until.load(Ordering::Acquire) == 0 && self.free.load(Ordering::Acquire) == 0
    }
}

/// The largest integer of the wire.
const WIRE_MOST: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests;
