//! The entries that the journal itself writes: a log's opening, closing, continuation, a cut, an interrupted turn.
use dragoman_engine::ledger::canonical;
use dragoman_engine::ledger::merkle::Hash;
use dragoman_engine::ledger::note::Verifier;
use serde_json::{Value, json};

use super::JournalError;
use super::record::LogBytes;
use super::shard;
use super::turns::{self, Head};

/// The log that continues a closed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextLog {
    /// Its id.
    pub log: LogBytes,
    /// Its shard.
    pub shard: String,
}

/// The log that a new one continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Its name.
    pub log: String,
    /// Its last checkpoint's size.
    pub size: u64,
    /// Its last checkpoint's root.
    pub root: Hash,
}

/// What a log's first entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The log's name.
    pub log: String,
    /// Its verifier key.
    pub key: String,
    /// Its checkpoint origin.
    pub origin: String,
}

fn write(value: &Value) -> Result<Vec<u8>, JournalError> {
    canonical(value).map_err(|e| JournalError::Entry(e.to_string()))
}

/// `sha256:<64 hex>`.
pub fn digest_text(hash: &Hash) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::from("sha256:"), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `log_opened`: the first entry of every log.
pub fn opened(
    log: &str,
    zone: &str,
    shard: &str,
    key: &Verifier,
    previous: Option<&Previous>,
    at: i64,
) -> Result<Vec<u8>, JournalError> {
    let previous = previous.map(|p| json!({"log": p.log, "size": p.size, "root": digest_text(&p.root)}));
    write(&json!({
        "v": 1, "kind": "registry", "event": "log_opened", "at": at, "log": log, "zone": zone, "shard": shard,
        "origin": key.name(), "key": key.to_string(), "previous": previous,
    }))
}

/// `log_closed`: the last entry of a shard that another one continues.
pub fn closed(
    log: &str,
    next: &NextLog,
    key: &Verifier,
    zone: &str,
    at: i64,
) -> Result<Vec<u8>, JournalError> {
    let name = shard::log_name(zone, &next.log);
    write(&json!({
        "v": 1, "kind": "registry", "event": "log_closed", "at": at, "log": log,
        "next": {"log": name, "shard": next.shard, "origin": key.name(), "key": key.to_string()},
    }))
}

/// `log_resumed`: a process opened the log again; before this entry every intent has a result.
pub fn resumed(log: &str, interrupted: usize, at: i64) -> Result<Vec<u8>, JournalError> {
    write(&json!({
        "v": 1, "kind": "registry", "event": "log_resumed", "at": at, "log": log, "interrupted": interrupted,
    }))
}

/// `tail_cut`: bytes of a group that was never completed, hence never acknowledged, were left out.
pub fn tail_cut(log: &str, index: u64, bytes: u64, digest: &str, at: i64) -> Result<Vec<u8>, JournalError> {
    write(&json!({
        "v": 1, "kind": "registry", "event": "tail_cut", "at": at, "log": log, "index": index, "bytes": bytes,
        "digest": digest,
    }))
}

/// The turn and the result entry for an intent that has none.
pub fn interrupted(intent: &[u8], at: i64) -> Result<(String, Vec<u8>), JournalError> {
    let intent: Value =
        serde_json::from_slice(intent).map_err(|e| JournalError::Corrupt(format!("an intent: {e}")))?;
    let turn = intent.get("turn").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((turn, write(&turns::interrupted(&intent, at))?))
}

/// What `entry` opens, if it is a `log_opened`.
pub fn opening(entry: &[u8]) -> Option<Opening> {
    if Head::parse(entry)?.event? != "log_opened" {
        return None;
    }
    let value: Value = serde_json::from_slice(entry).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Opening { log: text("log")?, key: text("key")?, origin: text("origin")? })
}

/// What follows, if `entry` is a `log_closed`.
pub fn closing(entry: &[u8]) -> Option<NextLog> {
    if Head::parse(entry)?.event? != "log_closed" {
        return None;
    }
    let value: Value = serde_json::from_slice(entry).ok()?;
    let next = value.get("next")?;
    Some(NextLog {
        log: shard::log_bytes(next.get("log")?.as_str()?)?,
        shard: next.get("shard")?.as_str().filter(|s| shard::is_shard(s))?.to_owned(),
    })
}
