//! One intervention as its user is told of it: what was done and where, the rule with its words and source, where
//! the reasons are and where one appeals. The members are public API (`docs/interventions.md`).

use super::spec::InterventionRecord;
use crate::rules::RuleSet;
use crate::stream::json::encode;

/// Addresses to which an intervention's id is appended, e.g. `/v1/interventions/` and `/appeal/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    pub reasons: String,
    pub appeal: String,
}

/// Interventions as JSON objects with commas between. `rules` is the set that made them.
pub fn told(rules: &RuleSet, links: &Links, records: &[InterventionRecord]) -> String {
    let mut out = Vec::new();
    for (at, record) in records.iter().enumerate() {
        comma(at, &mut out);
        one(rules, links, record, &mut out);
    }
    String::from_utf8(out).unwrap_or_default()
}

fn one(rules: &RuleSet, links: &Links, record: &InterventionRecord, out: &mut Vec<u8>) {
    fields(
        &[
            ("id", &record.id),
            ("origin", record.origin.as_str()),
            ("action", record.action),
            ("lane", &record.lane),
            ("url", &format!("{}{}", links.reasons, record.id)),
            ("appeal", &format!("{}{}", links.appeal, record.id)),
        ],
        out,
    );
    let optional = [("rule", &record.rule), ("version", &record.set), ("reason_code", &record.reason_code)];
    for (name, value) in optional {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        or_null(value.as_deref(), out);
    }
    let meta = record.rule.as_deref().and_then(|id| rules.named(id));
    out.extend_from_slice(b",\"message\":");
    match meta.and_then(|meta| meta.message.as_ref()) {
        Some(text) => {
            fields(&[("en", &text.en), ("zh", &text.zh)], out);
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"source\":");
    match meta.and_then(|meta| meta.source.as_ref()) {
        Some(source) => {
            fields(&[("title", &source.title)], out);
            out.extend_from_slice(b",\"url\":");
            or_null(source.url.as_deref(), out);
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
    if record.n > 1 {
        out.extend_from_slice(format!(",\"n\":{}", record.n).as_bytes());
    }
    out.extend_from_slice(format!(",\"offset\":{},\"length\":{}}}", record.offset, record.length).as_bytes());
}

fn or_null(value: Option<&str>, out: &mut Vec<u8>) {
    match value {
        Some(value) => string(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// `{"a":"b","c":"d"`, to be closed by the caller.
pub(super) fn fields(pairs: &[(&str, &str)], out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (name, value)) in pairs.iter().enumerate() {
        comma(at, out);
        string(name, out);
        out.push(b':');
        string(value, out);
    }
}

pub(super) fn comma(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}

/// Appends a whole JSON string.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    encode(text, out);
    out.push(b'"');
}
