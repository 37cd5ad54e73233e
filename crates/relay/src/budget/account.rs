//! One turn's account: what it reserved of which buckets, how far its attempts got, and what that comes to. Dropped before
//! its intent was recorded it gives everything back; after that only a durable result settles it.
use super::ask::{self, Short};
use super::bucket::{Bucket, Took};
use super::message::{Cost, Each, Limit, Per, Rate, Reserved, Spent, Unit};
use super::named::Name;
use super::rate::{Pace, State};
use super::say::{self, Shown};
use super::worst::{self, Call, Called, Tokens, Unbounded};
use crate::clock::{boot_ms, wall_ms};
use crate::errors::{self, ApiError};
use crate::plan::Ready;
use crate::state::KeyTurn;
use crate::wire::Principal;
use crate::worker::Worker;
use dragoman_engine::answer::Usage;
use dragoman_engine::ledger::canonical::push_hex;
use dragoman_engine::request::Request;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use std::rc::Rc;
use std::sync::Arc;

/// A reservation.
#[derive(Debug)]
pub struct Held {
    pub bucket: Arc<Bucket>,
    id: String,
    unit: Unit,
    currency: Option<String>,
    per: Per,
    shown: bool,
    pub reserved: u64,
}

impl Held {
    /// Its limit with its numbers.
    pub fn shown(&self, wall: u64) -> Shown {
        let (left, most) = self.bucket.left();
        let window = self.per.window(self.bucket.ends - 1);
        Shown {
            id: self.id.clone(),
            unit: self.unit,
            most,
            window_s: (window.ends - window.starts) / 1000,
            left,
            reset_ms: self.bucket.ends.saturating_sub(wall),
        }
    }
}

/// What was taken of a rate.
struct Paced {
    pace: Arc<Pace>,
    rate: Rate,
    taken: u64,
    state: State,
}

/// A turn's account.
#[derive(Default)]
pub struct Account {
    paced: Vec<Paced>,
    held: Vec<Held>,
    calls: Vec<Call>,
    /// The intent names it: from here on only a durable result settles it.
    recorded: bool,
    settled: bool,
    /// What is told of it after it was handed over.
    told: Vec<Shown>,
}

/// Lets a turn begin by the rates that concern it: its places among open turns, and its account. Nothing is taken where
/// a rate says no.
pub fn admit(
    worker: &Rc<Worker>,
    who: &Principal,
    plan: &Ready,
    request: &Request,
) -> Result<(Vec<KeyTurn>, Account), ApiError> {
    let (mut open, mut account) = (Vec::new(), Account::default());
    if let Some(pool) = &plan.plan.limits.pool {
        open.push(worker.relay.open_of_pool(pool).ok_or(&errors::POOL_EMPTY)?);
    }
    if let Some(most) = plan.plan.limits.concurrent {
        let key = who.key.as_deref().unwrap_or(&who.principal);
        open.push(worker.relay.open_of_key(key, most).ok_or(&errors::CONCURRENCY)?);
    }
    let model = request.model();
    let concern = |rate: &&Rate| rate.model.as_deref().is_none_or(|name| name == model);
    for rate in plan.plan.rates.iter().chain(&who.rates).filter(concern) {
        let thing = match (rate.each, who.key.as_deref()) {
            (Each::Key, Some(key)) => key,
            _ => &who.principal,
        };
        if rate.unit == Unit::Concurrent {
            let counted = format!("{}\0{thing}", rate.rate);
            let most = u32::try_from(rate.most).unwrap_or(u32::MAX);
            open.push(worker.relay.open_of_key(&counted, most).ok_or_else(|| say::crowded(rate))?);
            continue;
        }
        let name = Name { id: &rate.rate, starts: 0, thing: [thing, ""] };
        let pace = worker.relay.budgets.paces.find(&name, |_| Pace::new(&name));
        let n = if rate.unit == Unit::Tokens { tokens_at_worst(plan, request) } else { 1 };
        match pace.take(n, (rate.most, rate.burst), boot_ms().saturating_mul(1_000_000)) {
            Ok(state) => account.paced.push(Paced { pace, rate: rate.clone(), taken: n, state }),
            Err(state) => {
                account.paced.iter().for_each(|paced| paced.pace.give_back(paced.taken, paced.rate.most));
                return Err(say::too_fast(rate, n, state));
            }
        }
    }
    Ok((open, account))
}

/// What the first attempt may use; its input alone where nothing bounds the answer.
fn tokens_at_worst(plan: &Ready, request: &Request) -> u64 {
    let first = plan.plan.attempts.first();
    let most = plan.plan.limits.max_output_tokens;
    let output = first.and_then(|attempt| worst::output_bound(attempt, request, most)).unwrap_or(0);
    request.input_bound().saturating_add(output.saturating_mul(request.written()))
}

/// Reserves the turn's worst case of every limit that concerns it, or more of what `account` has already.
pub async fn reserve(
    worker: &Rc<Worker>,
    who: &Principal,
    plan: &Ready,
    request: &Request,
    account: &mut Account,
) -> Result<(), ApiError> {
    let attempts = &plan.plan.attempts;
    let model = request.model();
    let concern = |limit: &&Limit| {
        limit.model.as_deref().is_none_or(|name| name == model)
            && (limit.each != Some(Each::App) || who.app.is_some())
    };
    let limits = || plan.plan.budgets.iter().chain(&who.budgets).filter(concern);
    let paced = plan.plan.rates.iter().chain(&who.rates).any(|rate| rate.unit == Unit::Tokens);
    let priced = attempts.iter().any(|attempt| attempt.price.is_some());
    if !paced && !priced && limits().next().is_none() {
        return Ok(());
    }
    let most = plan.plan.limits.max_output_tokens;
    account.calls = attempts.iter().map(|attempt| Call::of(attempt, request, most)).collect();
    let wall = wall_ms();
    for (at, limit) in limits().enumerate() {
        let due = worst::reserve(&account.calls, limit.unit, limit.currency.as_deref()).map_err(|_| {
            unbounded(limit, request, worst::why_unbounded(&account.calls, request, attempts, most))
        })?;
        if at == account.held.len() {
            account.held.push(held(worker, who, model, limit, wall));
        }
        let held = &mut account.held[at];
        let more = due.saturating_sub(held.reserved);
        match held.bucket.take(more, worker.now.get()) {
            Took::Yes => {}
            Took::YesLow => ask::ahead(worker, &held.bucket, more),
            Took::No => ask::more(worker, &held.bucket, more).await.map_err(|short| {
                // What it would need, for the error alone: nothing of it is held.
                let wanted = Held { reserved: due, ..held.like() };
                refused(limit, &wanted, short, wall)
            })?,
        }
        held.reserved += more;
    }
    Ok(())
}

impl Held {
    fn like(&self) -> Self {
        Self {
            bucket: Arc::clone(&self.bucket),
            id: self.id.clone(),
            currency: self.currency.clone(),
            ..*self
        }
    }
}

fn refused(limit: &Limit, wanted: &Held, short: Short, wall: u64) -> ApiError {
    match short {
        Short::Used => say::exhausted(limit, wanted, wall),
        Short::Gone => (&errors::CONFIG_NOT_READY).into(),
        Short::Error(e) => e,
    }
}

fn unbounded(limit: &Limit, request: &Request, why: Unbounded) -> ApiError {
    match why {
        Unbounded::Input => return (&errors::UNBOUNDED).into(),
        Unbounded::Dearer => {
            let mut error = ApiError::from(&errors::UNPRICED);
            error.param = request.dearer().map(str::to_owned);
            return error;
        }
        Unbounded::Output | Unbounded::Price => {}
    }
    tracing::error!(limit = %limit.limit, ?why, "a limit cannot be kept: a model lacks a bound or a price");
    (&errors::UNENFORCEABLE).into()
}

fn held(worker: &Rc<Worker>, who: &Principal, model: &str, limit: &Limit, wall: u64) -> Held {
    let window = limit.per.window(wall);
    let thing = thing(who, model, limit);
    let name = Name { id: &limit.limit, starts: window.starts, thing };
    let bucket = worker.relay.budgets.buckets.find(&name, |first| {
        let label = limit.per.label(window.starts);
        let whole = format!("{}:{label}:{}", limit.limit, thing_name(who, limit, thing, &label));
        Bucket::new(&name, whole, &who.tenant, (window.ends, limit.most), first)
    });
    Held {
        bucket,
        id: limit.limit.clone(),
        unit: limit.unit,
        currency: limit.currency.clone(),
        per: limit.per,
        shown: limit.shown,
        reserved: 0,
    }
}

/// What the bucket is for, in parts. A caller without a key counts as an end user.
fn thing<'a>(who: &'a Principal, model: &'a str, limit: &Limit) -> [&'a str; 2] {
    match (limit.each, limit.owned) {
        (None, true) | (Some(Each::Tenant), _) => [&who.tenant, ""],
        (None, false) => ["*", ""],
        (Some(Each::Model), true) => [&who.tenant, model],
        (Some(Each::Model), false) => ["m", model],
        (Some(Each::App), _) => [who.app.as_deref().unwrap_or(""), ""],
        (Some(Each::Key), _) if who.key.is_some() => [who.key.as_deref().unwrap_or(""), ""],
        (Some(Each::Key | Each::EndUser), _) => [&who.principal, ""],
    }
}

/// The same as the bucket's name has it: a person only as a digest that is no more than the bucket's own.
fn thing_name(who: &Principal, limit: &Limit, thing: [&str; 2], window: &str) -> String {
    let person = match limit.each {
        Some(Each::EndUser) => true,
        Some(Each::Key) => who.key.is_none(),
        _ => false,
    };
    if person {
        let mut digest = Sha256::new();
        for part in [limit.limit.as_str(), window, &who.principal] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let mut name = String::from("u");
        push_hex(&digest.finalize()[..16], &mut name);
        return name;
    }
    if thing[1].is_empty() { thing[0].to_owned() } else { format!("{}/{}", thing[0], thing[1]) }
}

impl Account {
    /// What the intent says: what is reserved, and what the turn costs at the most. From here on a dropped account gives
    /// nothing back.
    pub fn record(&mut self) -> (Vec<Reserved>, Option<Cost>) {
        self.recorded = true;
        let line = |held: &Held| Reserved { bucket: held.bucket.name.clone(), reserved: held.reserved };
        let cost = if self.calls.is_empty() { None } else { worst::cost(&self.calls, true) };
        (self.held.iter().map(line).collect(), cost)
    }

    /// The request goes out, as attempt `number`.
    pub fn called(&mut self, number: usize) {
        self.mark(number, Called::Sent);
    }

    /// Attempt `number` did nothing: no connection, or the provider's own error.
    pub fn spared(&mut self, number: usize) {
        self.mark(number, Called::No);
    }

    fn mark(&mut self, number: usize, called: Called) {
        if let Some(call) = self.calls.get_mut(number) {
            call.called = called;
        }
    }

    /// What the result says: reserved and spent of each bucket, and the cost. `answered` is the attempt that answered.
    /// A turn without an intent spends nothing.
    pub fn result(&mut self, usage: &Usage, answered: Option<usize>) -> (Vec<Spent>, Option<Cost>) {
        if !self.recorded {
            self.give_back();
            return (Vec::new(), None);
        }
        if let (Some(tokens), Some(number)) = (Tokens::of(usage), answered)
            && self.calls.get(number).is_some_and(|call| call.called == Called::Sent)
        {
            self.mark(number, Called::Stated(tokens));
        }
        let calls = &self.calls;
        let line = |held: &Held| Spent {
            bucket: held.bucket.name.clone(),
            reserved: held.reserved,
            spent: worst::spent(calls, held.unit, held.currency.as_deref()),
        };
        let spent = self.held.iter().map(line).collect();
        let called = calls.iter().any(|call| call.called != Called::No);
        (spent, if called { worst::cost(calls, false) } else { None })
    }

    /// The result is durable: what was reserved and not spent may be reserved again.
    pub fn settle(&mut self) {
        if !self.recorded || std::mem::replace(&mut self.settled, true) {
            return;
        }
        for held in &self.held {
            let spent = worst::spent(&self.calls, held.unit, held.currency.as_deref());
            held.bucket.settle(held.reserved, spent);
        }
        let open = |call: &Call| call.called == Called::Sent && call.worst.is_none();
        if self.calls.iter().any(open) {
            return;
        }
        let tokens = worst::spent(&self.calls, Unit::Tokens, None);
        for paced in self.paced.iter().filter(|paced| paced.rate.unit == Unit::Tokens) {
            paced.pace.give_back(paced.taken.saturating_sub(tokens), paced.rate.most);
        }
    }

    /// Something is recorded as reserved and not settled yet.
    pub fn is_open(&self) -> bool {
        self.recorded && !self.settled && !(self.held.is_empty() && self.paced.is_empty())
    }

    /// Gives everything back: nothing goes to a provider.
    pub fn give_back(&mut self) {
        if self.recorded {
            return;
        }
        for held in self.held.drain(..) {
            held.bucket.settle(held.reserved, 0);
        }
    }

    /// The fields of the answer for callers whom limits or rates concern.
    pub fn fields(&self, headers: &mut HeaderMap) {
        if self.held.is_empty() && self.paced.is_empty() {
            say::fields(&self.told, headers);
        } else {
            say::fields(&self.shown(), headers);
        }
    }

    fn shown(&self) -> Vec<Shown> {
        let wall = wall_ms();
        let limits = self.held.iter().filter(|held| held.shown).map(|held| held.shown(wall));
        let rates = self.paced.iter().map(|paced| say::paced(&paced.rate, paced.state));
        limits.chain(rates).collect()
    }

    /// The account for whoever settles it; what there is to tell of it stays.
    #[must_use]
    pub fn hand_over(&mut self) -> Self {
        let told = self.shown();
        let account = std::mem::take(self);
        self.told = told;
        account
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.give_back();
    }
}
