//! From a code point to the automaton's code of its symbol, in one look-up of two levels.
use std::collections::HashMap;
use std::sync::OnceLock;

use crate::text::{BaseClass, each_special, is_word_symbol};

const PAGE_BITS: u32 = 8;
const PAGE: usize = 1 << PAGE_BITS;
const PAGES: usize = 0x11_0000 >> PAGE_BITS;

/// Hangul syllables: several symbols each, by arithmetic.
const HANGUL: std::ops::RangeInclusive<u32> = 0xAC00..=0xD7A3;

/// What the hot loop needs to know of a code point, in one word.
#[derive(Debug, Clone, Copy, Default)]
pub struct CodePoint(u32);

impl CodePoint {
    const SPECIAL: Self = Self(1 << 31);
    const LGC: u32 = 1 << 30;
    const MATH: u32 = 1 << 29;
    const WORD: u32 = 1 << 28;
    const CODE: u32 = Self::WORD - 1;

    /// One symbol, not in the alphabet.
    fn plain(symbol: u32, base: BaseClass) -> Self {
        let flags = match base {
            BaseClass::LatinGreekCyrillic => Self::LGC,
            BaseClass::Math => Self::MATH,
            _ => 0,
        };
        Self(flags | if is_word_symbol(symbol) { Self::WORD } else { 0 })
    }

    /// More or fewer than one symbol, or dependent on the base before it: ask the view.
    pub const fn is_special(self) -> bool {
        self.0 & Self::SPECIAL.0 != 0
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

/// [`CodePoint`] of every code point: `pages` leads from its high bits to a page of `points`. Page 0 is
/// that of code points that are their own symbol, no ASCII letter or digit, and in no word.
#[derive(Debug, Clone)]
struct Points {
    pages: Vec<u16>,
    points: Vec<CodePoint>,
}

impl Points {
    fn get(&self, code: u32) -> CodePoint {
        let page = usize::from(self.pages[(code >> PAGE_BITS) as usize]);
        self.points[page << PAGE_BITS | (code as usize & (PAGE - 1))]
    }

    fn slot(&mut self, code: u32) -> &mut CodePoint {
        let high = (code >> PAGE_BITS) as usize;
        if self.pages[high] == 0 {
            self.pages[high] = (self.points.len() / PAGE) as u16;
            self.points.resize(self.points.len() + PAGE, CodePoint::default());
        }
        &mut self.points[usize::from(self.pages[high]) << PAGE_BITS | (code as usize & (PAGE - 1))]
    }
}

/// What all alphabets start from: the points without codes, and who folds to a symbol.
struct Template {
    points: Points,
    /// Per symbol, the code points other than itself that have it as their only symbol.
    folding_to: HashMap<u32, Vec<u32>>,
}

impl Template {
    fn get() -> &'static Self {
        static TEMPLATE: OnceLock<Template> = OnceLock::new();
        TEMPLATE.get_or_init(Self::build)
    }

    fn build() -> Self {
        let points = Points { pages: vec![0; PAGES], points: vec![CodePoint::default(); PAGE] };
        let mut template = Self { points, folding_to: HashMap::new() };
        for digit in b'0'..=b'9' {
            *template.points.slot(u32::from(digit)) = CodePoint::plain(u32::from(digit), BaseClass::Other);
        }
        for syllable in HANGUL {
            *template.points.slot(syllable) = CodePoint::SPECIAL;
        }
        each_special(|c, mut symbols, base, contextual| {
            let code = u32::from(c);
            *template.points.slot(code) = match (contextual, symbols.next(), symbols.next()) {
                (false, Some(symbol), None) => {
                    if symbol != code {
                        template.folding_to.entry(symbol).or_default().push(code);
                    }
                    CodePoint::plain(symbol, base)
                }
                _ => CodePoint::SPECIAL,
            };
        });
        template
    }
}

/// The symbols of a set of words, with codes from 1 on.
#[derive(Debug)]
pub struct Alphabet {
    points: Points,
    /// Codes of symbols that are marks: their code points are special.
    marks: HashMap<u32, u32>,
}

impl Alphabet {
    /// Gives the symbols of `words` codes, the most frequent first.
    pub fn build(words: &[&[u32]]) -> Self {
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for &symbol in words.iter().copied().flatten() {
            *counts.entry(symbol).or_default() += 1;
        }
        let mut symbols: Vec<(u32, u32)> = counts.into_iter().collect();
        symbols.sort_unstable_by_key(|&(symbol, count)| (std::cmp::Reverse(count), symbol));
        let template = Template::get();
        let mut alphabet = Self { points: template.points.clone(), marks: HashMap::new() };
        for ((symbol, _), code) in symbols.into_iter().zip(1..) {
            let others = template.folding_to.get(&symbol).map_or(&[][..], Vec::as_slice);
            for &point in others.iter().chain([&symbol]) {
                let slot = alphabet.points.slot(point);
                if slot.is_special() {
                    alphabet.marks.insert(symbol, code);
                } else {
                    slot.0 |= code;
                }
            }
        }
        alphabet
    }

    /// Alphabet code of a symbol; 0 if no word has it. A symbol is its own folding, so its code point
    /// answers for it, except for marks.
    pub fn code(&self, symbol: u32) -> u32 {
        match char::from_u32(symbol).map(|c| self.point(c)) {
            Some(point) if !point.is_special() => point.code(),
            Some(_) => self.marks.get(&symbol).copied().unwrap_or_default(),
            None => 0,
        }
    }

    #[inline]
    pub fn point(&self, c: char) -> CodePoint {
        self.points.get(u32::from(c))
    }
}
