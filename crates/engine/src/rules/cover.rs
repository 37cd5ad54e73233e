//! What allow phrases and left edges change about a live thread: the side tables of the slow path.
//!
//! A deny thread holds text only while some way to complete it would not be allowed. The tables say,
//! for a node of the trie, which of its words that depends on, and which allow thread would allow it.
use std::collections::{HashMap, HashSet};

use super::matcher::Pattern;
use super::trie::Trie;

/// How the deny words below a node hold text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Below {
    /// Some word holds whatever stands before it.
    pub always: bool,
    /// Some word that no allow phrase can cover holds if its left edge does.
    pub after_edge: bool,
    /// Some word depends on allow phrases.
    pub covered: bool,
}

impl Below {
    pub fn any(self) -> bool {
        self.always || self.after_edge || self.covered
    }

    fn join(&mut self, other: Self) {
        self.always |= other.always;
        self.after_edge |= other.after_edge;
        self.covered |= other.covered;
    }
}

/// An allow rule with words below a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AllowBelow {
    pub rule: u32,
    pub left: bool,
}

#[derive(Debug, Default)]
pub struct Cover {
    /// By state, where it is not plainly `always`.
    below: HashMap<u32, Below>,
    /// Deny patterns below a state that allow phrases may cover.
    covered: HashMap<u32, Vec<u32>>,
    /// (state of an allow thread, deny pattern, symbols missing) → the thread counts without a left edge.
    covers: HashMap<(u32, u32, u16), bool>,
    /// Allow rules with words below a state.
    allows: HashMap<u32, Vec<AllowBelow>>,
}

impl Cover {
    pub fn below(&self, state: u32) -> Below {
        self.below.get(&state).copied().unwrap_or_default()
    }

    pub fn covered(&self, state: u32) -> &[u32] {
        self.covered.get(&state).map_or(&[], Vec::as_slice)
    }

    /// Whether an allow thread at `state` completes with the last `missing` symbols of `pattern`:
    /// `Some(true)` also where its left neighbour is a letter or digit.
    pub fn covers(&self, state: u32, pattern: u32, missing: u16) -> Option<bool> {
        self.covers.get(&(state, pattern, missing)).copied()
    }

    pub fn allows(&self, state: u32) -> &[AllowBelow] {
        self.allows.get(&state).map_or(&[], Vec::as_slice)
    }
}

/// The words of a direction with what compilation knows of them; indices are pattern numbers.
pub struct Words<'a> {
    pub patterns: &'a [Pattern],
    /// Index into `spelled` of each pattern.
    pub word_of: &'a [u32],
    pub spelled: &'a [Vec<u32>],
    /// Whether the first rule, an allow, exempts the second.
    pub exempts: &'a dyn Fn(u32, u32) -> bool,
}

impl Words<'_> {
    fn word(&self, pattern: u32) -> &[u32] {
        &self.spelled[self.word_of[pattern as usize] as usize]
    }

    /// Pairs (deny, allow) of which one ends in the other and the allow can exempt the deny. Shorter
    /// allow words count: inside one code point they may start at the same source offset.
    fn pairs(&self) -> Vec<(u32, u32)> {
        let allows: Vec<u32> =
            (0..).zip(self.patterns).filter(|(_, p)| p.is_allow()).map(|(i, _)| i).collect();
        let mut pairs = HashSet::new();
        if allows.is_empty() {
            return Vec::new();
        }
        let mut denies: HashMap<&[u32], Vec<u32>> = HashMap::new();
        let mut allowed: HashMap<&[u32], Vec<u32>> = HashMap::new();
        for &allow in &allows {
            allowed.entry(self.word(allow)).or_default().push(allow);
        }
        for deny in (0..self.patterns.len() as u32).filter(|&p| self.patterns[p as usize].action.is_deny()) {
            let word = self.word(deny);
            denies.entry(word).or_default().push(deny);
            for start in 0..word.len() {
                for &allow in allowed.get(&word[start..]).into_iter().flatten() {
                    pairs.insert((deny, allow));
                }
            }
        }
        for &allow in &allows {
            let word = self.word(allow);
            for start in 0..word.len() {
                for &deny in denies.get(&word[start..]).into_iter().flatten() {
                    pairs.insert((deny, allow));
                }
            }
        }
        let mut pairs: Vec<_> =
            pairs.into_iter().filter(|&(deny, allow)| self.can_cover(deny, allow)).collect();
        pairs.sort_unstable();
        pairs
    }

    /// An allow with a right edge counts only if the deny has one.
    fn can_cover(&self, deny: u32, allow: u32) -> bool {
        let (deny, allow) = (self.patterns[deny as usize], self.patterns[allow as usize]);
        (self.exempts)(allow.rule, deny.rule) && (!allow.right || deny.right)
    }
}

/// Nodes a word passes before its end, root excluded, with the symbols still missing there.
fn passed(trie: &Trie, end: u32) -> impl Iterator<Item = (u32, u16)> {
    let up = move |&(node, missing): &(u32, u16)| Some((trie.parent[node as usize], missing + 1));
    std::iter::successors(Some((end, 0)), up).skip(1).take_while(|&(node, _)| node != 0)
}

/// The tables by trie node, and what each node's deny words are; `states` renames nodes at the end.
pub fn build(trie: &Trie, words: &Words<'_>) -> (Cover, Vec<Below>) {
    let mut cover = Cover::default();
    let mut below = vec![Below::default(); trie.len()];
    let end_of = |pattern: u32| trie.ends[words.word_of[pattern as usize] as usize];
    let pairs = words.pairs();
    let dependent: HashSet<u32> = pairs.iter().map(|&(deny, _)| deny).collect();
    for (number, pattern) in (0..).zip(words.patterns) {
        if pattern.is_allow() {
            let allow = AllowBelow { rule: pattern.rule, left: pattern.left };
            for (node, _) in passed(trie, end_of(number)) {
                let allows = cover.allows.entry(node).or_default();
                if !allows.contains(&allow) {
                    allows.push(allow);
                }
            }
        } else if pattern.action.is_deny() {
            let covered = dependent.contains(&number);
            let kind =
                Below { always: !covered && !pattern.left, after_edge: !covered && pattern.left, covered };
            for (node, _) in passed(trie, end_of(number)) {
                below[node as usize].join(kind);
                if covered {
                    cover.covered.entry(node).or_default().push(number);
                }
            }
        }
    }
    for (deny, allow) in pairs {
        let free = !words.patterns[allow as usize].left;
        for (node, missing) in passed(trie, end_of(allow)) {
            *cover.covers.entry((node, deny, missing)).or_default() |= free;
        }
    }
    (cover, below)
}

impl Cover {
    /// Renames trie nodes to automaton states.
    pub fn renamed(self, state_of: &[u32], below: &[Below]) -> Self {
        let name = |node: u32| state_of[node as usize];
        let special = |facts: &Below| facts.any() && !facts.always;
        Self {
            below: (0..).zip(below).filter(|(_, f)| special(f)).map(|(n, &f)| (name(n), f)).collect(),
            covered: self.covered.into_iter().map(|(n, v)| (name(n), v)).collect(),
            covers: self.covers.into_iter().map(|((n, p, m), free)| ((name(n), p, m), free)).collect(),
            allows: self.allows.into_iter().map(|(n, v)| (name(n), v)).collect(),
        }
    }
}
