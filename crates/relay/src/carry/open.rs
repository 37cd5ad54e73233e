//! An open turn and what the ledger gets of it: the intent before anything goes out, the result before the
//! end marker. A turn that is dropped (its client left, or a panic) still gets its result entry.
use super::asked::{self, Asked};
use super::intake::Place;
use super::running::Running;
use super::settle::{self, Job};
use crate::accept::routes;
use crate::budget::account::{self, Account};
use crate::clock::wall_ms;
use crate::control::Ask;
use crate::errors::{self, ApiError};
use crate::limits;
use crate::plan::{self, Ready};
use crate::record::{self, Finding, Intent, Outcome, Salt, Tokens, first, fitting};
use crate::state::KeyTurn;
use crate::wire::{Address, Lang, Notice, Principal, Refusal};
use crate::worker::Worker;
use dragoman_engine::answer::{AnswerScan, InterventionRecord, NoticeText, Summary, told};
use serde_json::{Value, json};
use std::fmt::Write;
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
    /// The conversation of the request's path.
    pub conversation: Option<String>,
    /// The question that the plan answers, where the turn is stored.
    pub question: String,
    pub stream: bool,
    pub started: Instant,
    #[expect(dead_code, reason = "a place is held until the turn is over")]
    pub place: Place,
    #[expect(dead_code, reason = "a seat is held until the turn is over")]
    pub seat: Option<tokio::sync::OwnedSemaphorePermit>,
    #[expect(dead_code, reason = "counted until the turn is over")]
    pub counted: Vec<KeyTurn>,
}

/// How far a turn is, and what of it is already known.
pub struct Open {
    pub turn: Turn,
    pub findings: Vec<Finding>,
    /// Ids of all interventions.
    pub interventions: Vec<String>,
    /// Of those, the ones made on the way in: named in a header, for the answer's own scan does not know them.
    pub disclosed: Vec<String>,
    /// Those in full, as the answer's `dragoman` object names them first.
    pub inward: String,
    pub scan: Option<AnswerScan>,
    /// What it reserved of limits.
    pub account: Account,
    /// Code points the scan held back when last asked.
    held: i64,
    /// Number of the attempt, its provider and model name.
    pub attempt: Option<(u64, String, String)>,
    /// Index of the intent, once durable.
    pub intent: Option<u64>,
    /// The intent was handed to the journal: from here on the turn has a result.
    begun: bool,
    pub settled: bool,
    /// What control has of it, once it is opened there.
    pub stored: Option<Stored>,
    /// The turn whose answer it gets.
    pub replays: Option<String>,
}

/// A turn that control has opened.
pub struct Stored {
    /// None for a stateless turn that keeps its answer for a twin.
    pub conversation: Option<String>,
    /// Due beside the plan's.
    pub notices: Vec<Notice>,
    /// What rules that read the conversation say.
    pub refusal: Option<Refusal>,
    /// The decision over the conversation, where it is not the plan's, and its entry.
    pub decided: Option<(String, Vec<u8>)>,
    /// How much of the history goes along.
    pub context: Option<Value>,
}

/// Whether the intent allows calls: a turn that the conversation's rules refuse is stored, and calls nobody.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    Allowed,
    None,
}

/// How a turn ended.
#[derive(Clone, Copy)]
pub struct End<'a> {
    pub status: &'static str,
    pub error: Option<&'a str>,
    /// What a twin of a turn that failed is told.
    pub said: Option<&'a ApiError>,
}

impl<'a> End<'a> {
    pub const DENIED: Self = Self::of("denied", None);
    pub const REFUSED: Self = Self::of("refused", None);
    pub const FINISHED: Self = Self::of("finished", None);
    pub const CANCELLED: Self = Self::of("cancelled", Some("client_gone"));
    /// A change of the service's own state ended it.
    pub const CHANGED: Self = Self::of("refused", Some("stopped"));
    /// Who asked ended it: what was said is the answer.
    pub const STOPPED: Self = Self::of("finished", Some("stopped_by_user"));

    const fn of(status: &'static str, error: Option<&'a str>) -> Self {
        Self { status, error, said: None }
    }

    /// It broke off with an error.
    pub fn failed(status: &'static str, error: &'a ApiError) -> Self {
        Self { status, error: Some(&error.code), said: Some(error) }
    }
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

    /// Writes `entry`, after those of the plan's decision and of its `own` where they are due. Gives the entry's
    /// index, durable.
    async fn write(&self, own: Option<&(String, Vec<u8>)>, entry: Vec<u8>) -> Result<u64, ApiError> {
        let began = Instant::now();
        let relay = &self.worker.relay;
        let own = own.filter(|(id, _)| *id != self.plan.decision && relay.enter_decision(id));
        let mut entries: Vec<Vec<u8>> = self.decision_entry().into_iter().collect();
        entries.extend(own.map(|(_, decision)| decision.clone()));
        let before = entries.len() as u64;
        let written = if entries.is_empty() {
            relay.log.append(entry).await
        } else {
            entries.push(entry);
            let first = relay.log.append_many(entries).await;
            if first.is_err() {
                self.plan.entered.store(false, Ordering::Release);
                relay.forget_decision(&self.plan.decision);
                if let Some((id, _)) = own {
                    relay.forget_decision(id);
                }
            }
            first.map(|index| index + before)
        };
        relay.metrics.journal_wait.add_us(began.elapsed().as_micros() as u64);
        written
    }
}

impl Open {
    pub fn new(turn: Turn, account: Account) -> Self {
        Self {
            turn,
            findings: Vec::new(),
            interventions: Vec::new(),
            disclosed: Vec::new(),
            inward: String::new(),
            scan: None,
            account,
            held: 0,
            attempt: None,
            intent: None,
            begun: false,
            settled: false,
            stored: None,
            replays: None,
        }
    }

    /// The decision that its entries name.
    pub fn decision(&self) -> &str {
        let own = self.stored.as_ref().and_then(|stored| stored.decided.as_ref());
        own.map_or(&self.turn.plan.decision, |(id, _)| id)
    }

    /// The conversation that control keeps it in.
    pub fn conversation(&self) -> Option<&str> {
        self.stored.as_ref()?.conversation.as_deref()
    }

    /// Further members of the answer's `dragoman` object, as JSON.
    pub fn about(&self) -> String {
        let Some(id) = self.turn.conversation.as_deref() else { return String::new() };
        let context = self.stored.as_ref().and_then(|stored| stored.context.as_ref());
        let context = context.map(|context| format!(",\"context\":{context}")).unwrap_or_default();
        format!("\"conversation\":{}{context}", Value::from(id))
    }

    /// The notices of its answer in the user's language: the plan's, and what the conversation made due.
    pub fn notices(&self) -> Arc<[NoticeText]> {
        let lang = self.turn.lang;
        let due = &self.turn.plan.said(lang).notices;
        match self.stored.as_ref().map(|stored| &stored.notices).filter(|more| !more.is_empty()) {
            None => Arc::clone(due),
            Some(more) => {
                due.iter().cloned().chain(more.iter().map(|n| plan::notice_text(n, lang))).collect()
            }
        }
    }

    /// Reserves the worst case of every limit; of a conversation again, once its history goes along.
    pub async fn reserve(&mut self, asked: &Asked) -> Result<(), ApiError> {
        let turn = &self.turn;
        account::reserve(&turn.worker, &turn.who, &turn.plan, asked.request(), &mut self.account).await
    }

    /// Step 5. Nothing goes to a provider before this has returned.
    pub async fn record_intent(&mut self, input: &[u8], calls: Calls) -> Result<(), ApiError> {
        let turn = &self.turn;
        let plan = &turn.plan.plan;
        let attempts = plan.attempts.iter().filter(|_| calls == Calls::Allowed);
        if calls == Calls::None {
            self.account.give_back();
        }
        let (budget, cost) = self.account.record();
        let entry = record::bytes(&Intent {
            at: wall_ms(),
            attempts: attempts.map(|a| a.provider.as_str()).collect(),
            budget: &budget,
            cost: cost.as_ref(),
            channel: &turn.who.channel,
            decision: self.decision(),
            findings: &fitting(&self.findings),
            input: &turn.salt.commit(input),
            key: turn.key(),
            kind: "intent",
            model: &turn.model,
            plan: &plan.plan,
            route: turn.route.path(),
            rules_in: plan.rules_in.as_deref(),
            rules_out: plan.rules_out.as_deref(),
            simulated: plan.simulated,
            stream: turn.stream,
            tenant: &turn.who.tenant,
            turn: &turn.id,
            v: 1,
            who: &turn.salt.commit(turn.who.principal.as_bytes()),
        });
        self.begun = true;
        let own = self.stored.as_mut().and_then(|stored| stored.decided.as_ref());
        let written = self.turn.write(own, entry).await;
        // What could not be recorded did not begin; who leaves while it is being recorded has begun.
        self.begun = written.is_ok();
        self.intent = Some(written?);
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

    /// Stores what was done to the request, and remembers it for the answer's head and end: a conversation's message
    /// is scanned first, and then with its history.
    pub async fn disclose_inward(&mut self, made: &[InterventionRecord]) -> Result<(), ApiError> {
        self.disclose(made, "in").await?;
        let ids: Vec<String> = made.iter().map(|i| i.id.clone()).collect();
        self.interventions.extend(ids.iter().cloned());
        self.disclosed.extend(ids);
        if !self.inward.is_empty() && !made.is_empty() {
            self.inward.push(',');
        }
        self.inward += &told(&self.turn.plan.rules_in, &asked::links(&self.turn.plan.config), made);
        Ok(())
    }

    /// Step 9. No end marker goes out before this has returned.
    pub async fn record_result(&mut self, summary: &Summary, end: &End<'_>) -> Result<u64, ApiError> {
        let index = match self.outcome(summary, end) {
            Ok(job) => {
                let wait = Duration::from_millis(limits::SETTLE_MS);
                let settled = tokio::time::timeout(wait, settle::begin(job)).await;
                // It goes on being settled; who waits is told that it is not yet.
                let healthy = self.turn.worker.relay.log.is_healthy();
                let late = || if healthy { &errors::NO_CONTACT } else { &errors::JOURNAL };
                settled.map_err(|_| late())?.map_err(|_| &errors::INTERNAL)??
            }
            // What was reserved is settled with the entry, whether its reader is still there or not.
            Err(entry) if self.account.is_open() => {
                let account = self.account.hand_over();
                let alone = settle::alone(&self.turn.worker, self.turn.id.clone(), entry, account);
                alone.await.map_err(|_| &errors::INTERNAL)??
            }
            Err(entry) => self.turn.write(None, entry).await?,
        };
        Ok(index)
    }

    /// The outcome that is to be settled of a stored turn, or the entry of any other. From here on it is theirs: a
    /// client that leaves now adds no second one.
    fn outcome(&mut self, summary: &Summary, end: &End<'_>) -> Result<Job, Vec<u8>> {
        self.settled = true;
        self.turn.worker.relay.metrics.turn(self.turn.route.path(), end.status);
        if self.stored.is_none() {
            return Err(self.result_entry(summary, end, None));
        }
        let record = self.answer_record(summary, end);
        let digest = self.turn.salt.commit(record.as_bytes());
        let entry = self.result_entry(summary, end, Some(&digest));
        Ok(Job {
            worker: Rc::clone(&self.turn.worker),
            turn: self.turn.id.clone(),
            tenant: self.turn.who.tenant.clone(),
            digest,
            record,
            entry,
            account: self.account.hand_over(),
        })
    }

    /// What was released, and what a twin is told where that is an error.
    fn answer_record(&mut self, summary: &Summary, end: &End<'_>) -> String {
        let mut record = match self.scan.as_mut() {
            Some(scan) => scan.record(),
            None => self.notice_record(summary),
        };
        if let Some(error) = end.said {
            record.pop();
            // Writing into a String cannot fail.
            let _ = write!(record, ",\"status\":{},\"error\":{}}}", error.status, error.wire());
        }
        record
    }

    /// The record of an answer that is only a notice.
    fn notice_record(&self, summary: &Summary) -> String {
        let said = |text: &str| match self.turn.route {
            routes::Turn::Completions => json!({ "text": text }),
            _ => json!({ "message": { "role": "assistant", "content": text, "refusal": null } }),
        };
        let choices = summary.finish.iter().enumerate().map(|(index, reason)| {
            let mut choice = said(&summary.output);
            choice["index"] = index.into();
            choice["logprobs"] = Value::Null;
            choice["finish_reason"] = reason.as_str().into();
            choice
        });
        let completions = self.turn.route == routes::Turn::Completions;
        json!({
            "id": format!("{}-{}", if completions { "cmpl" } else { "chatcmpl" }, self.turn.id),
            "object": if completions { "text_completion" } else { "chat.completion" },
            "created": wall_ms() / 1000, "model": self.turn.model, "choices": choices.collect::<Vec<_>>(),
        })
        .to_string()
    }

    fn result_entry(&mut self, summary: &Summary, end: &End<'_>, outcome: Option<&str>) -> Vec<u8> {
        self.interventions.extend(summary.interventions.iter().cloned());
        let turn = &self.turn;
        let tallied = summary.findings.iter();
        let findings: Vec<Finding> = tallied
            .map(|t| Finding { action: asked::action_name(t.action), n: t.n, rule: t.rule.clone() })
            .collect();
        let attempt = self.attempt.as_ref();
        let (budget, cost) = self.account.result(&summary.usage, attempt.map(|(n, ..)| *n as usize));
        record::bytes(&Outcome {
            app: turn.who.app.as_deref(),
            asked: &turn.model,
            at: wall_ms(),
            attempt: attempt.map_or(0, |(n, ..)| *n),
            budget: &budget,
            cost: cost.as_ref(),
            decision: self.decision(),
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
            outcome,
            output: &turn.salt.commit(summary.output.as_bytes()),
            provider: attempt.map(|(_, provider, _)| provider.as_str()),
            replays: self.replays.as_deref(),
            simulated: turn.plan.plan.simulated,
            status: end.status,
            tenant: &turn.who.tenant,
            turn: &turn.id,
            usage: Tokens {
                cached: summary.usage.cached,
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
                    "decision": self.decision(), "origin": i.origin.as_str(),
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

impl Drop for Open {
    /// Who drops a turn that is not settled left it: the client, or a panic.
    fn drop(&mut self) {
        self.note_held_as(0);
        if self.settled {
            return;
        }
        let worker = Rc::clone(&self.turn.worker);
        if !self.begun {
            if self.stored.is_some() {
                settle::abandon(&worker, self.turn.id.clone(), self.turn.who.tenant.clone());
            }
            return;
        }
        let internal = ApiError::from(&errors::INTERNAL);
        let panicking = std::thread::panicking();
        let end = if panicking { End::failed("failed", &internal) } else { End::CANCELLED };
        // The scan itself may be what panicked: then nothing of it is asked.
        let scan = self.scan.take().filter(|_| !panicking);
        let summary = match scan {
            Some(mut scan) => {
                let summary = scan.abort("client_gone", "", &mut Vec::new());
                self.scan = Some(scan);
                summary
            }
            None => Summary::default(),
        };
        match self.outcome(&summary, &end) {
            Ok(job) => drop(settle::begin(job)),
            Err(entry) => {
                let account = self.account.hand_over();
                drop(settle::alone(&worker, std::mem::take(&mut self.turn.id), entry, account));
            }
        }
    }
}
