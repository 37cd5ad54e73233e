//! Speed of one lane: `cargo run --release --example hold_speed -p dragoman-engine`.
//!
//! Prints, per rule set, compile time, MB/s over whole text, ns per token-sized chunk and the hold-back
//! at chunk ends. Words and text are drawn from a fixed seed: neutral nonsense, text in which words'
//! fronts occur as often as their characters do. Best of several rounds of wall time.
use std::sync::Arc;
use std::time::{Duration, Instant};

use dragoman_engine::rules::{
    Action, Direction, Edges, Granularity, Limits, Locale, RuleSet, RuleSetSource, RuleSource, Text,
};
use dragoman_engine::stream::hold::Lane;

/// A pass is short, so that the best of many rounds is one that nothing interrupted.
const TEXT_CHARS: usize = 1 << 17;
const ROUNDS: usize = 60;

struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// A rank with the skew of characters in real text: low ranks often, high ranks rarely.
    fn rank(&mut self, limit: usize) -> usize {
        let (a, b) = (self.below(limit), self.below(limit));
        a * b / limit
    }
}

fn chinese(draw: &mut Draw) -> char {
    char::from_u32(0x4E00 + draw.rank(3000) as u32 * 7 % 20_000).unwrap_or('一')
}

fn english(draw: &mut Draw) -> char {
    char::from(b"etaoinshrdlcumwfgypbvkjxqz"[draw.rank(26)])
}

fn word(draw: &mut Draw, zh: bool) -> String {
    let length = if zh { 2 + draw.below(4) } else { 5 + draw.below(12) };
    (0..length).map(|_| if zh { chinese(draw) } else { english(draw) }).collect()
}

fn compile(words: Vec<String>) -> (Arc<RuleSet>, Duration) {
    let text = |text: &str| Text { en: text.to_owned(), zh: text.to_owned() };
    let rule = RuleSource {
        id: "speed".to_owned(),
        words,
        view: "A".to_owned(),
        direction: vec![Direction::Out],
        action: Action::Redact,
        granularity: Granularity::Span,
        edges: Edges::default(),
        exempts: Vec::new(),
        message: None,
        placeholder: Some(text("[removed]")),
        source: None,
        reason_code: None,
    };
    let source = RuleSetSource { v: 1, rules: vec![rule] };
    let begun = Instant::now();
    match RuleSet::compile(&source, Limits::default()) {
        Ok(set) => (Arc::new(set), begun.elapsed()),
        Err(error) => panic!("{error}"),
    }
}

/// Best time of a pass over `chunks`, and the sum of what was held at their ends.
fn pass(set: &Arc<RuleSet>, chunks: &[&str]) -> (Duration, Vec<usize>) {
    let mut best = Duration::MAX;
    let mut held = Vec::new();
    for _ in 0..ROUNDS {
        let mut lane = Lane::new(Arc::clone(set), Direction::Out, Locale::En);
        let (mut out, mut findings) = (String::with_capacity(8 << 20), Vec::new());
        let begun = Instant::now();
        for chunk in chunks {
            lane.push(chunk, &mut out, &mut findings);
        }
        best = best.min(begun.elapsed());
    }
    let mut lane = Lane::new(Arc::clone(set), Direction::Out, Locale::En);
    for chunk in chunks {
        lane.push(chunk, &mut String::new(), &mut Vec::new());
        held.push(lane.held());
    }
    held.sort_unstable();
    (best, held)
}

/// `text` in pieces of `chars` characters.
fn pieces(text: &str, chars: usize) -> Vec<&str> {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(chars).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(&from, to)| &text[from..to]).collect()
}

fn measure(name: &str, zh: bool, count: usize) {
    let mut draw = Draw(7);
    let words: Vec<String> = (0..count).map(|_| word(&mut draw, zh)).collect();
    let (set, compiled) = compile(words);
    let mut text = String::new();
    while text.chars().count() < 1000 || text.len() < TEXT_CHARS * if zh { 3 } else { 1 } {
        for _ in 0..1000 {
            text.push(match draw.below(if zh { 12 } else { 6 }) {
                0 => {
                    if zh {
                        '，'
                    } else {
                        ' '
                    }
                }
                _ if zh => chinese(&mut draw),
                _ => english(&mut draw),
            });
        }
    }
    let (whole, _) = pass(&set, &pieces(&text, 64 << 10));
    let chunks = pieces(&text, if zh { 2 } else { 4 });
    let (chunked, held) = pass(&set, &chunks);
    let at = |share: f64| held[((held.len() - 1) as f64 * share) as usize];
    let mean = held.iter().sum::<usize>() as f64 / held.len() as f64;
    println!(
        "{name:8} compile {:>6.1} ms  whole {:>6.1} MB/s  {:>5.1} ns/chunk ({:>6.1} MB/s)  held mean {mean:.2} p50 {} p99 {} p99.9 {}",
        compiled.as_secs_f64() * 1e3,
        text.len() as f64 / whole.as_secs_f64() / 1e6,
        chunked.as_secs_f64() * 1e9 / chunks.len() as f64,
        text.len() as f64 / chunked.as_secs_f64() / 1e6,
        at(0.5),
        at(0.99),
        at(0.999),
    );
}

fn main() {
    for (name, zh, count) in [
        ("zh 1k", true, 1_000),
        ("zh 10k", true, 10_000),
        ("zh 100k", true, 100_000),
        ("en 1k", false, 1_000),
        ("en 10k", false, 10_000),
        ("en 100k", false, 100_000),
    ] {
        measure(name, zh, count);
    }
}
