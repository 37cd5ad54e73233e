//! The ledger's entries of a turn. Fields stand in the order of RFC 8785, so that what serde writes is the
//! canonical form; a test holds it against the engine's own. Personal values appear as commitments only.
use crate::budget::message::{Cost, Reserved, Spent};
use crate::errors::{self, ApiError};
use crate::limits;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dragoman_engine::ledger::canonical::{canonical, canonical_document, push_hex};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Bytes that an entry of a turn mostly fits in.
const ENTRY_BYTES_USUAL: usize = 1024;

/// `sha256:<hex>` of the RFC 8785 form of a document; empty for one that has none, which matches nothing.
pub fn digest_of(document: &Value) -> String {
    canonical_document(document).map_or_else(|_| String::new(), |bytes| hex(&Sha256::digest(bytes)))
}

/// The canonical form of an entry that control made.
pub fn canonical_entry(entry: &Value) -> Result<Vec<u8>, ApiError> {
    canonical(entry).map_err(|e| {
        tracing::error!(error = %e, "control sent an entry that has no canonical form");
        (&errors::PLAN_NOT_UNDERSTOOD).into()
    })
}

fn hex(digest: &[u8]) -> String {
    let mut text = String::with_capacity(7 + digest.len() * 2);
    text.push_str("sha256:");
    push_hex(digest, &mut text);
    text
}

/// A turn's salt: with it, its commitments can be opened; without it they say nothing.
#[derive(Clone, Copy)]
pub struct Salt(pub [u8; 32]);

impl Salt {
    /// SHA-256 over salt and value.
    pub fn commit(&self, value: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(value);
        hex(&hash.finalize())
    }

    /// The salt itself, base64url.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The value of `dragoman-receipt`, which alone carries the salt of a stateless turn.
    pub fn receipt(&self, turn: &str, log: &str, index: u64) -> String {
        format!("v=1; turn={turn}; log={log}; index={index}; salt={}", self.text())
    }
}

/// A rule's hits in one direction.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub action: &'static str,
    pub n: u64,
    pub rule: String,
}

/// What was asked, decided and allowed.
#[derive(Debug, Serialize)]
pub struct Intent<'a> {
    pub at: u64,
    pub attempts: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub budget: &'a [Reserved],
    pub channel: &'a str,
    /// What it costs at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<&'a Cost>,
    pub decision: &'a str,
    pub findings: &'a [Finding],
    pub input: &'a str,
    pub key: Option<&'a str>,
    pub kind: &'static str,
    pub model: &'a str,
    pub plan: &'a str,
    pub route: &'a str,
    pub rules_in: Option<&'a str>,
    pub rules_out: Option<&'a str>,
    /// The facts it was decided by are somebody's pretence.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    pub stream: bool,
    pub tenant: &'a str,
    pub turn: &'a str,
    pub v: u32,
    pub who: &'a str,
}

#[derive(Debug, Default, Serialize)]
pub struct Tokens {
    #[serde(skip_serializing_if = "is_zero")]
    pub cached: u64,
    pub input: u64,
    pub known: bool,
    pub output: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How a turn ended.
#[derive(Debug, Serialize)]
pub struct Outcome<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<&'a str>,
    pub asked: &'a str,
    pub at: u64,
    pub attempt: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub budget: &'a [Spent],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<&'a Cost>,
    pub decision: &'a str,
    pub error: Option<&'a str>,
    pub findings: &'a [Finding],
    pub finish: &'a [String],
    pub interventions: &'a [String],
    pub key: Option<&'a str>,
    pub kind: &'static str,
    pub labels: &'a [String],
    pub model: Option<&'a str>,
    pub ms: u64,
    pub notices: &'a [String],
    /// The digest of a stored turn's answer record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'a str>,
    pub output: &'a str,
    pub provider: Option<&'a str>,
    /// The turn whose answer a twin got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replays: Option<&'a str>,
    /// The facts it was decided by are somebody's pretence.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    pub status: &'static str,
    pub tenant: &'a str,
    pub turn: &'a str,
    pub usage: Tokens,
    pub v: u32,
}

/// An entry's bytes.
pub fn bytes(entry: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRY_BYTES_USUAL);
    // Writing plain structs into memory cannot fail; an empty entry would be refused by the journal.
    if serde_json::to_writer(&mut bytes, entry).is_err() {
        bytes.clear();
    }
    bytes
}

/// The first of them, as many as an entry has room for.
pub fn first(all: &[String], most: usize) -> &[String] {
    &all[..most.min(all.len())]
}

/// The findings that an entry has room for. A turn that many rules found something in has to be recorded too.
pub fn fitting(all: &[Finding]) -> Vec<Finding> {
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
