//! Which intents have no result yet: what a start has to end as `interrupted`.
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// The few members of an entry that the journal itself reads.
#[derive(Debug, Deserialize)]
pub struct Head<'a> {
    /// `decision | intent | result | action | registry`.
    #[serde(borrow)]
    pub kind: std::borrow::Cow<'a, str>,
    /// The turn of an intent or a result.
    #[serde(borrow, default)]
    pub turn: Option<std::borrow::Cow<'a, str>>,
    /// What a registry entry records.
    #[serde(borrow, default)]
    pub event: Option<std::borrow::Cow<'a, str>>,
}

impl<'a> Head<'a> {
    /// The head of an entry; `None` if it has no kind.
    pub fn parse(entry: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(entry).ok()
    }
}

/// Kind and turn of an intent or a result, without reading the whole entry; `None` where only that would tell.
///
/// Entries are canonical: no space around a colon, and a quotation mark within a string is escaped, so that what is
/// found is a member. A second one of its name might be the entry's own: then the entry is read.
fn glance(entry: &[u8]) -> Option<(&str, &str)> {
    let kind = only(entry, br#""kind":""#)?;
    if kind != "intent" && kind != "result" {
        return None;
    }
    Some((kind, only(entry, br#""turn":""#)?))
}

/// The string after the only `member` of an entry, if it needs no unescaping.
fn only<'a>(entry: &'a [u8], member: &[u8]) -> Option<&'a str> {
    let mut found = memchr::memmem::find_iter(entry, member);
    let start = found.next()? + member.len();
    if found.next().is_some() {
        return None;
    }
    let value = &entry[start..start + memchr::memchr(b'"', &entry[start..])?];
    std::str::from_utf8(value).ok().filter(|value| !value.contains('\\'))
}

/// The open intents of a log by turn, with their indexes.
#[derive(Debug, Default, Clone)]
pub struct OpenTurns {
    open: HashMap<String, u64>,
}

impl OpenTurns {
    /// Takes the next entry into account.
    pub fn note(&mut self, index: u64, entry: &[u8]) {
        if let Some((kind, turn)) = glance(entry) {
            return self.note_as(index, kind, turn);
        }
        if let Some(Head { kind, turn: Some(turn), .. }) = Head::parse(entry) {
            self.note_as(index, &kind, &turn);
        }
    }

    fn note_as(&mut self, index: u64, kind: &str, turn: &str) {
        match kind {
            "intent" => drop(self.open.insert(turn.to_owned(), index)),
            "result" => drop(self.open.remove(turn)),
            _ => {}
        }
    }

    /// The oldest open intent, or `otherwise`: nothing before it needs to be read at a start.
    pub fn oldest(&self, otherwise: u64) -> u64 {
        self.open.values().copied().min().map_or(otherwise, |oldest| oldest.min(otherwise))
    }

    /// The open intents' indexes, oldest first.
    pub fn indexes(&self) -> Vec<u64> {
        let mut indexes: Vec<u64> = self.open.values().copied().collect();
        indexes.sort_unstable();
        indexes
    }
}

/// The result entry of a turn whose process ended before its result was durable.
pub fn interrupted(intent: &Value, at_ms: i64) -> Value {
    let of = |name: &str| intent.get(name).cloned().unwrap_or(Value::Null);
    let mut result = json!({
        "v": 1, "kind": "result", "status": "interrupted", "at": at_ms,
        "turn": of("turn"), "tenant": of("tenant"), "key": of("key"), "decision": of("decision"), "asked": of("model"),
        "provider": null, "model": null, "finish": [], "usage": {"input": 0, "output": 0, "known": false},
        "output": null, "findings": [], "interventions": [], "labels": [], "notices": [],
        "attempt": null, "error": "interrupted", "ms": null,
    });
    if let Some(map) = result.as_object_mut() {
        let same = ["app", "cost", "simulated"].map(|name| (name, intent.get(name).cloned()));
        let kept = same.into_iter().chain([("budget", worst(intent))]);
        map.extend(kept.filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    result
}

/// What an intent reserved, all of it spent: nobody knows how much of it was.
fn worst(intent: &Value) -> Option<Value> {
    let settled = |line: &Value| {
        let mut line = line.as_object()?.clone();
        let reserved = line.get("reserved")?.clone();
        line.insert("spent".to_owned(), reserved);
        Some(Value::Object(line))
    };
    let budget = intent.get("budget")?.as_array()?;
    Some(budget.iter().filter_map(settled).collect())
}

#[cfg(test)]
mod tests;
