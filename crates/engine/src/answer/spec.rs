//! What an answer is scanned with and what comes out of it: the values that the relay fills in and reads.

use std::sync::Arc;

use crate::request::Route;
use crate::rules::{Action, Locale, RuleSet};

use super::told::{Links, string};
use super::usage::Usage;

/// An obligation to label. `visible` is text as the user reads it, `machine` is for the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub kind: String,
    pub rule_id: String,
    pub visible: Option<String>,
    pub machine: Option<Machine>,
}

/// A machine label: JSON, cut in two where the id of what was produced belongs. No `after`: nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    before: String,
    after: Option<String>,
}

impl Machine {
    /// Where the value has an empty `ProduceID` (GB 45438-2025), an answer fills in its turn's.
    #[must_use]
    pub fn new(value: &serde_json::Value) -> Self {
        const EMPTY: &str = "\"ProduceID\":\"\"";
        let json = value.to_string();
        match json.split_once(EMPTY) {
            Some((before, after)) => {
                Self { before: format!("{before}\"ProduceID\":"), after: Some(after.to_owned()) }
            }
            None => Self { before: json, after: None },
        }
    }

    /// The JSON of an answer of this turn.
    pub fn of_turn(&self, turn: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before.as_bytes());
        if let Some(after) = &self.after {
            string(turn, out);
            out.extend_from_slice(after.as_bytes());
        }
    }
}

/// A notice that is due with this answer, in the user's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeText {
    pub id: String,
    pub rule_id: String,
    pub text: String,
}

/// How a provider says that its own filter acted: an RFC 6901 pointer whose `*` is any element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorBlock {
    pub pointer: String,
    pub equals: Vec<String>,
}

#[allow(clippy::struct_excessive_bools)] // each is a wish of the caller's or of the turn's
pub struct AnswerSpec {
    pub route: Route,
    pub stream: bool,
    /// The caller asked for usage on its stream.
    pub include_usage: bool,
    /// The model name that the caller used.
    pub asked_model: String,
    /// Choices asked for, over all prompts.
    pub n: u32,
    pub locale: Locale,
    pub rules: Arc<RuleSet>,
    pub rules_digest: String,
    pub labels: Arc<[Label]>,
    pub notices: Arc<[NoticeText]>,
    /// Content is JSON by the caller's `response_format`.
    pub json_lanes: bool,
    pub blocks: Vec<VendorBlock>,
    pub turn: String,
    pub decision: String,
    /// Where an intervention's reasons are, and where one appeals.
    pub links: Links,
    /// What was done to the request, as `told` gives it: the answer's user is told of that too.
    pub inward: String,
    /// Seconds since 1970, used where the provider says no `created`.
    pub created: u64,
    pub new_id: Box<dyn FnMut() -> String + Send>,
    /// Keep what is released, for `record`.
    pub keep: bool,
    /// Further members of the `dragoman` object, as JSON: `"a":1,"b":2`.
    pub about: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Nothing more of the provider matters: `[DONE]` was read, or a rule ended the last choice. Call `end`.
    pub ended: bool,
    /// All choices have finished; usage and `[DONE]` may still come, and the end of the bytes is a clean end.
    pub closing: bool,
}

/// Why an answer cannot go on. `code` is stable and part of the public errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerError {
    pub code: &'static str,
    /// What the provider said, bounded: for who configures it, never shown to a user and never logged.
    pub detail: Option<String>,
}

/// Every code of an `AnswerError`.
pub const ANSWER_CODES: [&str; 7] = [
    "held_too_long",
    "provider_answer_too_long",
    "provider_error",
    "provider_frame_too_long",
    "provider_garbage",
    "provider_too_many_texts",
    "provider_truncated",
];

impl AnswerError {
    pub(super) fn new(code: &'static str) -> Self {
        debug_assert!(ANSWER_CODES.contains(&code), "{code} is not in ANSWER_CODES");
        Self { code, detail: None }
    }

    pub(super) fn garbage() -> Self {
        Self::new("provider_garbage")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Rule,
    Vendor,
    Change,
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Vendor => "vendor",
            Self::Change => "change",
        }
    }
}

/// One intervention in an answer; the relay adds turn, tenant, principal and time. Never contains matched text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterventionRecord {
    pub id: String,
    pub origin: Origin,
    /// Id of the content rule; `None` for a vendor's filter and a change.
    pub rule: Option<String>,
    /// Digest of the rule set.
    pub set: Option<String>,
    /// `redact`, `refuse` or `stop`.
    pub action: &'static str,
    pub reason_code: Option<String>,
    /// RFC 6901 pointer of the lane in the whole answer.
    pub lane: String,
    /// Code points the client got in this lane before it.
    pub offset: u64,
    /// Code points of the model's text that it replaced; 0 where the rest was cut off.
    pub length: u64,
    /// What the vendor said, of the values its pack lists.
    pub vendor: Option<String>,
    /// How many redactions it stands for. Of more than one, past the limit, no place is named.
    pub n: u64,
}

/// How often a rule acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    pub rule: String,
    pub action: Action,
    pub n: u64,
}

/// What the result entry says of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Finish reasons as the client got them, by choice.
    pub finish: Vec<String>,
    pub usage: Usage,
    pub findings: Vec<Tally>,
    /// Ids of the interventions.
    pub interventions: Vec<String>,
    /// JSON object from lane to `sha256:` of the text the client got in it, keys sorted: what is committed to.
    pub output: String,
    pub labels: Vec<String>,
    pub notices: Vec<String>,
    /// A rule, the provider's own filter or a change ended at least one choice.
    pub refused: bool,
    pub vendor_blocked: bool,
}

#[cfg(test)]
mod tests {
    use super::Machine;

    fn of_turn(value: &serde_json::Value) -> String {
        let mut out = Vec::new();
        Machine::new(value).of_turn("trn_a\"b", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_empty_product_is_the_turn_and_another_stays() {
        let label = serde_json::json!({"fields": {"Label": "1", "ProduceID": "", "ReservedCode1": ""}});
        let said: serde_json::Value = serde_json::from_str(&of_turn(&label)).unwrap();
        assert_eq!(said["fields"]["ProduceID"], "trn_a\"b");
        assert_eq!(said["fields"]["ReservedCode1"], "");
        for other in [serde_json::json!({"ProduceID": "own"}), serde_json::json!({"mode": "ai-originated"})] {
            assert_eq!(of_turn(&other), other.to_string());
        }
    }
}
