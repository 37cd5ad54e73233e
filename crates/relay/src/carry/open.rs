//! An open turn and what the ledger gets of it: the intent before anything goes out, the result before the
//! end marker. A turn that is dropped (its client left, or a panic) still gets its result entry.
use super::asked;
use super::intake::Place;
use super::running::Running;
use crate::accept::routes;
use crate::clock::wall_ms;
use crate::control::Ask;
use crate::errors::{self, ApiError};
use crate::limits;
use crate::plan::Ready;
use crate::record::{self, Finding, Intent, Outcome, Salt, Tokens};
use crate::state::KeyTurn;
use crate::wire::{Address, Lang, Principal};
use crate::worker::Worker;
use dragoman_engine::answer::{AnswerScan, InterventionRecord, Summary};
use serde_json::json;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Who asks what, under which plan. Does not change while the turn runs.
pub struct Turn {
    pub worker: Rc<Worker>,
    pub id: String,
    pub salt: Salt,
    pub who: Arc<Principal>,
    pub address: Address,
    pub plan: Arc<Ready>,
    pub running: Rc<Running>,
    pub route: routes::Turn,
    pub lang: Lang,
    pub model: String,
    pub stream: bool,
    pub started: Instant,
    #[expect(dead_code, reason = "a place is held until the turn is over")]
    pub place: Place,
    #[expect(dead_code, reason = "counted until the turn is over")]
    pub counted: Option<KeyTurn>,
}

/// How far a turn is, and what of it is already known.
pub struct Open {
    pub turn: Turn,
    pub findings: Vec<Finding>,
    /// Ids of all interventions.
    pub interventions: Vec<String>,
    /// Of those, the ones made on the way in: named in a header, for the answer's own scan does not know them.
    pub disclosed: Vec<String>,
    pub scan: Option<AnswerScan>,
    /// Code points the scan held back when last asked.
    held: i64,
    /// Number of the attempt, its provider and model name.
    pub attempt: Option<(u64, String, String)>,
    /// Index of the intent, once durable.
    pub intent: Option<u64>,
    pub settled: bool,
}

/// How a turn ended.
pub struct End<'a> {
    pub status: &'static str,
    pub error: Option<&'a str>,
}

impl End<'_> {
    pub const DENIED: Self = Self { status: "denied", error: None };
    pub const REFUSED: Self = Self { status: "refused", error: None };
    pub const FINISHED: Self = Self { status: "finished", error: None };
    pub const CANCELLED: Self = Self { status: "cancelled", error: Some("client_gone") };
}

impl Turn {
    fn key(&self) -> Option<&str> {
        self.who.key.as_deref()
    }

    /// The decision's entry, where this log has none yet.
    fn decision_entry(&self) -> Option<Vec<u8>> {
        let due = !self.plan.entered.swap(true, Ordering::AcqRel)
            && self.worker.relay.enter_decision(&self.plan.decision);
        due.then(|| self.plan.decision_entry.clone())
    }

    /// Writes `entry`, after the decision's where that is due. Gives the entry's index, durable.
    async fn write(&self, entry: Vec<u8>) -> Result<u64, ApiError> {
        let began = Instant::now();
        let relay = &self.worker.relay;
        let written = match self.decision_entry() {
            None => relay.log.append(entry).await,
            Some(decision) => {
                let first = relay.log.append_many(vec![decision, entry]).await;
                if first.is_err() {
                    self.plan.entered.store(false, Ordering::Release);
                    relay.forget_decision(&self.plan.decision);
                }
                first.map(|index| index + 1)
            }
        };
        relay.metrics.journal_wait.add_us(began.elapsed().as_micros() as u64);
        written
    }
}

impl Open {
    pub fn new(turn: Turn) -> Self {
        Self {
            turn,
            findings: Vec::new(),
            interventions: Vec::new(),
            disclosed: Vec::new(),
            scan: None,
            held: 0,
            attempt: None,
            intent: None,
            settled: false,
        }
    }

    /// Step 5. Nothing goes to a provider before this has returned.
    pub async fn record_intent(&mut self, input: &[u8]) -> Result<(), ApiError> {
        let turn = &self.turn;
        let plan = &turn.plan.plan;
        let entry = record::bytes(&Intent {
            at: wall_ms(),
            attempts: plan.attempts.iter().map(|a| a.provider.as_str()).collect(),
            channel: &turn.who.channel,
            decision: &turn.plan.decision,
            findings: &fitting(&self.findings),
            input: &turn.salt.commit(input),
            key: turn.key(),
            kind: "intent",
            model: &turn.model,
            plan: &plan.plan,
            route: turn.route.path(),
            rules_in: plan.rules_in.as_deref(),
            rules_out: plan.rules_out.as_deref(),
            stream: turn.stream,
            tenant: &turn.who.tenant,
            turn: &turn.id,
            v: 1,
            who: &turn.salt.commit(turn.who.principal.as_bytes()),
        });
        self.intent = Some(turn.write(entry).await?);
        Ok(())
    }

    /// Brings the gauge of held code points up to the scan.
    pub fn note_held(&mut self) {
        let held = self.scan.as_ref().map_or(0, |scan| i64::try_from(scan.held()).unwrap_or(i64::MAX));
        self.note_held_as(held);
    }

    fn note_held_as(&mut self, held: i64) {
        if held != self.held {
            self.turn.worker.relay.metrics.held.fetch_add(held - self.held, Ordering::Relaxed);
            self.held = held;
        }
    }

    /// Stores what was done to the request, and remembers it for the answer's head.
    pub async fn disclose_inward(&mut self, made: &[InterventionRecord]) -> Result<(), ApiError> {
        self.disclose(made, "in").await?;
        let ids: Vec<String> = made.iter().map(|i| i.id.clone()).collect();
        self.interventions.extend(ids.iter().cloned());
        self.disclosed = ids;
        Ok(())
    }

    /// Step 9. No end marker goes out before this has returned.
    pub async fn record_result(&mut self, summary: &Summary, end: &End<'_>) -> Result<u64, ApiError> {
        let entry = self.result_entry(summary, end);
        // From here on the entry is the journal's: a client that leaves now adds no second one.
        self.settled = true;
        let index = self.turn.write(entry).await?;
        self.turn.worker.relay.metrics.turn(self.turn.route.path(), end.status);
        Ok(index)
    }

    fn result_entry(&mut self, summary: &Summary, end: &End<'_>) -> Vec<u8> {
        let turn = &self.turn;
        self.interventions.extend(summary.interventions.iter().cloned());
        let tallied = summary.findings.iter();
        let findings: Vec<Finding> = tallied
            .map(|t| Finding { action: asked::action_name(t.action), n: t.n, rule: t.rule.clone() })
            .collect();
        let attempt = self.attempt.as_ref();
        record::bytes(&Outcome {
            asked: &turn.model,
            at: wall_ms(),
            attempt: attempt.map_or(0, |(n, ..)| *n),
            decision: &turn.plan.decision,
            error: end.error,
            findings: &fitting(&findings),
            finish: first(&summary.finish, limits::ENTRY_FINISHES),
            interventions: first(&self.interventions, limits::ENTRY_INTERVENTIONS),
            key: turn.key(),
            kind: "result",
            labels: &summary.labels,
            model: attempt.map(|(_, _, model)| model.as_str()),
            ms: turn.started.elapsed().as_millis() as u64,
            notices: &summary.notices,
            output: &turn.salt.commit(summary.output.as_bytes()),
            provider: attempt.map(|(_, provider, _)| provider.as_str()),
            status: end.status,
            tenant: &turn.who.tenant,
            turn: &turn.id,
            usage: Tokens {
                input: summary.usage.input,
                known: summary.usage.known,
                output: summary.usage.output,
            },
            v: 1,
        })
    }

    /// Stores interventions with control. Their ids go to nobody before this has returned.
    pub async fn disclose(&self, made: &[InterventionRecord], direction: &str) -> Result<(), ApiError> {
        for part in made.chunks(limits::INTERVENTIONS_STORED) {
            self.store(part, direction).await?;
        }
        Ok(())
    }

    async fn store(&self, made: &[InterventionRecord], direction: &str) -> Result<(), ApiError> {
        let turn = &self.turn;
        let list: Vec<_> = made
            .iter()
            .map(|i| {
                json!({
                    "id": i.id, "turn": turn.id, "tenant": turn.who.tenant, "principal": turn.who.principal,
                    "at": wall_ms(), "route": turn.route.path(), "channel": turn.who.channel,
                    "decision": turn.plan.decision, "origin": i.origin.as_str(),
                    "rule": i.rule.as_ref().map(|id| json!({"id": id, "set": i.set})),
                    "action": i.action, "direction": direction, "lane": i.lane,
                    "offset": i.offset, "length": i.length, "vendor": i.vendor, "n": i.n, "automated": true,
                })
            })
            .collect();
        let body = json!({ "interventions": list }).to_string();
        let until = Instant::now() + Duration::from_millis(limits::SETTLE_MS);
        let mut pause = limits::TICK_MS;
        loop {
            match turn.worker.control.ask(&Ask::post("/interventions", body.as_bytes())).await {
                Ok(_) => break,
                Err(e) if Instant::now() < until => {
                    tracing::warn!(error = %e, turn = %turn.id, "an intervention is stored again");
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    pause *= 2;
                }
                Err(e) => {
                    tracing::error!(error = %e, turn = %turn.id, "an intervention could not be stored");
                    return Err((&errors::NO_CONTACT).into());
                }
            }
        }
        turn.worker.relay.metrics.interventions.fetch_add(made.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

fn first(all: &[String], most: usize) -> &[String] {
    &all[..all.len().min(most)]
}

/// The findings that an entry has room for. A turn that many rules found something in has to be recorded too.
fn fitting(all: &[Finding]) -> Vec<Finding> {
    /// Of a finding in canonical form, bytes beside the rule's id.
    const AROUND: usize = 64;
    let mut left = limits::ENTRY_FINDINGS_BYTES;
    let mut named: Vec<Finding> = Vec::new();
    let mut rest: Vec<Finding> = Vec::new();
    for found in all {
        let bytes = found.rule.len() + AROUND;
        if bytes <= left && rest.is_empty() {
            left -= bytes;
            named.push(found.clone());
        } else if let Some(more) = rest.iter_mut().find(|more| more.action == found.action) {
            more.n += found.n;
        } else {
            rest.push(Finding { action: found.action, n: found.n, rule: "*".to_owned() });
        }
    }
    named.append(&mut rest);
    named
}

impl Drop for Open {
    /// Who drops a turn that is not settled left it: the client, or a panic.
    fn drop(&mut self) {
        self.note_held_as(0);
        if self.settled || self.intent.is_none() {
            return;
        }
        let end = if std::thread::panicking() {
            End { status: "failed", error: Some("internal_error") }
        } else {
            End::CANCELLED
        };
        let summary = self
            .scan
            .take()
            .map(|mut scan| scan.abort("client_gone", "", &mut Vec::new()))
            .unwrap_or_default();
        let entry = self.result_entry(&summary, &end);
        let worker = Rc::clone(&self.turn.worker);
        worker.relay.metrics.turn(self.turn.route.path(), end.status);
        let id = std::mem::take(&mut self.turn.id);
        worker.settling.set(worker.settling.get() + 1);
        // A task of its own: the connection's is going.
        tokio::task::spawn_local(async move {
            if worker.relay.log.append(entry).await.is_err() {
                tracing::error!(turn = %id, "the result of a turn that was left is not recorded; the next start does");
            }
            worker.settling.set(worker.settling.get() - 1);
        });
    }
}
