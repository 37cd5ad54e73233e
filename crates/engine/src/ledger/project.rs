//! What a batch of entries means for the database: counts and sums, so that control pays once per batch.
use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

const DAY_MS: i64 = 86_400_000;

/// Who used what on which day, with what outcome: the key of a usage row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct UsageKey {
    /// Whose turn.
    pub tenant: String,
    /// Which credential; empty if none.
    pub key: String,
    /// Which app; empty if none.
    pub app: String,
    /// The model asked for.
    pub asked: String,
    /// Who answered; empty if nobody did.
    pub provider: String,
    /// The model that answered; empty if none did.
    pub model: String,
    /// Days since 1970-01-01 UTC.
    pub day: i64,
    /// `finished | refused | denied | failed | cancelled | interrupted`.
    pub status: String,
    /// The currency of the cost; empty where none is known.
    pub currency: String,
}

/// The sums of a usage row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Turns.
    pub turns: u64,
    /// Input tokens of turns whose usage is known.
    pub input: u64,
    /// Of those, tokens that the provider had cached.
    pub cached: u64,
    /// Output tokens of those.
    pub output: u64,
    /// Turns whose usage is not known.
    pub unknown: u64,
    /// Millionths of the currency's unit.
    pub spend: u64,
    /// Turns that a provider was called for and whose cost is not known.
    pub unpriced: u64,
}

/// What a result spent of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spend {
    /// Whose turn.
    pub tenant: String,
    /// `<limit>:<window>:<thing>`.
    pub bucket: String,
    /// Of the result.
    pub index: u64,
    /// In the limit's unit.
    pub amount: u64,
    /// It is more than the turn had reserved: the provider went beyond what it was asked for.
    pub over: bool,
}

/// A log that announces itself in its first entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedLog {
    /// `log_...`.
    pub log: String,
    /// Its verifier key.
    pub key: String,
    /// Its checkpoint origin.
    pub origin: String,
    /// When, ms UTC.
    pub at: i64,
}

/// The sums of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Entries in the batch.
    pub entries: u64,
    /// Entries by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Usage, simulated turns left out.
    pub usage: BTreeMap<UsageKey, Usage>,
    /// What results spent of buckets, simulated turns too, in the order of the entries.
    pub spends: Vec<Spend>,
    /// Results of simulated turns.
    pub simulated: u64,
    /// (intervention, turn, index of the result that names it).
    pub interventions: Vec<(String, String, u64)>,
    /// Turns that ended as interrupted.
    pub interrupted: Vec<String>,
    /// Logs that begin in this batch.
    pub opened: Vec<OpenedLog>,
}

/// The line (from 0) that is not an entry, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchError {
    /// From 0.
    pub line: u64,
    /// What the parser says.
    pub why: String,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    turn: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tenant: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    app: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    asked: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    provider: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    log: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    origin: Option<Cow<'a, str>>,
    #[serde(default)]
    at: i64,
    #[serde(default)]
    simulated: bool,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(borrow, default)]
    interventions: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    cost: Option<Cost<'a>>,
    #[serde(borrow, default)]
    budget: Vec<Taken<'a>>,
}

#[derive(Deserialize, Default)]
struct Tokens {
    input: u64,
    #[serde(default)]
    cached: u64,
    output: u64,
    known: bool,
}

#[derive(Deserialize)]
struct Cost<'a> {
    amount: u64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Taken<'a> {
    #[serde(borrow)]
    bucket: Cow<'a, str>,
    reserved: u64,
    /// Of a result only.
    #[serde(default)]
    spent: u64,
}

fn owned(text: Option<&Cow<'_, str>>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// Sums up entries, one per line, of which the first has index `first`.
pub fn project(lines: &[u8], first: u64) -> Result<Batch, BatchError> {
    let mut batch = Batch::default();
    for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let parsed: Line<'_> = serde_json::from_slice(line)
            .map_err(|e| BatchError { line: batch.entries, why: e.to_string() })?;
        let index = first + batch.entries;
        match (&*parsed.kind, parsed.event.as_deref()) {
            ("result", _) => batch.take_result(&parsed, index),
            ("registry", Some("log_opened")) => batch.opened.push(OpenedLog {
                log: owned(parsed.log.as_ref()),
                key: owned(parsed.key.as_ref()),
                origin: owned(parsed.origin.as_ref()),
                at: parsed.at,
            }),
            _ => {}
        }
        match batch.kinds.get_mut(&*parsed.kind) {
            Some(count) => *count += 1,
            None => drop(batch.kinds.insert(parsed.kind.into_owned(), 1)),
        }
        batch.entries += 1;
    }
    Ok(batch)
}

impl Batch {
    fn take_result(&mut self, line: &Line<'_>, index: u64) {
        let turn = line.turn.as_deref().unwrap_or_default();
        for id in &line.interventions {
            self.interventions.push((id.to_string(), turn.to_owned(), index));
        }
        if line.status.as_deref() == Some("interrupted") {
            self.interrupted.push(turn.to_owned());
        }
        for taken in &line.budget {
            self.spends.push(Spend {
                tenant: owned(line.tenant.as_ref()),
                bucket: taken.bucket.to_string(),
                index,
                amount: taken.spent,
                over: taken.spent > taken.reserved,
            });
        }
        if line.simulated {
            self.simulated += 1;
            return;
        }
        let cost = line.cost.as_ref();
        let key = UsageKey {
            tenant: owned(line.tenant.as_ref()),
            key: owned(line.key.as_ref()),
            app: owned(line.app.as_ref()),
            asked: owned(line.asked.as_ref()),
            provider: owned(line.provider.as_ref()),
            model: owned(line.model.as_ref()),
            day: line.at.div_euclid(DAY_MS),
            status: owned(line.status.as_ref()),
            currency: owned(cost.map(|cost| &cost.currency)),
        };
        let row = self.usage.entry(key).or_default();
        row.turns += 1;
        match &line.usage {
            Some(tokens) if tokens.known => {
                row.input = row.input.saturating_add(tokens.input);
                row.cached = row.cached.saturating_add(tokens.cached);
                row.output = row.output.saturating_add(tokens.output);
            }
            _ => row.unknown += 1,
        }
        match cost {
            Some(cost) => row.spend = row.spend.saturating_add(cost.amount),
            None => row.unpriced += u64::from(line.provider.is_some()),
        }
    }
}

#[cfg(test)]
mod tests;
