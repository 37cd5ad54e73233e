//! The end of a stored turn, in its order: outcome with control, the result entry that names its digest, `finished`.
//! In a task of its own, for it goes on when who waits for it has given up: a turn has one outcome, and what was begun
//! is brought to its end by this process or, from what control holds, by the next.
use crate::budget::account::Account;
use crate::control::{Ask, AskError};
use crate::errors::{self, ApiError};
use crate::limits;
use crate::record;
use crate::worker::Worker;
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Milliseconds between two tries, at most.
const PAUSE_MS: u64 = 2_000;

/// Counts work that goes on without a connection, until it is dropped: the thread waits for it.
pub struct Settling(Rc<Worker>);

impl Settling {
    pub fn begin(worker: &Rc<Worker>) -> Self {
        worker.settling.set(worker.settling.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.0.settling.set(self.0.settling.get() - 1);
    }
}

/// Appends a result entry in a task of its own, and settles what the turn reserved. Gives the entry's index.
pub fn alone(
    worker: &Rc<Worker>,
    turn: String,
    entry: Vec<u8>,
    mut account: Account,
) -> oneshot::Receiver<Result<u64, ApiError>> {
    let (tell, told) = oneshot::channel();
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let settling = Settling::begin(&worker);
        let written = worker.relay.log.append(entry).await;
        if written.is_ok() {
            account.settle();
        } else {
            tracing::error!(turn, "the result of a turn is not recorded; the next start does");
        }
        // Who waited may be gone by now.
        drop(tell.send(written));
        drop(settling);
    });
    told
}

/// What there is to settle.
pub struct Job {
    pub worker: Rc<Worker>,
    pub turn: String,
    pub tenant: String,
    /// Of the record, under the turn's salt.
    pub digest: String,
    /// The answer record.
    pub record: String,
    /// The result entry, which names the digest.
    pub entry: Vec<u8>,
    pub account: Account,
}

/// Settles a turn. Gives the index of its result entry once `finished` is durable too.
pub fn begin(job: Job) -> oneshot::Receiver<Result<u64, ApiError>> {
    let (tell, told) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let settling = Settling::begin(&job.worker);
        // Who waited may be gone by now.
        drop(tell.send(job.run().await));
        drop(settling);
    });
    told
}

impl Job {
    async fn run(mut self) -> Result<u64, ApiError> {
        let worker = Rc::clone(&self.worker);
        let (log, stop) = (&worker.relay.log, || worker.draining.get());
        if let Err(refused) = put(&worker, &self.turn, &self.closing()).await {
            let Some(said) = refused else { return Err((&errors::NO_CONTACT).into()) };
            tracing::error!(turn = %self.turn, code = %said.code, "control does not take the turn's outcome");
            log.append_surely(interrupted(&self.entry), stop).await.ok_or(&errors::JOURNAL)?;
            self.account.settle();
            return Err((&errors::TURN_INTERRUPTED).into());
        }
        let entry = std::mem::take(&mut self.entry);
        let index = log.append_surely(entry, stop).await.ok_or(&errors::JOURNAL)?;
        self.account.settle();
        let finished = json!({ "state": "finished", "tenant": self.tenant, "digest": self.digest });
        match put(&self.worker, &self.turn, finished.to_string().as_bytes()).await {
            Ok(()) => Ok(index),
            Err(said) => {
                tracing::error!(turn = %self.turn, ?said, "control does not take the turn as finished");
                Err((&errors::NO_CONTACT).into())
            }
        }
    }

    fn closing(&self) -> Vec<u8> {
        let text = |text: &str| Value::from(text).to_string();
        let mut body = format!(
            "{{\"state\":\"closing\",\"tenant\":{},\"digest\":{},\"answer\":{},\"result\":",
            text(&self.tenant),
            text(&self.digest),
            text(&self.record)
        )
        .into_bytes();
        body.extend_from_slice(&self.entry);
        body.push(b'}');
        body
    }
}

/// The entry of a turn that control gave up before its outcome came.
fn interrupted(entry: &[u8]) -> Vec<u8> {
    let given_up = serde_json::from_slice::<Value>(entry).ok().and_then(|mut entry| {
        let members = entry.as_object_mut()?;
        members.remove("outcome");
        members.insert("status".to_owned(), "interrupted".into());
        members.insert("error".to_owned(), errors::TURN_INTERRUPTED.code.into());
        record::canonical_entry(&entry).ok()
    });
    // An entry of ours is JSON; an empty one would be refused by the journal.
    given_up.unwrap_or_default()
}

/// Says an outcome until control has taken or refused it. An error without words: this process stops first.
async fn put(worker: &Worker, turn: &str, body: &[u8]) -> Result<(), Option<ApiError>> {
    let path = format!("/turns/{turn}/outcome");
    let ask = Ask { method: "PUT", ..Ask::post(&path, body) };
    let until = Instant::now() + Duration::from_millis(limits::SETTLE_MS);
    let mut pause = limits::TICK_MS / 2;
    loop {
        match worker.control.ask(&ask).await {
            Ok(_) => return Ok(()),
            Err(AskError::Said(e)) if e.status < 500 => return Err(Some(e)),
            Err(e) => {
                tracing::warn!(error = %e, turn, "a turn's outcome is said again");
                if worker.draining.get() && Instant::now() > until {
                    return Err(None);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        pause = (pause * 2).min(PAUSE_MS);
    }
}

/// Gives back a turn of which nothing went to a provider, and its claim.
pub fn abandon(worker: &Rc<Worker>, turn: String, tenant: String) {
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let settling = Settling::begin(&worker);
        let body = json!({ "state": "abandoned", "tenant": tenant }).to_string();
        if let Err(Some(said)) = put(&worker, &turn, body.as_bytes()).await {
            tracing::info!(turn, code = %said.code, "a turn that was not used had nothing to give back");
        }
        drop(settling);
    });
}
