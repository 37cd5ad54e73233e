//! `POST /turns`: a turn that is stored is opened with control before its intent. It claims the idempotency key, stores
//! the message and gives what goes to the provider; a twin gets what the first of the key got.
use super::asked::Asked;
use super::open::{Open, Stored};
use super::settle::{self, Settling};
use crate::accept::routes;
use crate::clock::wall_ms;
use crate::control::{Ask, AskError};
use crate::errors::{self, ApiError};
use crate::limits;
use crate::plan::Ready;
use crate::record;
use crate::wire::{TurnAnswer, TurnOpening};
use crate::worker::Worker;
use bytes::Bytes;
use dragoman_engine::ledger::canonical::push_hex;
use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The header by which a client says that two requests are one.
const KEY: &str = "idempotency-key";
/// Milliseconds that storing and settling may take beside the call itself.
const AROUND_MS: u64 = 60_000;
/// Milliseconds that a turn may say it lasts, whatever its providers may take.
const DEADLINE_MS: u64 = 3_600_000;

/// What makes a turn a stored one.
pub struct Claim {
    pub conversation: Option<String>,
    key: Option<String>,
    /// Of route, conversation and body as they came.
    body: String,
}

/// What opening a turn gave.
pub enum Claimed {
    Opened(Box<Opened>),
    /// A twin has finished: its turn and answer record.
    Finished(String, Value),
    /// A twin has failed: its turn and the error that it got.
    Failed(String, ApiError),
}

/// An opened turn.
pub struct Opened {
    /// The body with the history; nothing for a stateless turn.
    pub upstream: Option<String>,
    pub stored: Stored,
}

impl Claim {
    /// What the request asks to be stored; nothing where it is a plain stateless one.
    pub fn of(
        route: routes::Turn,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<Self>, ApiError> {
        let key = key(headers)?;
        let conversation = routes::conversation_of(path).map(str::to_owned);
        if key.is_none() && !route.is_stored() {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        for part in [route.path().as_bytes(), conversation.as_deref().unwrap_or("").as_bytes(), body] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut digest = "sha256:".to_owned();
        push_hex(&hash.finalize(), &mut digest);
        Ok(Some(Self { conversation, key, body: digest }))
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut sent = headers.get_all(KEY).iter();
    let Some(first) = sent.next() else { return Ok(None) };
    let good = |bytes: &[u8]| {
        (1..=limits::IDEMPOTENCY_KEY_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    if sent.next().is_some() || !good(first.as_bytes()) {
        return Err(ApiError::about(&errors::BAD_IDEMPOTENCY_KEY, "Idempotency-Key"));
    }
    Ok(first.to_str().ok().map(str::to_owned))
}

/// Control's answer on its way to who asked; one that opened the turn is given back where nobody takes it.
struct Granted {
    worker: Rc<Worker>,
    turn: String,
    tenant: String,
    answer: Option<Result<TurnAnswer, AskError>>,
}

impl Drop for Granted {
    fn drop(&mut self) {
        let opened = match &self.answer {
            Some(Ok(answer)) => answer.state == "opened",
            // It may have been opened.
            Some(Err(e)) => is_unsure(e),
            None => false,
        };
        if opened {
            let (turn, tenant) = (std::mem::take(&mut self.turn), std::mem::take(&mut self.tenant));
            settle::abandon(&self.worker, turn, tenant);
        }
    }
}

/// Opens the turn. In a task of its own: what control has opened for a client that left meanwhile is given back.
pub async fn claim(open: &Open, asked: &Asked, claim: &Claim) -> Result<Claimed, ApiError> {
    let turn = &open.turn;
    let body = opening(open, asked, claim)?;
    let mut granted = Granted {
        worker: Rc::clone(&turn.worker),
        turn: turn.id.clone(),
        tenant: turn.who.tenant.clone(),
        answer: None,
    };
    let (tell, told) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let settling = Settling::begin(&granted.worker);
        granted.answer = Some(ask(&granted.worker, &body).await);
        drop(tell.send(granted));
        drop(settling);
    });
    let mut granted = told.await.map_err(|_| &errors::INTERNAL)?;
    let answer = match granted.answer.take() {
        Some(Ok(answer)) => answer,
        Some(Err(AskError::Said(said))) if said.status < 500 => return Err(said),
        Some(Err(unsure)) => {
            granted.answer = Some(Err(unsure));
            return Err((&errors::NO_CONTACT).into());
        }
        None => return Err((&errors::INTERNAL).into()),
    };
    let opened = answer.state == "opened";
    let claimed = claimed(open, answer, claim);
    if claimed.is_err() && opened {
        settle::abandon(&granted.worker, turn.id.clone(), turn.who.tenant.clone());
    }
    claimed
}

/// Whether control may have opened the turn all the same.
fn is_unsure(error: &AskError) -> bool {
    match error {
        AskError::Lost(_) => true,
        AskError::Said(said) => said.status >= 500,
    }
}

/// Asks until there is an answer, `limits::SETTLE_MS` at most: a repeated turn gets the answer that it got.
async fn ask(worker: &Worker, body: &[u8]) -> Result<TurnAnswer, AskError> {
    let until = Instant::now() + Duration::from_millis(limits::SETTLE_MS);
    let mut pause = limits::TICK_MS;
    loop {
        match worker.control.ask_json::<TurnAnswer>(&Ask::post("/turns", body)).await {
            Err(e) if is_unsure(&e) && Instant::now() < until => {
                tracing::warn!(error = %e, "a turn is opened again");
                tokio::time::sleep(Duration::from_millis(pause)).await;
                pause *= 2;
            }
            other => return other,
        }
    }
}

fn opening(open: &Open, asked: &Asked, claim: &Claim) -> Result<Bytes, ApiError> {
    let turn = &open.turn;
    let stored = claim.conversation.is_some();
    let raw = |json: String| serde_json::value::RawValue::from_string(json).map_err(|_| &errors::INTERNAL);
    let input = stored.then(|| raw(asked.input())).transpose()?;
    let question = raw(turn.question.clone())?;
    let salt = turn.salt.text();
    let message = TurnOpening {
        turn: &turn.id,
        log: turn.worker.relay.log.id(),
        at: wall_ms(),
        tenant: &turn.who.tenant,
        principal: &turn.who.principal,
        key: turn.who.key.as_deref(),
        conversation: claim.conversation.as_deref(),
        parent: stored.then(|| asked.parent()),
        idempotency: claim.key.as_deref().map(|key| crate::wire::Idempotency { key, body: &claim.body }),
        question: &question,
        plan: &turn.plan.plan.plan,
        decision: &turn.plan.decision,
        stream: turn.stream,
        lang: turn.lang.code(),
        input: input.as_deref(),
        rules_in: turn.plan.plan.rules_in.as_deref(),
        interventions: &open.interventions,
        salt: &salt,
        deadline_ms: deadline_ms(&turn.plan),
    };
    serde_json::to_vec(&message).map(Bytes::from).map_err(|_| (&errors::INTERNAL).into())
}

/// How long the turn may last in all: each attempt its whole time, and what is around them.
fn deadline_ms(plan: &Ready) -> u64 {
    let total = |provider: &str| plan.config.providers.get(provider).map_or(0, |p| p.deadlines.total);
    let all = plan.plan.attempts.iter().map(|attempt| total(&attempt.provider)).sum::<u64>() + AROUND_MS;
    all.min(DEADLINE_MS)
}

fn claimed(open: &Open, answer: TurnAnswer, claim: &Claim) -> Result<Claimed, ApiError> {
    let garbage = |what: &str| {
        tracing::error!(turn = %open.turn.id, what, "control's answer to an opened turn is not understood");
        ApiError::from(&errors::PLAN_NOT_UNDERSTOOD)
    };
    match answer.state.as_str() {
        "opened" if answer.turn == open.turn.id => {
            let decided = answer.decision_entry.as_ref().map(|entry| {
                let id = entry.get("decision").and_then(Value::as_str).ok_or_else(|| garbage("decision"))?;
                Ok::<_, ApiError>((id.to_owned(), record::canonical_entry(entry)?))
            });
            let stored = Stored {
                conversation: claim.conversation.clone(),
                notices: answer.notices,
                refusal: answer.refusal,
                decided: decided.transpose()?,
                context: answer.context,
            };
            if claim.conversation.is_some() && answer.upstream.is_none() && stored.refusal.is_none() {
                return Err(garbage("upstream"));
            }
            Ok(Claimed::Opened(Box::new(Opened {
                upstream: answer.upstream.map(|u| u.get().to_owned()),
                stored,
            })))
        }
        "finished" => Ok(Claimed::Finished(answer.turn, answer.answer.ok_or_else(|| garbage("answer"))?)),
        "failed" => {
            let status = answer.status.and_then(|s| u16::try_from(s.as_u64()?).ok()).filter(|s| *s >= 400);
            let error = (status.unwrap_or(500), answer.error.ok_or_else(|| garbage("error"))?).into();
            Ok(Claimed::Failed(answer.turn, error))
        }
        other => Err(garbage(other)),
    }
}
