//! The compiled words of one direction: from code points to completed words and live threads.
use super::Action;
use super::alphabet::{Alphabet, CodePoint};
use super::automaton::{Automaton, ROOT};
use super::cover::Cover;

/// One word of one rule.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    pub rule: u32,
    /// Symbols.
    pub length: u16,
    pub action: Action,
    pub left: bool,
    pub right: bool,
}

impl Pattern {
    pub fn is_allow(&self) -> bool {
        self.action == Action::Allow
    }
}

/// The words that end at a state, and where to go on for those that end at its suffixes.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    pub from: u32,
    pub to: u32,
    /// Index of the entry of the longest suffix with words of its own; 0 is none.
    pub next: u32,
}

/// Everything of one direction that a lane reads while it scans.
#[derive(Debug)]
pub struct Matcher {
    pub(super) alphabet: Alphabet,
    pub(super) automaton: Automaton,
    pub(super) patterns: Vec<Pattern>,
    pub(super) ends: Vec<Ends>,
    /// Numbers of patterns, grouped by the node they end at.
    pub(super) ended: Vec<u32>,
    pub(super) cover: Cover,
}

impl Matcher {
    #[inline]
    pub fn point(&self, c: char) -> CodePoint {
        self.alphabet.point(c)
    }

    pub fn code(&self, symbol: u32) -> u32 {
        self.alphabet.code(symbol)
    }

    #[inline]
    pub fn automaton(&self) -> &Automaton {
        &self.automaton
    }

    /// All words that end at `state`, those of its suffixes included.
    pub fn completed(&self, state: u32) -> impl Iterator<Item = &Pattern> {
        let mut entry = self.automaton.ends(state);
        std::iter::from_fn(move || {
            let ends = self.ends[entry as usize];
            let patterns = &self.ended[ends.from as usize..ends.to as usize];
            (entry != 0).then(|| {
                entry = ends.next;
                patterns
            })
        })
        .flatten()
        .map(|&pattern| &self.patterns[pattern as usize])
    }

    /// `state` and its suffixes, the deepest first, without the start state.
    pub fn suffixes(&self, state: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(state), |&state| Some(self.automaton.fail(state)))
            .take_while(|&state| state != ROOT)
    }

    pub fn cover(&self) -> &Cover {
        &self.cover
    }

    pub fn pattern(&self, pattern: u32) -> &Pattern {
        &self.patterns[pattern as usize]
    }
}
