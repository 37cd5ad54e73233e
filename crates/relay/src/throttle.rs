//! How fast one client may do what costs something before its turn is allowed, or what is no turn: failed credentials,
//! requests, guests' appeals and sign-ups by address, requests and refused turns by principal. Counted in this relay alone.
use crate::address::crowd;
use crate::budget::message::{Each, Rate, Unit};
use crate::budget::{rate, say};
use crate::clock::boot_ms;
use crate::errors::{self, ApiError, Code};
use crate::limits;
use serde::Deserialize;
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

const HOUR_MINUTES: u64 = 60;
const DAY_MINUTES: u64 = 1_440;

/// What each may do in a minute, all of it at once after a pause. Absent in the configuration: the relay's own.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct PerMinute {
    pub failed_credentials: u64,
    pub address_requests: u64,
    pub requests: u64,
    pub refused_turns: u64,
}

impl Default for PerMinute {
    fn default() -> Self {
        Self {
            failed_credentials: limits::FAILED_CREDENTIALS,
            address_requests: limits::ADDRESS_REQUESTS,
            requests: limits::REQUESTS,
            refused_turns: limits::REFUSED_TURNS,
        }
    }
}

/// One rate over many clients: until when each has used up its time, by the hash of who it is. Who owes nothing is
/// forgotten; with more than fit, those who owe least.
#[derive(Default)]
struct Dues {
    due: Mutex<HashMap<u64, u64>>,
    hasher: RandomState,
}

impl Dues {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        // A panic while the map was held leaves it whole: each step below is one map operation.
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `change` makes of until when `who` has used up its time; nothing where it fails.
    fn change<E>(
        &self,
        who: &impl Hash,
        now: u64,
        change: impl FnOnce(u64) -> Result<u64, E>,
    ) -> Result<(), E> {
        let who = self.hasher.hash_one(who);
        let mut due = self.lock();
        let after = change(due.get(&who).copied().unwrap_or(0))?;
        // Before it takes more memory it forgets who owes nothing: a crowd that only passes leaves nothing behind.
        if !due.contains_key(&who) && due.len() >= due.capacity().min(limits::THROTTLED) {
            make_room(&mut due, now);
        }
        due.insert(who, after);
        Ok(())
    }

    /// Takes one of `most` a minute at `now` (boot ns).
    fn take(&self, who: &impl Hash, most: u64, now: u64) -> Result<(), rate::State> {
        self.change(who, now, |due| rate::next(due, 1, (most, most), now).map(|(due, _)| due))
    }

    /// What taking one would say.
    fn ask(&self, who: &impl Hash, most: u64, now: u64) -> Result<rate::State, rate::State> {
        let due = self.lock().get(&self.hasher.hash_one(who)).copied().unwrap_or(0);
        rate::next(due, 1, (most, most), now).map(|(_, state)| state)
    }

    fn give_back(&self, who: &impl Hash, most: u64) {
        if let Some(due) = self.lock().get_mut(&self.hasher.hash_one(who)) {
            *due = rate::back(*due, 1, most);
        }
    }
}

/// Forgets who owes nothing at `now`, and of the others the half that owes less.
fn make_room(due: &mut HashMap<u64, u64>, now: u64) {
    due.retain(|_, until| *until > now);
    if due.len() < limits::THROTTLED {
        return;
    }
    let mut owed: Vec<u64> = due.values().copied().collect();
    let half = owed.len() / 2;
    let (_, middle, _) = owed.select_nth_unstable(half);
    let middle = *middle;
    due.retain(|_, until| *until > middle);
}

/// A rate of this relay, and who has used how much of it.
pub struct Throttle {
    /// What a refusal names: the setting.
    id: &'static str,
    /// What a refusal says instead of the rate's numbers.
    says: Option<&'static Code>,
    /// In how many minutes `most` may come.
    minutes: u64,
    dues: Dues,
}

/// One that was taken, given back where it turns out that it does not count.
#[must_use]
pub struct Taken<'a> {
    throttle: &'a Throttle,
    who: IpAddr,
    most: u64,
}

impl Taken<'_> {
    pub fn give_back(self) {
        self.throttle.dues.give_back(&self.who, self.most);
    }
}

impl Throttle {
    fn new(id: &'static str) -> Self {
        Self { id, says: None, minutes: 1, dues: Dues::default() }
    }

    fn hourly(id: &'static str, says: &'static Code) -> Self {
        Self { minutes: HOUR_MINUTES, says: Some(says), ..Self::new(id) }
    }

    /// Boot nanoseconds, so slow that its minutes are one.
    fn now(&self) -> u64 {
        boot_ms().saturating_mul(1_000_000) / self.minutes
    }

    /// Lets one more of `who` through, or says when it may.
    ///
    /// # Errors
    /// 429 with the setting's name, the rate and the seconds to wait.
    pub fn pass(&self, who: &str, most: u64) -> Result<(), ApiError> {
        self.take(&who, most)
    }

    /// The same of a client's address; in stage local, where everybody is on this machine, of nobody.
    ///
    /// # Errors
    /// As `pass`.
    pub fn pass_address(&self, client: Option<IpAddr>, most: u64) -> Result<(), ApiError> {
        client.map_or(Ok(()), |ip| self.take(&crowd::whole(ip), most))
    }

    /// The same, where it can be given back.
    ///
    /// # Errors
    /// As `pass`.
    pub fn hold_address(&self, client: Option<IpAddr>, most: u64) -> Result<Option<Taken<'_>>, ApiError> {
        let Some(who) = client.map(crowd::whole) else { return Ok(None) };
        self.take(&who, most)?;
        Ok(Some(Taken { throttle: self, who, most }))
    }

    /// Whether one more of `who` would be let through. Takes nothing.
    ///
    /// # Errors
    /// As `pass`.
    pub fn check(&self, who: &str, most: u64) -> Result<(), ApiError> {
        self.dues.ask(&who, most, self.now()).map(drop).map_err(|state| self.refusal(most, state))
    }

    /// Counts one of `who` that was let through before anybody could know that it counts.
    pub fn charge(&self, who: &str, most: u64) {
        let now = self.now();
        let charged =
            self.dues.change(&who, now, |due| Ok::<_, Infallible>(rate::charged(due, 1, (most, most), now)));
        let Ok(()) = charged;
    }

    fn take(&self, who: &impl Hash, most: u64) -> Result<(), ApiError> {
        self.dues.take(who, most, self.now()).map_err(|state| self.refusal(most, state))
    }

    fn refusal(&self, most: u64, state: rate::State) -> ApiError {
        let rate = Rate {
            rate: self.id.to_owned(),
            each: Each::EndUser,
            model: None,
            unit: Unit::Requests,
            most,
            burst: most,
        };
        let slow = |ns: u64| ns.saturating_mul(self.minutes);
        let state = rate::State { wait_ns: state.wait_ns.map(slow), reset_ns: slow(state.reset_ns), ..state };
        let mut error = say::too_fast(&rate, 1, state);
        if let Some(row) = self.says {
            error.code = row.code.into();
            error.message = (row.en.into(), row.zh.into());
        }
        if self.minutes != 1 {
            // The fields of a rate tell of a minute; `Retry-After` is right as it is.
            error.fields.clear();
        }
        error
    }
}

/// The rates of the relay.
pub struct Throttles {
    /// Of an address: credentials that control did not know.
    pub failed: Throttle,
    /// Of an address: requests that are no turns.
    pub addresses: Throttle,
    /// Of a principal: requests that are no turns.
    pub principals: Throttle,
    /// Of a principal: turns that are refused and recorded, whoever refuses them before a provider is asked.
    pub refused: Throttle,
    /// Of a principal: turns that were opened with control and given back, because a limit or `refused` said no.
    pub in_vain: Throttle,
    /// Of an address: appeals of guests, in a day. Beyond it control is told so, and refuses: a page keeps what was written.
    pub appeals: Throttle,
    /// Of an address: codes to phones asked for, in an hour.
    pub codes: Throttle,
    /// Of an address: codes given back, in an hour.
    pub checks: Throttle,
}

impl Default for Throttles {
    fn default() -> Self {
        Self {
            failed: Throttle {
                says: Some(&errors::FAILED_CREDENTIALS),
                ..Throttle::new("edge.failed_credentials_per_minute")
            },
            addresses: Throttle::new("edge.address_requests_per_minute"),
            principals: Throttle::new("edge.requests_per_minute"),
            refused: Throttle::new("edge.refused_turns_per_minute"),
            in_vain: Throttle::new("edge.refused_turns_per_minute"),
            appeals: Throttle { minutes: DAY_MINUTES, ..Throttle::new("guests' appeals") },
            codes: Throttle::hourly("sign-up codes", &errors::TOO_MANY_SIGNUPS),
            checks: Throttle::hourly("sign-up checks", &errors::TOO_MANY_SIGNUPS),
        }
    }
}

#[cfg(test)]
mod tests;
