//! Random rule sets, texts and chunkings over small alphabets, which force overlaps.
use dragoman_engine::rules::{Action, Edges};

use super::Rule;

/// `SplitMix64`: small, seeded, good enough to draw cases.
#[derive(Debug, Clone)]
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

pub struct Case {
    /// In the order of their ids.
    pub rules: Vec<Rule>,
    pub text: Vec<char>,
}

/// What texts are made of and, second, what words are made of.
const ALPHABETS: &[(&[char], &[char])] = &[
    (&['a', 'b'], &['a', 'b']),
    (&['a', 'b', 'c'], &['a', 'b', 'c']),
    (&['a', 'b', '.', 'z'], &['a', 'b']),
    (&['a', 'b', 'Ａ', '\u{200B}'], &['a', 'b', 'Ｂ']),
    (&['a', 'b', '.', '\u{200B}', '\u{301}'], &['a', 'b', '.']),
    (&['s', 'ß', 'a', '.'], &['s', 'a', 'ß']),
    (&['f', 'i', 'ﬁ', '.', '\u{FE0F}'], &['f', 'i']),
    (&['汉', '漢', 'a', '\u{301}', '.'], &['漢', 'a']),
    (&['=', '\u{301}', 'a', '\u{E34}'], &['=', 'a']),
    (&['a', '\u{200B}'], &['a']),
];

pub fn case(draw: &mut Draw) -> Case {
    let (text, words) = draw.pick(ALPHABETS);
    let mut rules: Vec<Rule> = (0..=draw.below(5)).map(|number| rule(draw, number, words)).collect();
    let deny: Vec<String> =
        rules.iter().filter(|rule| rule.action != Action::Allow).map(|rule| rule.id.clone()).collect();
    for rule in rules.iter_mut().filter(|rule| rule.action == Action::Allow) {
        rule.exempts = deny.iter().filter(|_| draw.below(3) > 0).cloned().collect();
    }
    let length = match draw.below(40) {
        0 => 11 + draw.below(30),
        1 => 7 + draw.below(4),
        _ => 1 + draw.below(6),
    };
    let text = (0..length).map(|_| draw.pick(text)).collect();
    Case { rules, text }
}

fn rule(draw: &mut Draw, number: usize, letters: &[char]) -> Rule {
    use Action::{Allow, Flag, Redact, Refuse};
    let action = draw.pick(&[Redact, Redact, Redact, Redact, Refuse, Allow, Allow, Flag]);
    let words = (0..=draw.below(3)).map(|_| (0..=draw.below(4)).map(|_| draw.pick(letters)).collect());
    Rule {
        id: format!("r{number}"),
        words: words.collect(),
        action,
        edges: Edges { left: draw.one_in(5), right: draw.one_in(5) },
        exempts: Vec::new(),
        placeholder: format!("<{number}>"),
    }
}

/// Random chunk ends of a text of `length` code points, the last included.
pub fn cuts(draw: &mut Draw, length: usize) -> Vec<usize> {
    (1..length).filter(|_| draw.one_in(3)).chain([length]).collect()
}

/// The chunk ends that the bits of `mask` stand for.
pub fn cuts_of(mask: usize, length: usize) -> Vec<usize> {
    (1..length).filter(|at| mask >> (at - 1) & 1 == 1).chain([length]).collect()
}
