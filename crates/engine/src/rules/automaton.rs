//! A charwise double-array Aho-Corasick automaton with the live depth of every state.
//!
//! The child of state `s` over alphabet code `c` is slot `base[s] + c`, if that slot's `check` is `s`.
//! Frequent symbols get small codes, so slots fill densely.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::trie::Trie;

/// The start state.
pub const ROOT: u32 = 0;
/// `check` of a slot that no state uses, and of the root.
const FREE: u32 = u32::MAX;
/// Free slots tried for a state's children before the array is simply made longer.
const TRIES_MAX: usize = 16384;

/// Set in `base` where words end at the state; slots are counted modulo this.
const ENDS: u32 = 1 << 31;
/// Set in `live` where the depth holds only if an edge or an allow phrase agrees.
const CONDITIONAL: u16 = 1 << 15;

/// What every step reads, apart from the rest so that more of it stays in the cache.
#[derive(Debug, Clone, Copy)]
struct Edge {
    base: u32,
    check: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    fail: u32,
    /// Index into the matcher's table of completed words; 0 is none.
    ends: u32,
    live: u16,
    depth: u16,
}

const UNUSED: Edge = Edge { base: 0, check: FREE };

#[derive(Debug)]
pub struct Automaton {
    edges: Vec<Edge>,
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
        // Nodes with many children first: those with one fit into any hole that is left.
        let mut ready = BinaryHeap::from([(trie.children[0], Reverse(0))]);
        while let Some((children, Reverse(node))) = ready.pop() {
            let node = node as usize;
            let state = state_of[node];
            let first = trie.first_child[node] as usize;
            let codes = &trie.code[first..first + children as usize];
            let mut base = 0;
            if !codes.is_empty() {
                base = layout.place(codes);
                for (child, &code) in codes.iter().enumerate() {
                    let slot = slot_of(base, code);
                    layout.take(slot, state);
                    state_of[first + child] = slot;
                    ready.push((trie.children[first + child], Reverse((first + child) as u32)));
                }
            }
            let ends = if facts[node].ends == 0 { 0 } else { ENDS };
            layout.edges[state as usize].base = base | ends;
        }
        let mut states = vec![State::default(); layout.edges.len()];
        for node in 0..trie.len() {
            let conditional = if facts[node].conditional { CONDITIONAL } else { 0 };
            states[state_of[node] as usize] = State {
                fail: state_of[trie.fail[node] as usize],
                ends: facts[node].ends,
                live: facts[node].live | conditional,
                depth: trie.depth[node],
            };
        }
        layout.edges.shrink_to_fit();
        (Self { edges: layout.edges, states }, state_of)
    }

    /// The state after `code`; code 0 is every symbol outside the alphabet.
    #[inline]
    pub fn step(&self, mut state: u32, code: u32) -> u32 {
        if code == 0 {
            return ROOT;
        }
        loop {
            let slot = slot_of(self.edges[state as usize].base, code);
            if self.edges.get(slot as usize).is_some_and(|next| next.check == state) {
                return slot;
            }
            if state == ROOT {
                return ROOT;
            }
            state = self.state(state).fail;
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

    /// Whether words end at `state` or at a suffix of it.
    #[inline]
    pub fn has_ends(&self, state: u32) -> bool {
        self.edges[state as usize].base & ENDS != 0
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

#[inline]
fn slot_of(base: u32, code: u32) -> u32 {
    base.wrapping_add(code) & !ENDS
}

/// The growing array, with its free slots in a doubly linked ring through slot 0.
struct Layout {
    edges: Vec<Edge>,
    next: Vec<u32>,
    previous: Vec<u32>,
    /// Where the search for several children goes on.
    hint: u32,
}

impl Layout {
    fn new() -> Self {
        Self { edges: vec![UNUSED], next: vec![0], previous: vec![0], hint: 0 }
    }

    /// A base at which every code of `codes` (sorted) falls on a free slot.
    fn place(&mut self, codes: &[u32]) -> u32 {
        let lowest = codes[0];
        // Several children rarely fit into the holes at the front, so the search goes on where it was.
        let mut slot = if codes.len() > 1 && self.is_hole(self.hint) { self.hint } else { self.next[0] };
        for _ in 0..TRIES_MAX {
            if slot == ROOT {
                break;
            }
            let base = slot.wrapping_sub(lowest) & !ENDS;
            let fits = codes.iter().all(|&code| self.is_free(slot_of(base, code)));
            slot = self.next[slot as usize];
            if codes.len() > 1 {
                self.hint = slot;
            }
            if fits {
                return base;
            }
        }
        (self.edges.len() as u32).wrapping_sub(lowest) & !ENDS
    }

    fn is_hole(&self, slot: u32) -> bool {
        slot != ROOT && self.edges.get(slot as usize).is_some_and(|edge| edge.check == FREE)
    }

    /// Slots beyond the end are free: they come into being when taken.
    fn is_free(&self, slot: u32) -> bool {
        slot != ROOT && self.edges.get(slot as usize).is_none_or(|edge| edge.check == FREE)
    }

    fn take(&mut self, slot: u32, parent: u32) {
        while self.edges.len() <= slot as usize {
            let fresh = self.edges.len() as u32;
            let last = self.previous[0];
            self.edges.push(UNUSED);
            self.next.push(0);
            self.previous.push(last);
            self.next[last as usize] = fresh;
            self.previous[0] = fresh;
        }
        let (before, after) = (self.previous[slot as usize], self.next[slot as usize]);
        self.next[before as usize] = after;
        self.previous[after as usize] = before;
        self.edges[slot as usize].check = parent;
    }
}
