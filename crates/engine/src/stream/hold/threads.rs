//! Live threads: which suffixes of the text may still become matches, and which of them count.
use super::source::{Origins, Place};
use super::spans::Match;
use crate::rules::{Matcher, RuleSet};

/// The automaton's state after the text read, with where its symbols came from.
pub struct Threads<'a> {
    pub rules: &'a RuleSet,
    pub matcher: &'a Matcher,
    pub state: u32,
    pub origins: &'a Origins,
}

impl Threads<'_> {
    /// The earliest start of a live deny thread that some completion would not be allowed.
    pub fn earliest_deny(&self) -> Option<Place> {
        let automaton = self.matcher.automaton();
        let (depth, certain) = automaton.live(self.state);
        if depth == 0 || certain {
            return (depth > 0).then(|| self.origins.back(depth).start);
        }
        for state in self.matcher.suffixes(self.state) {
            let (live, certain) = automaton.live(state);
            if live == 0 {
                return None;
            }
            if live == automaton.depth(state) && (certain || self.is_viable(state)) {
                return Some(self.origins.back(live).start);
            }
        }
        None
    }

    /// Whether a deny word below `state` can be completed into a match that is not allowed.
    fn is_viable(&self, state: u32) -> bool {
        let depth = self.matcher.automaton().depth(state);
        let origin = self.origins.back(depth);
        let below = self.matcher.cover().below(state);
        if below.always || (below.after_edge && origin.left) {
            return true;
        }
        self.matcher.cover().covered(state).iter().any(|&pattern| {
            let word = self.matcher.pattern(pattern);
            let missing = word.length - depth as u16;
            (!word.left || origin.left) && !self.is_covered(pattern, missing, origin.start)
        })
    }

    /// Whether a live allow thread from `start` or before completes with the same symbols as `pattern`.
    fn is_covered(&self, pattern: u32, missing: u16, start: Place) -> bool {
        self.matcher.suffixes(self.state).any(|state| {
            let covers = self.matcher.cover().covers(state, pattern, missing);
            covers.is_some_and(|free| {
                let origin = self.origins.back(self.matcher.automaton().depth(state));
                origin.start <= start && (free || origin.left)
            })
        })
    }

    /// Whether a live allow thread that exempts its rule started at `found` or before.
    pub fn may_be_allowed(&self, found: &Match) -> bool {
        self.matcher.suffixes(self.state).any(|state| {
            let allows = self.matcher.cover().allows(state);
            if allows.is_empty() {
                return false;
            }
            let origin = self.origins.back(self.matcher.automaton().depth(state));
            origin.start <= found.start
                && allows
                    .iter()
                    .any(|allow| (!allow.left || origin.left) && self.rules.exempts(allow.rule, found.rule))
        })
    }

    /// The start of the longest live thread of any kind; `read` if there is none.
    pub fn earliest(&self, read: Place) -> Place {
        match self.matcher.automaton().depth(self.state) {
            0 => read,
            depth => self.origins.back(depth).start,
        }
    }
}
