//! The fields of each route, with type and range, after OpenAI's published API description (2026). What is not here
//! or in the provider's pack is refused by name, so that nothing goes to a provider unread.

use super::Route;

/// What to do with a field that no table lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    #[default]
    Reject,
    /// Its strings are scanned like all others.
    Pass,
}

/// What a provider's pack adds to the route's own fields.
#[derive(Debug, Clone, Default)]
pub struct FieldTable {
    /// Further names that the provider takes, at the top level or in a message.
    pub extra: Vec<String>,
    pub unknown: Unknown,
    /// Fields and tool types of the vendor's own search, storage and remote tools that the operator granted.
    pub grants: Vec<String>,
    /// A turn of a conversation: `parent` is taken, and `messages` is one new message of a user, answered once.
    pub stored: bool,
}

impl FieldTable {
    pub(super) fn lists(&self, name: &str) -> bool {
        self.extra.iter().any(|extra| extra == name)
    }

    pub(super) fn takes(&self, name: &str) -> bool {
        self.unknown == Unknown::Pass || self.lists(name)
    }

    pub(super) fn grants(&self, name: &str) -> bool {
        self.grants.iter().any(|grant| grant == name)
    }
}

/// How a field's value is checked. `null` stands for "not given" everywhere but in `Model`, `Messages`, `Prompt`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Check {
    Number(f64, f64),
    Integer(i64, i64),
    Bool,
    /// Free text.
    Text,
    /// One of a closed list.
    OneOf(&'static [&'static str]),
    /// A short word whose list grows with each model; scanned like text.
    Word,
    Model,
    Stream,
    N,
    /// The most tokens of an answer, from this number on.
    Output(i64),
    BestOf,
    Messages,
    Prompt,
    Tools,
    Functions,
    ToolChoice,
    ResponseFormat,
    StreamOptions,
    Stop,
    Modalities,
    /// Spoken answers.
    Audio,
    /// How fast and how dear.
    Tier,
    Metadata,
    LogitBias,
    /// Any value; all its strings are scanned.
    Any,
    /// The vendor keeps the conversation; `false` is always allowed.
    Store,
    /// Needs a grant whatever its value.
    Grant,
    /// `in_memory` is free, anything longer is the vendor's storage.
    Retention,
}

/// Tiers of service; those from `ORDINARY_TIERS` on have prices of their own.
pub(super) const TIERS: &[&str] = &["auto", "default", "flex", "scale", "priority"];
pub(super) const ORDINARY_TIERS: usize = 2;

/// Tokens that a request may ask for.
pub(super) const BIG: i64 = 10_000_000;

const CHAT: &[(&str, Check)] = &[
    ("audio", Check::Audio),
    ("frequency_penalty", Check::Number(-2.0, 2.0)),
    ("function_call", Check::ToolChoice),
    ("functions", Check::Functions),
    ("logit_bias", Check::LogitBias),
    ("logprobs", Check::Bool),
    ("max_completion_tokens", Check::Output(1)),
    ("max_tokens", Check::Output(1)),
    ("messages", Check::Messages),
    ("metadata", Check::Metadata),
    ("modalities", Check::Modalities),
    ("model", Check::Model),
    ("moderation", Check::Any),
    ("n", Check::N),
    ("parallel_tool_calls", Check::Bool),
    ("prediction", Check::Any),
    ("presence_penalty", Check::Number(-2.0, 2.0)),
    ("prompt_cache_key", Check::Text),
    ("prompt_cache_retention", Check::Retention),
    ("reasoning_effort", Check::Word),
    ("response_format", Check::ResponseFormat),
    ("safety_identifier", Check::Text),
    ("seed", Check::Integer(i64::MIN, i64::MAX)),
    ("service_tier", Check::Tier),
    ("stop", Check::Stop),
    ("store", Check::Store),
    ("stream", Check::Stream),
    ("stream_options", Check::StreamOptions),
    ("temperature", Check::Number(0.0, 2.0)),
    ("tool_choice", Check::ToolChoice),
    ("tools", Check::Tools),
    ("top_logprobs", Check::Integer(0, 20)),
    ("top_p", Check::Number(0.0, 1.0)),
    ("user", Check::Text),
    ("verbosity", Check::OneOf(&["low", "medium", "high"])),
    ("web_search_options", Check::Grant),
];

const COMPLETIONS: &[(&str, Check)] = &[
    ("best_of", Check::BestOf),
    ("echo", Check::Bool),
    ("frequency_penalty", Check::Number(-2.0, 2.0)),
    ("logit_bias", Check::LogitBias),
    ("logprobs", Check::Integer(0, 5)),
    ("max_tokens", Check::Output(0)),
    ("model", Check::Model),
    ("n", Check::N),
    ("presence_penalty", Check::Number(-2.0, 2.0)),
    ("prompt", Check::Prompt),
    ("seed", Check::Integer(i64::MIN, i64::MAX)),
    ("stop", Check::Stop),
    ("stream", Check::Stream),
    ("stream_options", Check::StreamOptions),
    ("suffix", Check::Text),
    ("temperature", Check::Number(0.0, 2.0)),
    ("top_p", Check::Number(0.0, 1.0)),
    ("user", Check::Text),
];

pub(super) fn table(route: Route) -> &'static [(&'static str, Check)] {
    match route {
        Route::Chat => CHAT,
        Route::Completions => COMPLETIONS,
    }
}

pub(super) fn check(route: Route, name: &str) -> Option<Check> {
    table(route).iter().find(|(known, _)| *known == name).map(|(_, check)| *check)
}

/// The known name that a typing error most likely meant.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const NEAR: usize = 3;
    if name.len() > 64 {
        return None;
    }
    let near = |known: &&str| distance(name, known);
    known
        .map(|known| (near(&known), known))
        .filter(|(d, known)| *d <= NEAR && *d < known.len())
        .min()
        .map(|(_, k)| k)
}

/// Levenshtein distance in bytes; both are short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
