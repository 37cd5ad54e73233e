//! Questions to control about buckets: one at a time for each bucket, in advance where little is left, and by and by what
//! is not used any longer. Control answers each in one durable transaction; a lost answer changes nothing.
use super::bucket::{Bucket, Took};
use super::message::{Allotments, Ask, Asks, Earlier};
use crate::clock::{boot_ms, wall_ms};
use crate::control::{self, AskError, Control};
use crate::errors::{self, ApiError};
use crate::limits;
use crate::state::Relay;
use crate::worker::Worker;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// One run of this relay: its log, where its own entries begin, and the logs before.
#[derive(Debug)]
pub struct Run {
    pub log: String,
    pub start: u64,
    pub earlier: Vec<Earlier>,
}

/// Why there is not enough.
#[derive(Debug)]
pub enum Short {
    /// The limit has not so much left.
    Used,
    /// The limit is no longer in force: the plan is old.
    Gone,
    Error(ApiError),
}

impl Run {
    /// The run of a relay whose recovery is over: nothing of it is in its log yet.
    fn of(relay: &Relay) -> Self {
        let mut all = relay.log.all();
        let (log, start) = all.pop().unwrap_or_default();
        Self { log, start, earlier: all.into_iter().map(|(log, end)| Earlier { log, end }).collect() }
    }
}

/// Reserves `amount` of a bucket that held too little a moment ago: asks control, behind whoever asks already.
pub async fn more(worker: &Rc<Worker>, bucket: &Arc<Bucket>, amount: u64) -> Result<(), Short> {
    let wait = Duration::from_millis(limits::CONTROL_MS);
    let asking = tokio::time::timeout(wait, bucket.asking.lock()).await;
    let asking = asking.map_err(|_| Short::Error((&errors::NO_CONTACT).into()))?;
    for _ in 0..limits::ASK_AGAIN {
        let now = boot_ms();
        if bucket.take(amount, now) != Took::No {
            return Ok(());
        }
        if bucket.is_refused(amount, now) {
            return Err(Short::Used);
        }
        once(&worker.relay, &worker.control, bucket, amount).await?;
    }
    drop(asking);
    Err(Short::Used)
}

/// Asks in advance, in a task of its own.
pub fn ahead(worker: &Rc<Worker>, bucket: &Arc<Bucket>, amount: u64) {
    if bucket.is_refused(0, boot_ms()) || !bucket.begin_ahead() {
        return;
    }
    let (worker, bucket) = (Rc::clone(worker), Arc::clone(bucket));
    tokio::task::spawn_local(async move {
        if let Ok(asking) = bucket.asking.try_lock() {
            // As if all that is free were taken already.
            let wanted = amount.saturating_add(bucket.free());
            if let Err(Short::Error(e)) = once(&worker.relay, &worker.control, &bucket, wanted).await {
                tracing::warn!(error = %e.code, "nothing was granted in advance");
            }
            drop(asking);
        }
        bucket.end_ahead();
    });
}

async fn once(relay: &Relay, control: &Control, bucket: &Bucket, amount: u64) -> Result<(), Short> {
    let sent = boot_ms();
    let ask = bucket.ask(amount, sent);
    let need = ask.need;
    let said = exchange(relay, control, &[ask]).await.map_err(|e| {
        bucket.unsure();
        Short::Error(e)
    })?;
    let said = said.buckets.iter().find(|one| one.bucket == bucket.name);
    let said = said.ok_or_else(|| Short::Error((&errors::NO_CONTACT).into()))?;
    bucket.heard(said, need, sent);
    if said.gone { Err(Short::Gone) } else { Ok(()) }
}

async fn exchange(relay: &Relay, control: &Control, asks: &[Ask<'_>]) -> Result<Allotments, ApiError> {
    let run = relay.budgets.run(|| Run::of(relay));
    let body = Asks { log: &run.log, start: run.start, earlier: &run.earlier, asks };
    let body = serde_json::to_vec(&body).map_err(|_| &errors::INTERNAL)?;
    match control.ask_json::<Allotments>(&control::Ask::post("/allotments", &body)).await {
        Ok(said) => Ok(said),
        Err(AskError::Said(e)) if e.status < 500 => {
            tracing::error!(code = %e.code, "control does not take this relay's questions about limits");
            Err((&errors::NO_CONTACT).into())
        }
        Err(e) => {
            tracing::warn!(error = %e, "control was not asked about limits");
            Err(e.into())
        }
    }
}

/// Tells control that this run has begun, then gives back by and by what is not used, until the relay closes; then all.
pub async fn tend(relay: Arc<Relay>, control: Rc<Control>) {
    let mut told = None;
    loop {
        let closing = relay.is_closing();
        // Again by and by: what earlier logs left open is given back once control has read of it.
        if told.is_none_or(|at| boot_ms().saturating_sub(at) >= limits::OPENING_MS) {
            told = exchange(&relay, &control, &[]).await.ok().map(|_| boot_ms());
        }
        if closing {
            relay.budgets.buckets.each(|bucket| bucket.expire());
        }
        give_back(&relay, &control).await;
        if closing {
            return;
        }
        tokio::time::sleep(Duration::from_millis(limits::TEND_MS)).await;
    }
}

async fn give_back(relay: &Relay, control: &Control) {
    let (now, wall) = (boot_ms(), wall_ms());
    let mut idle: Vec<Arc<Bucket>> = Vec::new();
    relay.budgets.buckets.each(|bucket| idle.push(Arc::clone(bucket)));
    for part in idle.chunks(limits::BUCKETS_ASKED) {
        let asks: Vec<Ask<'_>> = part.iter().filter_map(|bucket| bucket.idle(now, wall)).collect();
        if asks.is_empty() {
            continue;
        }
        // What is lost on the way is said again with what is given back next: the sums only grow.
        let said = match exchange(relay, control, &asks).await {
            Ok(said) => said,
            Err(e) => {
                tracing::warn!(code = %e.code, "what is not used of limits was not given back");
                return;
            }
        };
        for one in &said.buckets {
            if let Some(bucket) = part.iter().find(|bucket| bucket.name == one.bucket) {
                bucket.told(one);
            }
        }
    }
    drop(idle);
    relay.budgets.buckets.forget(Bucket::is_empty);
    let now = now.saturating_mul(1_000_000);
    relay.budgets.paces.forget(|pace| pace.is_idle(now));
}
