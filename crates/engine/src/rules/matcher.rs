//! The compiled words of one direction: from code points to completed words and live threads.
use std::collections::HashMap;

use super::Action;
use super::automaton::{Automaton, ROOT};
use super::cover::Cover;
use crate::text::{BaseClass, Fold, each_special, is_word_symbol};

const PAGE_BITS: u32 = 8;
const PAGE: usize = 1 << PAGE_BITS;
const PAGES: usize = 0x11_0000 >> PAGE_BITS;

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

/// What the hot loop needs to know of a code point, in one word.
#[derive(Debug, Clone, Copy)]
pub struct CodePoint(u32);

impl CodePoint {
    const SPECIAL: u32 = 1 << 31;
    const LGC: u32 = 1 << 30;
    const MATH: u32 = 1 << 29;
    const WORD: u32 = 1 << 28;
    const CODE: u32 = Self::WORD - 1;

    /// More or fewer than one symbol, or dependent on the base before it: ask the view.
    pub const fn is_special(self) -> bool {
        self.0 & Self::SPECIAL != 0
    }

    /// Alphabet code of its one symbol; 0 if no word has it.
    pub const fn code(self) -> u32 {
        self.0 & Self::CODE
    }

    /// Its symbol is an ASCII letter or digit.
    pub const fn is_word(self) -> bool {
        self.0 & Self::WORD != 0
    }

    pub const fn base(self) -> BaseClass {
        if self.0 & Self::LGC != 0 {
            BaseClass::LatinGreekCyrillic
        } else if self.0 & Self::MATH != 0 {
            BaseClass::Math
        } else {
            BaseClass::Other
        }
    }
}

/// [`CodePoint`] of every code point, in two levels.
#[derive(Debug)]
pub struct Alphabet {
    codes: HashMap<u32, u32>,
    pages: Vec<u16>,
    points: Vec<CodePoint>,
}

impl Alphabet {
    /// Gives the symbols of `words` codes from 1 on, the most frequent first.
    pub fn build(words: &[&[u32]]) -> Self {
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for &symbol in words.iter().copied().flatten() {
            *counts.entry(symbol).or_default() += 1;
        }
        let mut symbols: Vec<(u32, u32)> = counts.into_iter().collect();
        symbols.sort_unstable_by_key(|&(symbol, count)| (std::cmp::Reverse(count), symbol));
        let codes = symbols.iter().zip(1..).map(|(&(symbol, _), code)| (symbol, code)).collect();
        let mut alphabet = Self { codes, pages: vec![0; PAGES], points: vec![CodePoint(0); PAGE] };
        for (symbol, _) in symbols {
            alphabet.set(symbol, alphabet.plain(symbol, BaseClass::Other));
        }
        for byte in (b'0'..=b'9').chain(b'a'..=b'z').chain(b'A'..=b'Z') {
            let symbol = u32::from(byte);
            alphabet.set(symbol, alphabet.plain(symbol, BaseClass::Other));
        }
        each_special(|c, fold, base, contextual| {
            let point = alphabet.point_of(fold, base, contextual);
            alphabet.set(u32::from(c), point);
        });
        for syllable in 0xAC00..=0xD7A3 {
            alphabet.set(syllable, CodePoint(CodePoint::SPECIAL));
        }
        alphabet
    }

    fn point_of(&self, mut fold: Fold, base: BaseClass, contextual: bool) -> CodePoint {
        match (contextual, fold.next(), fold.next()) {
            (false, Some(symbol), None) => self.plain(symbol, base),
            _ => CodePoint(CodePoint::SPECIAL),
        }
    }

    fn plain(&self, symbol: u32, base: BaseClass) -> CodePoint {
        let flags = match base {
            BaseClass::LatinGreekCyrillic => CodePoint::LGC,
            BaseClass::Math => CodePoint::MATH,
            _ => 0,
        };
        let word = if is_word_symbol(symbol) { CodePoint::WORD } else { 0 };
        CodePoint(self.listed(symbol) | flags | word)
    }

    fn set(&mut self, code: u32, point: CodePoint) {
        let high = (code >> PAGE_BITS) as usize;
        if self.pages[high] == 0 {
            self.pages[high] = (self.points.len() / PAGE) as u16;
            self.points.resize(self.points.len() + PAGE, CodePoint(0));
        }
        self.points[usize::from(self.pages[high]) * PAGE + code as usize % PAGE] = point;
    }

    /// Alphabet code of a symbol; 0 if no word has it. A symbol is its own folding, so its code point's
    /// entry answers for it, except for marks.
    pub fn code(&self, symbol: u32) -> u32 {
        match char::from_u32(symbol).map(|c| self.point(c)) {
            Some(point) if !point.is_special() => point.code(),
            Some(_) => self.listed(symbol),
            None => 0,
        }
    }

    fn listed(&self, symbol: u32) -> u32 {
        self.codes.get(&symbol).copied().unwrap_or_default()
    }

    #[inline]
    pub fn point(&self, c: char) -> CodePoint {
        let code = u32::from(c);
        let page = usize::from(self.pages[(code >> PAGE_BITS) as usize]);
        self.points[page << PAGE_BITS | (code as usize & (PAGE - 1))]
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
