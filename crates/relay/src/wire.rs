//! The messages between relay and control, as `docs/wire.md` gives them. Golden files in
//! `tests/wire/v1/` are read by tests of both languages. Nothing here decides.
use crate::budget::message::{Limit, Price, Rate};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The version of the wire this relay speaks.
pub const WIRE: &str = "1";

/// The caller's language: what notices, errors and labels are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lang {
    #[default]
    En,
    Zh,
}

impl Lang {
    /// The first of the header's languages that is spoken here, weights ignored: browsers send them in order.
    pub fn of(accept_language: Option<&str>) -> Self {
        Self::said(accept_language).unwrap_or_default()
    }

    /// The same, nothing where the header says none.
    pub fn said(accept_language: Option<&str>) -> Option<Self> {
        for part in accept_language.unwrap_or("").split(',') {
            let tag = part.trim().as_bytes();
            match tag.get(..2).map(<[u8]>::to_ascii_lowercase).as_deref() {
                Some(b"zh") => return Some(Self::Zh),
                Some(b"en") => return Some(Self::En),
                _ => {}
            }
        }
        None
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

/// A sentence in each language a user may read.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Text {
    pub en: String,
    pub zh: String,
}

impl Text {
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }
}

/// Answer of `POST /principal`.
#[derive(Clone, Debug, Deserialize)]
pub struct Principal {
    pub principal: String,
    pub tenant: String,
    pub app: Option<String>,
    pub key: Option<String>,
    pub scopes: Vec<String>,
    pub class: String,
    pub end_users: String,
    pub channel: String,
    pub locale: Option<String>,
    /// Limits and rates of its key alone.
    #[serde(default)]
    pub budgets: Vec<Limit>,
    #[serde(default)]
    pub rates: Vec<Rate>,
    pub tags: Vec<String>,
    /// Milliseconds UTC after which the answer is asked for again.
    pub expires: u64,
}

/// What the relay may see of where a request comes from.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Address {
    pub country: Option<String>,
    pub kind: Cow<'static, str>,
    #[serde(default)]
    pub peer: Cow<'static, str>,
}

/// Question of `POST /plan`: all keys always present, never text.
#[derive(Debug, Serialize)]
pub struct Question<'a> {
    pub tenant: &'a str,
    pub app: Option<&'a str>,
    pub end_users: &'a str,
    pub class: &'a str,
    pub scopes: &'a [String],
    pub route: &'a str,
    pub model: &'a str,
    pub channel: &'a str,
    pub address: &'a Address,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Attempt {
    pub provider: String,
    pub model: String,
    /// Of one choice; asked of the provider where the caller asks for more or for nothing.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// The model's context.
    #[serde(default)]
    pub max_input_tokens: Option<u64>,
    /// The field of a chat in which the provider takes the most tokens of an answer.
    #[serde(default = "max_tokens")]
    pub output_field: String,
    /// None where nobody states it with certainty.
    #[serde(default)]
    pub price: Option<Price>,
}

fn max_tokens() -> String {
    "max_tokens".to_owned()
}

/// A label that the answer carries: visible text or machine metadata.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Label {
    pub kind: String,
    pub rule_id: String,
    #[serde(default)]
    pub text: Option<Text>,
    #[serde(default)]
    pub format: Option<String>,
    #[serde(default)]
    pub fields: Option<Value>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Notice {
    pub id: String,
    pub rule_id: String,
    pub text: Text,
}

/// Why a plan has no attempts, as the user reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct Refusal {
    pub outcome: String,
    pub text: Text,
    #[serde(default)]
    pub reasons: Vec<Value>,
    /// What would change it, one text in both languages each.
    #[serde(default)]
    pub lifts: Vec<Value>,
    /// What the person can supply, by name.
    #[serde(default)]
    pub step_up: Vec<String>,
    #[serde(default)]
    pub address: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct PlanLimits {
    pub max_output_tokens: Option<u64>,
    pub concurrent: Option<u32>,
    /// Shared by all whose plans name it.
    #[serde(default)]
    pub pool: Option<Pool>,
}

/// What many callers may have open and begin together.
#[derive(Clone, Debug, Deserialize)]
pub struct Pool {
    pub name: String,
    pub turns: u32,
    pub per_minute: u32,
}

/// Answer of `POST /plan`.
#[derive(Clone, Debug, Deserialize)]
pub struct Plan {
    pub plan: String,
    pub config: String,
    pub question: String,
    pub decision: Value,
    pub decision_entry: Value,
    pub outcome: String,
    pub attempts: Vec<Attempt>,
    pub rules_in: Option<String>,
    pub rules_out: Option<String>,
    #[serde(default)]
    pub labels: Vec<Label>,
    #[serde(default)]
    pub notices: Vec<Notice>,
    pub refusal: Option<Refusal>,
    #[serde(default)]
    pub must: Vec<String>,
    #[serde(default)]
    pub residual: Vec<Value>,
    #[serde(default)]
    pub limits: PlanLimits,
    #[serde(default)]
    pub budgets: Vec<Limit>,
    #[serde(default)]
    pub rates: Vec<Rate>,
    #[serde(default)]
    pub tags: Vec<String>,
    /// Milliseconds UTC.
    pub holds_until: u64,
    pub reusable: bool,
    /// Its facts are somebody's pretence: the entries of its turns say so.
    #[serde(default)]
    pub simulated: bool,
}

impl Plan {
    /// The decision's id, or nothing for a document without one.
    pub fn decision_id(&self) -> &str {
        self.decision.get("id").and_then(Value::as_str).unwrap_or("")
    }
}

/// What a change does to what carries its tags.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Drop,
    Stop,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Change {
    pub seq: u64,
    pub tags: Vec<String>,
    pub effect: Effect,
    pub notice: Option<Text>,
}

/// Answer of `GET /changes`.
#[derive(Clone, Debug, Deserialize)]
pub struct Changes {
    #[serde(default)]
    pub reset: bool,
    pub seq: u64,
    pub changes: Vec<Change>,
    #[serde(default)]
    pub rulesets: Vec<String>,
    pub config: String,
    pub now: u64,
}

/// The error of an answer inside, with the sentence in both languages.
#[derive(Clone, Debug, Deserialize)]
pub struct WireError {
    pub error: WireErrorBody,
}

#[derive(Clone, Debug, Deserialize)]
pub struct WireErrorBody {
    #[serde(rename = "type")]
    pub kind: String,
    pub code: String,
    pub param: Option<String>,
    pub message: Text,
    pub zone: Option<String>,
    pub address: Option<String>,
}

/// Answer of `POST /journal` and `GET /journal/cursor`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Cursor {
    pub next: u64,
}

/// An idempotency key and the digest of what it was sent with.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Idempotency<'a> {
    pub key: &'a str,
    pub body: &'a str,
}

/// Question of `POST /turns`: all keys always present.
#[derive(Debug, Serialize)]
pub struct TurnOpening<'a> {
    pub turn: &'a str,
    pub log: &'a str,
    pub at: u64,
    pub tenant: &'a str,
    pub principal: &'a str,
    pub key: Option<&'a str>,
    pub conversation: Option<&'a str>,
    pub parent: Option<&'a str>,
    pub idempotency: Option<Idempotency<'a>>,
    pub question: &'a RawValue,
    pub plan: &'a str,
    pub decision: &'a str,
    pub stream: bool,
    pub lang: &'static str,
    pub input: Option<&'a RawValue>,
    pub rules_in: Option<&'a str>,
    pub interventions: &'a [String],
    pub salt: &'a str,
    pub deadline_ms: u64,
}

/// Answer of `POST /turns`; `state` says which members there are.
#[derive(Debug, Deserialize)]
pub struct TurnAnswer {
    pub state: String,
    pub turn: String,
    #[serde(default)]
    pub upstream: Option<Box<RawValue>>,
    #[serde(default)]
    pub notices: Vec<Notice>,
    #[serde(default)]
    pub refusal: Option<Refusal>,
    #[serde(default)]
    pub decision_entry: Option<Value>,
    #[serde(default)]
    pub context: Option<Value>,
    #[serde(default)]
    pub answer: Option<Value>,
    /// A word of a finished turn, the HTTP status of a failed one.
    #[serde(default)]
    pub status: Option<Value>,
    #[serde(default)]
    pub error: Option<WireErrorBody>,
}

/// A turn that an earlier process left in `closing`.
#[derive(Debug, Deserialize)]
pub struct ClosingTurn {
    pub turn: String,
    pub digest: String,
    pub result: Value,
}

/// Answer of `POST /turns/recover`.
#[derive(Debug, Default, Deserialize)]
pub struct Recovered {
    pub closing: Vec<ClosingTurn>,
}
