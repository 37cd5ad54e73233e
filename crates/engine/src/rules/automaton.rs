//! A charwise double-array Aho-Corasick automaton with the live depth of every state.
//!
//! The child of state `s` over alphabet code `c` is slot `base[s] + c`, if that slot's `check` is `s`.
//! Frequent symbols get small codes, so slots fill densely.

use super::trie::Trie;

/// The start state.
pub const ROOT: u32 = 0;
/// `check` of a slot that no state uses, and of the root.
const FREE: u32 = u32::MAX;
/// Free slots tried for a state's children before the array is simply made longer.
const TRIES_MAX: usize = 64;

/// Set in `live` where the depth holds only if an edge or an allow phrase agrees.
const CONDITIONAL: u16 = 1 << 15;

#[derive(Debug, Clone, Copy)]
struct State {
    base: u32,
    check: u32,
    fail: u32,
    /// Index into the matcher's table of completed words; 0 is none.
    ends: u32,
    live: u16,
    depth: u16,
}

const UNUSED: State = State { base: 0, check: FREE, fail: ROOT, ends: 0, live: 0, depth: 0 };

#[derive(Debug)]
pub struct Automaton {
    states: Vec<State>,
}

/// What the automaton is told of each trie node.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeFacts {
    pub ends: u32,
    pub live: u16,
    pub conditional: bool,
}

impl Automaton {
    /// Lays `trie` out; the second value gives the state of each trie node.
    pub fn build(trie: &Trie, facts: &[NodeFacts]) -> (Self, Vec<u32>) {
        let mut layout = Layout::new();
        let mut state_of = vec![ROOT; trie.len()];
        for node in 0..trie.len() {
            let state = state_of[node];
            let first = trie.first_child[node] as usize;
            let codes = &trie.code[first..first + trie.children[node] as usize];
            if !codes.is_empty() {
                let base = layout.place(codes);
                layout.states[state as usize].base = base;
                for (child, &code) in codes.iter().enumerate() {
                    let slot = base.wrapping_add(code);
                    layout.take(slot, state);
                    state_of[first + child] = slot;
                }
            }
            let entry = &mut layout.states[state as usize];
            entry.ends = facts[node].ends;
            entry.depth = trie.depth[node];
            entry.live = facts[node].live | if facts[node].conditional { CONDITIONAL } else { 0 };
        }
        for node in 0..trie.len() {
            layout.states[state_of[node] as usize].fail = state_of[trie.fail[node] as usize];
        }
        layout.states.shrink_to_fit();
        (Self { states: layout.states }, state_of)
    }

    /// The state after `code`; code 0 is every symbol outside the alphabet.
    #[inline]
    pub fn step(&self, mut state: u32, code: u32) -> u32 {
        if code == 0 {
            return ROOT;
        }
        loop {
            let here = self.state(state);
            let slot = here.base.wrapping_add(code);
            if self.states.get(slot as usize).is_some_and(|next| next.check == state) {
                return slot;
            }
            if state == ROOT {
                return ROOT;
            }
            state = here.fail;
        }
    }

    #[inline]
    fn state(&self, state: u32) -> &State {
        &self.states[state as usize]
    }

    #[inline]
    pub fn fail(&self, state: u32) -> u32 {
        self.state(state).fail
    }

    #[inline]
    pub fn depth(&self, state: u32) -> usize {
        usize::from(self.state(state).depth)
    }

    #[inline]
    pub fn ends(&self, state: u32) -> u32 {
        self.state(state).ends
    }

    /// Symbols of the longest suffix that a deny word may still extend, and whether that is certain.
    #[inline]
    pub fn live(&self, state: u32) -> (usize, bool) {
        let live = self.state(state).live;
        (usize::from(live & !CONDITIONAL), live & CONDITIONAL == 0)
    }
}

/// The growing array, with its free slots in a doubly linked ring through slot 0.
struct Layout {
    states: Vec<State>,
    next: Vec<u32>,
    previous: Vec<u32>,
}

impl Layout {
    fn new() -> Self {
        Self { states: vec![UNUSED], next: vec![0], previous: vec![0] }
    }

    /// A base at which every code of `codes` (sorted) falls on a free slot.
    fn place(&mut self, codes: &[u32]) -> u32 {
        let lowest = codes[0];
        let mut slot = self.previous[0];
        for _ in 0..TRIES_MAX {
            if slot == 0 {
                break;
            }
            let base = slot.wrapping_sub(lowest);
            if codes.iter().all(|&code| self.is_free(base.wrapping_add(code))) {
                return base;
            }
            slot = self.previous[slot as usize];
        }
        (self.states.len() as u32).wrapping_sub(lowest)
    }

    /// Slots beyond the end are free: they come into being when taken.
    fn is_free(&self, slot: u32) -> bool {
        slot != ROOT && self.states.get(slot as usize).is_none_or(|state| state.check == FREE)
    }

    fn take(&mut self, slot: u32, parent: u32) {
        while self.states.len() <= slot as usize {
            let fresh = self.states.len() as u32;
            let last = self.previous[0];
            self.states.push(UNUSED);
            self.next.push(0);
            self.previous.push(last);
            self.next[last as usize] = fresh;
            self.previous[0] = fresh;
        }
        let (before, after) = (self.previous[slot as usize], self.next[slot as usize]);
        self.next[before as usize] = after;
        self.previous[after as usize] = before;
        self.states[slot as usize].check = parent;
    }
}
