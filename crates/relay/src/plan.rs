//! Step 3: the plan of a turn, remembered for equal questions or asked for. It decides nothing: it checks
//! that the plan is one this relay can carry out, and makes its rule sets ready.
use crate::budget::message::Unit;
use crate::cache::{Cache, Found, Kept};
use crate::clock::wall_ms;
use crate::config::Config;
use crate::control::{Ask, AskError, Control};
use crate::errors::{self, ApiError};
use crate::limits;
use crate::record;
use crate::state::Relay;
use crate::wire::{self, Lang, Plan, Question};
use dragoman_engine::answer::{self, NoticeText};
use dragoman_engine::rules::RuleSet;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What a plan may demand. Anything else in `must` refuses the turn.
const CARRIED_OUT: &[&str] = &["label.visible", "label.machine", "notice"];
/// The machine label that is also a response header.
pub const HTTP_FORMAT: &str = "http";
/// Machine label formats that the engine writes.
const FORMATS: &[&str] = &["aigc_cn", HTTP_FORMAT];
/// Bytes that a question mostly fits in.
const QUESTION_BYTES_USUAL: usize = 512;
/// Scope that a turn needs.
const SCOPE: &str = "turns";

/// A plan with what it takes to carry it out.
pub struct Ready {
    pub plan: Plan,
    pub decision: String,
    /// The ledger's decision entry, in canonical form.
    pub decision_entry: Vec<u8>,
    /// The entry went into this log already.
    pub entered: AtomicBool,
    pub rules_in: Arc<RuleSet>,
    pub rules_out: Arc<RuleSet>,
    pub config: Arc<Config>,
    said: [Said; 2],
}

/// What an answer says of itself, in one language: made once, shared by all turns of the plan.
#[derive(Debug)]
pub struct Said {
    pub labels: Arc<[answer::Label]>,
    pub notices: Arc<[NoticeText]>,
}

impl Said {
    fn of(plan: &Plan, lang: Lang) -> Self {
        Self {
            labels: plan.labels.iter().map(|label| engine_label(label, lang)).collect(),
            notices: plan.notices.iter().map(|n| notice_text(n, lang)).collect(),
        }
    }
}

/// A notice in one language.
pub fn notice_text(notice: &wire::Notice, lang: Lang) -> NoticeText {
    NoticeText {
        id: notice.id.clone(),
        rule_id: notice.rule_id.clone(),
        text: notice.text.get(lang).to_owned(),
    }
}

fn engine_label(label: &wire::Label, lang: Lang) -> answer::Label {
    let machine = label
        .format
        .as_ref()
        .map(|format| answer::Machine::new(&serde_json::json!({ "format": format, "fields": label.fields })));
    answer::Label {
        kind: label.kind.clone(),
        rule_id: label.rule_id.clone(),
        visible: label.text.as_ref().map(|text| text.get(lang).to_owned()),
        machine,
    }
}

impl Ready {
    /// The labels and notices of an answer in `lang`.
    pub fn said(&self, lang: Lang) -> &Said {
        match lang {
            Lang::En => &self.said[0],
            Lang::Zh => &self.said[1],
        }
    }
}

/// A kept answer: the plan, or control's refusal to make one.
pub enum Known {
    Ready(Arc<Ready>),
    Refused(ApiError),
}

impl Kept for Known {
    fn tags(&self) -> &[String] {
        match self {
            Self::Ready(ready) => &ready.plan.tags,
            Self::Refused(_) => &[],
        }
    }
}

impl Known {
    fn result(&self) -> Result<Arc<Ready>, ApiError> {
        match self {
            Self::Ready(ready) => Ok(Arc::clone(ready)),
            Self::Refused(e) => Err(e.clone()),
        }
    }
}

pub type Plans = Cache<Known>;

/// The plan for `question`, with its rule sets compiled and its configuration loaded.
pub async fn plan(relay: &Relay, control: &Control, question: &Question<'_>) -> Result<Arc<Ready>, ApiError> {
    if !question.scopes.iter().any(|s| s == SCOPE) {
        return Err((&errors::PERMISSION).into());
    }
    let mut asked = Vec::with_capacity(QUESTION_BYTES_USUAL);
    serde_json::to_writer(&mut asked, question).map_err(|_| &errors::INTERNAL)?;
    let key = Sha256::digest(&asked).into();
    for _ in 0..limits::ASK_AGAIN {
        let ticket = match relay.plans.find(&key, wall_ms()) {
            Found::Hit(known) => {
                crate::metrics::count(&relay.metrics.plan_hits);
                return known.result();
            }
            Found::Wait(mut done) => {
                // Ends with an error when the asker is done: then the cache has the answer, or we ask.
                drop(done.changed().await);
                continue;
            }
            Found::Ask(ticket) => ticket,
        };
        crate::metrics::count(&relay.metrics.plan_misses);
        let epoch = relay.changes.epoch();
        let (known, until) = match control.ask_json::<Plan>(&Ask::post("/plan", &asked)).await {
            Ok(plan) => {
                let until = if plan.reusable { plan.holds_until } else { 0 };
                (Known::Ready(Arc::new(ready(relay, control, plan).await?)), until)
            }
            Err(AskError::Said(e)) => (Known::Refused(e), wall_ms() + limits::REFUSAL_MS),
            Err(lost @ AskError::Lost(_)) => {
                tracing::warn!(error = %lost, "no plan");
                return Err(lost.into());
            }
        };
        let known = Arc::new(known);
        let mut unchanged = false;
        relay.plans.keep(ticket, Arc::clone(&known), until, || {
            unchanged = relay.changes.epoch() == epoch;
            unchanged && until > 0
        });
        if unchanged {
            return known.result();
        }
    }
    Err((&errors::NO_CONTACT).into())
}

/// Whether this relay can carry the plan out as it is.
fn understood(plan: &Plan) -> bool {
    let known = plan.must.iter().all(|kind| CARRIED_OUT.contains(&kind.as_str()));
    let labels = plan.labels.iter().all(|label| match label.kind.as_str() {
        "label.visible" => label.text.is_some(),
        "label.machine" => label.format.as_deref().is_some_and(|f| FORMATS.contains(&f)),
        _ => false,
    });
    let refuses = plan.attempts.is_empty() == plan.refusal.is_some();
    let bounded = plan.budgets.iter().all(|limit| limit.unit != Unit::Concurrent);
    known && labels && refuses && bounded && !plan.decision_id().is_empty()
}

async fn ready(relay: &Relay, control: &Control, plan: Plan) -> Result<Ready, ApiError> {
    if !understood(&plan) {
        tracing::error!(plan = %plan.plan, must = ?plan.must, "a plan this relay does not understand");
        return Err((&errors::PLAN_NOT_UNDERSTOOD).into());
    }
    let config = configured(relay, &plan.config).await?;
    if plan.attempts.iter().any(|a| !config.providers.contains_key(&a.provider)) {
        tracing::error!(plan = %plan.plan, "a plan names a provider that is not registered");
        return Err((&errors::PLAN_NOT_UNDERSTOOD).into());
    }
    let rules_in = relay.rules.get(control, plan.rules_in.as_deref()).await?;
    let rules_out = relay.rules.get(control, plan.rules_out.as_deref()).await?;
    let decision_entry = record::canonical_entry(&plan.decision_entry)?;
    Ok(Ready {
        decision: plan.decision_id().to_owned(),
        decision_entry,
        entered: AtomicBool::new(false),
        rules_in,
        rules_out,
        config,
        said: [Said::of(&plan, Lang::En), Said::of(&plan, Lang::Zh)],
        plan,
    })
}

/// The configuration with this digest: the one loaded, or the file read again for at most a second.
async fn configured(relay: &Relay, digest: &str) -> Result<Arc<Config>, ApiError> {
    for _ in 0..limits::WAIT_MS / limits::TICK_MS {
        let config = relay.config.load_full();
        if config.digest == digest {
            return Ok(config);
        }
        if !relay.reload() {
            tokio::time::sleep(Duration::from_millis(limits::TICK_MS)).await;
        }
    }
    Err((&errors::CONFIG_NOT_READY).into())
}
