//! View A: text as the rules see it, one code point at a time, with offsets kept by the caller.
//! On the path of every scanned text. It never looks ahead and never composes.
//!
//! View A is case folding, compatibility decomposition, traditional → simplified, deletion of
//! default-ignorables and of marks that are decoration. Rules and text are both decomposed, so that
//! composition, which would need the next code point, is not needed. Which marks are deleted:
//! - over a Latin, Greek or Cyrillic base every mark (`é` = `e`);
//! - over a mathematical symbol none: a stroke turns `=` into `≠`, its opposite;
//! - over any other base those of the script-less blocks only (U+0300.. and its kin): a stroke put
//!   through Chinese characters, digits or spaces is an evasion, while Thai, Indic, Arabic, Hebrew
//!   and kana marks are letters and stay.
//!
//! Two prices of not looking ahead: marks that stay are compared in the order they were written, and
//! a word that ends in an open Hangul syllable is found at the front of the closed one too.

mod table;
#[cfg(test)]
mod tests;

pub use table::Fold;
use table::{Class, Entry, FoldTable};

/// Silent code points in a row that a view tolerates between two symbols (G of the release rule).
pub const GAP_MAX: u8 = 8;

/// The symbol of an overlong gap. It is no code point, so no word contains it.
pub const BREAK: u32 = 0x11_0000;

/// How [`normalise`] writes [`BREAK`]: a noncharacter.
const BREAK_WRITTEN: char = '\u{FFFF}';

/// What one code point became.
#[derive(Debug, Clone)]
pub struct Step {
    pub symbols: Fold,
    /// Emits nothing because it is ignorable or a deleted mark: edges skip it, placeholders swallow it.
    pub absorb: bool,
}

/// View A's whole memory: the base that a mark would stand on, and the length of the current gap.
#[derive(Debug, Clone, Copy)]
pub struct View {
    base: Class,
    gap: u8,
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

impl View {
    pub const fn new() -> Self {
        Self { base: Class::Other, gap: 0 }
    }

    /// Takes one code point.
    pub fn step(&mut self, c: char) -> Step {
        let entry = FoldTable::get().entry(c);
        if self.silent(entry) {
            self.gap += 1;
            if self.gap <= GAP_MAX {
                return Step { symbols: Fold::EMPTY, absorb: true };
            }
            self.gap = 0;
            self.base = Class::Other;
            return Step { symbols: Fold::one(BREAK), absorb: false };
        }
        self.gap = 0;
        if !entry.class().is_mark() {
            self.base = entry.class();
        }
        Step { symbols: entry.fold(c), absorb: false }
    }

    /// Takes a code point known to emit one symbol and to be no base with rules of its own.
    pub(crate) fn plain(&mut self, base: Class) {
        self.gap = 0;
        self.base = base;
    }

    fn silent(self, entry: Entry) -> bool {
        entry.is_empty() || (entry.class().is_mark() && self.base.strips(entry.class()))
    }
}

pub(crate) use table::Class as BaseClass;

/// The symbols of one code point on its own, without the memory of a view: for the search analyser.
pub fn fold(c: char) -> Fold {
    View::new().step(c).symbols
}

/// The whole text in view A; a gap over [`GAP_MAX`] is written as U+FFFF.
pub fn normalise(text: &str) -> String {
    let mut view = View::new();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.extend(view.step(c).symbols.map(|symbol| char::from_u32(symbol).unwrap_or(BREAK_WRITTEN)));
    }
    out
}

/// The symbols of a rule's word in view A.
pub(crate) fn symbols(word: &str) -> Vec<u32> {
    let mut view = View::new();
    word.chars().flat_map(|c| view.step(c).symbols).collect()
}

/// What an edge tests: whether a symbol is an ASCII letter or digit.
pub(crate) fn is_word_symbol(symbol: u32) -> bool {
    u8::try_from(symbol).is_ok_and(|byte| byte.is_ascii_alphanumeric())
}

/// Calls `visit` with every code point whose folding is not the identity of a plain base, except
/// Hangul syllables, and with the symbols and class it has.
pub(crate) fn each_special(mut visit: impl FnMut(char, Fold, BaseClass, bool)) {
    FoldTable::get().each(|c, entry| {
        let contextual = entry.is_empty() || entry.class().is_mark();
        visit(c, entry.fold(c), entry.class(), contextual);
    });
}
