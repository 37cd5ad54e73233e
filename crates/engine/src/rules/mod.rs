//! Rule sets, compiled once and shared: the matcher of each direction, and what users are told.
//! On the path before any text is scanned; a set is immutable and knows nothing of streams.

mod alphabet;
mod automaton;
mod compile;
mod cover;
mod error;
mod matcher;
mod source;
#[cfg(test)]
mod tests;
mod trie;

use std::sync::{Arc, OnceLock};

pub use compile::Limits;
pub use error::{Problem, RuleError};
pub(crate) use matcher::Matcher;
pub use source::{Action, Direction, Edges, Granularity, Locale, Origin, RuleSetSource, RuleSource, Text};

/// A compiled rule set. Rules are numbered in the order of their ids.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<RuleMeta>,
    /// One per direction, none where no rule of the set looks that way.
    matchers: [Option<Arc<Matcher>>; 2],
    /// By rule number, the numbers of the rules it exempts, sorted.
    exempts: Vec<Vec<u32>>,
    lane_max: usize,
}

/// What is known of a rule besides its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleMeta {
    pub id: String,
    pub action: Action,
    pub granularity: Granularity,
    pub direction: Vec<Direction>,
    pub edges: Edges,
    pub message: Option<Text>,
    pub placeholder: Option<Text>,
    pub source: Option<Origin>,
    pub reason_code: Option<String>,
}

impl RuleSet {
    /// The set without rules: everything passes.
    pub fn empty() -> Arc<Self> {
        static EMPTY: OnceLock<Arc<RuleSet>> = OnceLock::new();
        let empty =
            || Arc::new(Self { rules: Vec::new(), matchers: [None, None], exempts: Vec::new(), lane_max: 0 });
        Arc::clone(EMPTY.get_or_init(empty))
    }

    /// The rule of this id.
    pub fn named(&self, id: &str) -> Option<&RuleMeta> {
        let at = self.rules.binary_search_by(|rule| rule.id.as_str().cmp(id)).ok()?;
        self.rules.get(at)
    }

    /// The rule with number `rule`, as a finding names it.
    pub fn rule(&self, rule: u32) -> &RuleMeta {
        &self.rules[rule as usize]
    }

    pub fn rules(&self) -> &[RuleMeta] {
        &self.rules
    }

    /// Whether any rule looks at texts of this direction: false means they pass untouched and unread.
    pub fn is_active(&self, direction: Direction) -> bool {
        self.matcher(direction).is_some()
    }

    /// Whether an answer has to be buffered whole, because a refusal would take all of it back.
    pub fn answer_granularity(&self) -> bool {
        self.rules.iter().any(|rule| {
            rule.action == Action::Refuse
                && rule.granularity == Granularity::Answer
                && rule.direction.contains(&Direction::Out)
        })
    }

    pub(crate) fn matcher(&self, direction: Direction) -> Option<&Arc<Matcher>> {
        self.matchers[direction as usize].as_ref()
    }

    /// Whether rule `allow` takes away hits of rule `deny`.
    pub(crate) fn exempts(&self, allow: u32, deny: u32) -> bool {
        self.exempts[allow as usize].binary_search(&deny).is_ok()
    }

    /// Code points a lane may hold at run time before it gives up.
    pub(crate) fn lane_max(&self) -> usize {
        self.lane_max
    }
}
