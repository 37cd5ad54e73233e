//! Rule sets as control serves them: the exact document of `GET /rulesets/{digest}` (docs/wire.md).
use serde::Deserialize;

/// Version of the document this build reads.
pub const VERSION: u32 = 1;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSetSource {
    pub v: u32,
    pub rules: Vec<RuleSource>,
}

/// One rule. Words are as the operator wrote them; they are normalised through the rule's view.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSource {
    pub id: String,
    pub words: Vec<String>,
    #[serde(default = "view_a")]
    pub view: String,
    pub direction: Vec<Direction>,
    pub action: Action,
    #[serde(default)]
    pub granularity: Granularity,
    #[serde(default)]
    pub edges: Edges,
    /// Ids of the rules an `allow` exempts; empty for every other action.
    #[serde(default)]
    pub exempts: Vec<String>,
    #[serde(default)]
    pub message: Option<Text>,
    #[serde(default)]
    pub placeholder: Option<Text>,
    #[serde(default)]
    pub source: Option<Origin>,
    #[serde(default)]
    pub reason_code: Option<String>,
}

fn view_a() -> String {
    "A".to_owned()
}

/// Which way a text goes: to a provider, or to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    In,
    Out,
}

/// What a hit does. Redact and refuse are the deny actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Redact,
    Refuse,
    Flag,
    Allow,
}

impl Action {
    pub const fn is_deny(self) -> bool {
        matches!(self, Self::Redact | Self::Refuse)
    }
}

/// How much of an answer a refusal takes back: what is held, or all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    #[default]
    Span,
    Answer,
}

/// Sides of a match that must not touch an ASCII letter or digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edges {
    pub left: bool,
    pub right: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locale {
    En,
    Zh,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub en: String,
    pub zh: String,
}

impl Text {
    pub fn get(&self, locale: Locale) -> &str {
        match locale {
            Locale::En => &self.en,
            Locale::Zh => &self.zh,
        }
    }
}

/// Where a rule comes from, as the user is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    pub title: String,
    pub url: Option<String>,
}
