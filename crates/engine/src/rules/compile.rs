//! From a rule set's document to its compiled form; what cannot be kept exactly is refused here.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::alphabet::Alphabet;
use super::automaton::{Automaton, NodeFacts};
use super::cover::{self, Words};
use super::error::{Problem, RuleError};
use super::matcher::{Ends, Matcher, Pattern};
use super::source::{Action, Direction, RuleSetSource, RuleSource, VERSION};
use super::trie::Trie;
use super::{RuleMeta, RuleSet};
use crate::text::{BREAK, GAP_MAX, symbols};

/// What a rule set may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rules of a set.
    pub rules_max: usize,
    /// Words of all rules together.
    pub words_max: usize,
    /// Symbols a word must keep after normalisation.
    pub word_symbols_min: usize,
    /// Code points that the longest word may make a lane hold: symbols × (1 + gap).
    pub hold_max: usize,
    /// Code points a lane may hold at run time before it stops with an overflow.
    pub lane_max: usize,
}

/// A width of 256 symbols, each followed by the longest gap.
const HOLD_MAX: usize = 256 * (1 + GAP_MAX as usize);

impl Default for Limits {
    fn default() -> Self {
        Self {
            rules_max: 100_000,
            words_max: 1_000_000,
            word_symbols_min: 2,
            hold_max: HOLD_MAX,
            lane_max: HOLD_MAX,
        }
    }
}

/// Words of a rule, normalised and distinct.
struct Normalised<'a> {
    rule: &'a RuleSource,
    words: Vec<Vec<u32>>,
}

impl RuleSet {
    /// Compiles `source`, or says which rule, field and limit stands against it.
    pub fn compile(source: &RuleSetSource, limits: Limits) -> Result<Self, RuleError> {
        check_set(source, limits)?;
        let mut sorted: Vec<&RuleSource> = source.rules.iter().collect();
        sorted.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let numbers = number(&sorted)?;
        let mut rules = Vec::with_capacity(sorted.len());
        for rule in sorted {
            check_rule(rule)?;
            rules.push(Normalised { rule, words: normalised(rule, limits)? });
        }
        let exempts = exemptions(&rules, &numbers)?;
        let outward = matcher(&rules, Direction::Out, &exempts).map(Arc::new);
        let alike = rules.iter().all(|Normalised { rule, .. }| {
            rule.direction.contains(&Direction::In) == rule.direction.contains(&Direction::Out)
        });
        let inward = if alike {
            outward.clone() // most rules look both ways: one matcher then serves both
        } else {
            matcher(&rules, Direction::In, &exempts).map(Arc::new)
        };
        Ok(Self {
            rules: rules.iter().map(|rule| meta(rule.rule)).collect(),
            matchers: [inward, outward],
            exempts,
            lane_max: limits.lane_max,
        })
    }
}

fn check_set(source: &RuleSetSource, limits: Limits) -> Result<(), RuleError> {
    if source.v != VERSION {
        return Err(RuleError::new("", "v", Problem::Version { found: source.v, read: VERSION }));
    }
    let words = source.rules.iter().map(|rule| rule.words.len()).sum();
    for (field, found, limit) in
        [("rules", source.rules.len(), limits.rules_max), ("words", words, limits.words_max)]
    {
        if found > limit {
            return Err(RuleError::new("", field, Problem::TooMany { found, limit }));
        }
    }
    Ok(())
}

/// The number of each rule id, in the order of ids.
fn number<'a>(sorted: &[&'a RuleSource]) -> Result<HashMap<&'a str, u32>, RuleError> {
    let mut numbers = HashMap::with_capacity(sorted.len());
    for (rule, index) in sorted.iter().zip(0..) {
        if numbers.insert(rule.id.as_str(), index).is_some() {
            return Err(RuleError::new(&rule.id, "id", Problem::Duplicate));
        }
    }
    Ok(numbers)
}

fn check_rule(rule: &RuleSource) -> Result<(), RuleError> {
    let refuse = |field, problem| Err(RuleError::new(&rule.id, field, problem));
    if rule.id.is_empty() {
        return refuse("id", Problem::Empty);
    }
    if rule.view != "A" {
        return refuse("view", Problem::UnknownView);
    }
    if rule.words.is_empty() {
        return refuse("words", Problem::Empty);
    }
    if rule.direction.is_empty() {
        return refuse("direction", Problem::Empty);
    }
    if rule.action != Action::Allow && !rule.exempts.is_empty() {
        return refuse("exempts", Problem::NotAllow);
    }
    if rule.action == Action::Redact && rule.placeholder.is_none() {
        return refuse("placeholder", Problem::Missing);
    }
    Ok(())
}

fn normalised(rule: &RuleSource, limits: Limits) -> Result<Vec<Vec<u32>>, RuleError> {
    let mut seen = HashSet::with_capacity(rule.words.len());
    let mut words = Vec::with_capacity(rule.words.len());
    for (number, word) in rule.words.iter().enumerate() {
        let refuse = |problem| Err(RuleError::new(&rule.id, "words", problem));
        let word = symbols(word);
        if word.contains(&BREAK) {
            return refuse(Problem::WordHasGap { word: number, limit: usize::from(GAP_MAX) });
        }
        if word.len() < limits.word_symbols_min.max(1) {
            let limit = limits.word_symbols_min.max(1);
            return refuse(Problem::WordTooShort { word: number, symbols: word.len(), limit });
        }
        // A flag holds nothing back, but its word is as long in memory: one bound for all.
        let hold = word.len() * (1 + usize::from(GAP_MAX));
        if hold > limits.hold_max.min(HOLD_MAX) {
            let limit = limits.hold_max.min(HOLD_MAX);
            return refuse(Problem::HoldTooLong { word: number, hold, limit });
        }
        if seen.insert(word.clone()) {
            words.push(word);
        }
    }
    Ok(words)
}

/// By rule number, the numbers of the rules it exempts, sorted.
fn exemptions(rules: &[Normalised<'_>], numbers: &HashMap<&str, u32>) -> Result<Vec<Vec<u32>>, RuleError> {
    let find = |rule: &RuleSource, id: &String| {
        let unknown = || RuleError::new(&rule.id, "exempts", Problem::UnknownRule { id: id.clone() });
        numbers.get(id.as_str()).copied().ok_or_else(unknown)
    };
    let mut all = Vec::with_capacity(rules.len());
    for Normalised { rule, .. } in rules {
        let mut exempts = rule.exempts.iter().map(|id| find(rule, id)).collect::<Result<Vec<u32>, _>>()?;
        exempts.sort_unstable();
        all.push(exempts);
    }
    Ok(all)
}

fn meta(rule: &RuleSource) -> RuleMeta {
    RuleMeta {
        id: rule.id.clone(),
        action: rule.action,
        granularity: rule.granularity,
        direction: rule.direction.clone(),
        edges: rule.edges,
        message: rule.message.clone(),
        placeholder: rule.placeholder.clone(),
        source: rule.source.clone(),
        reason_code: rule.reason_code.clone(),
    }
}

/// The matcher of one direction; none if no rule but allows looks that way.
fn matcher(rules: &[Normalised<'_>], direction: Direction, exempts: &[Vec<u32>]) -> Option<Matcher> {
    let looks = |rule: &RuleSource| rule.direction.contains(&direction);
    if !rules.iter().any(|r| r.rule.action != Action::Allow && looks(r.rule)) {
        return None;
    }
    let mut patterns = Vec::new();
    let mut word_of = Vec::new();
    let mut words: Vec<&[u32]> = Vec::new();
    let mut known: HashMap<&[u32], u32> = HashMap::new();
    for (number, rule) in (0..).zip(rules).filter(|(_, r)| looks(r.rule)) {
        for word in &rule.words {
            word_of.push(*known.entry(word).or_insert_with(|| {
                words.push(word);
                words.len() as u32 - 1
            }));
            patterns.push(Pattern {
                rule: number,
                length: word.len() as u16,
                action: rule.rule.action,
                left: rule.rule.edges.left,
                right: rule.rule.edges.right,
            });
        }
    }
    let alphabet = Alphabet::build(&words);
    let coded: Vec<Vec<u32>> =
        words.iter().map(|word| word.iter().map(|&symbol| alphabet.code(symbol)).collect()).collect();
    let exempts = |allow: u32, deny: u32| exempts[allow as usize].binary_search(&deny).is_ok();
    let words = Words { patterns: &patterns, word_of: &word_of, spelled: &coded, exempts: &exempts };
    Some(assemble(alphabet, &words))
}

fn assemble(alphabet: Alphabet, words: &Words<'_>) -> Matcher {
    let trie = Trie::build(words.spelled);
    let (cover, below) = cover::build(&trie, words);
    let (ends, ended, ends_of) = ends(&trie, words);
    let mut facts = vec![NodeFacts::default(); trie.len()];
    for node in 1..trie.len() {
        let fail = trie.fail[node] as usize;
        facts[node] = NodeFacts { ends: ends_of[node], ..facts[fail] };
        if below[node].any() {
            facts[node].live = trie.depth[node];
            facts[node].conditional = !below[node].always;
        }
    }
    let (automaton, state_of) = Automaton::build(&trie, &facts);
    let cover = cover.renamed(&state_of, &below);
    Matcher { alphabet, automaton, patterns: words.patterns.to_vec(), ends, ended, cover }
}

/// The words that end at each node: their entries, their patterns, and the entry of each node.
fn ends(trie: &Trie, words: &Words<'_>) -> (Vec<Ends>, Vec<u32>, Vec<u32>) {
    let node_of = |pattern: u32| trie.ends[words.word_of[pattern as usize] as usize];
    let mut ended: Vec<u32> = (0..words.patterns.len() as u32).collect();
    ended.sort_by_key(|&pattern| node_of(pattern));
    let mut entries = vec![Ends { from: 0, to: 0, next: 0 }];
    let mut entry_of = vec![0; trie.len()];
    let mut at = 0;
    for node in 1..trie.len() {
        let from = at;
        while at < ended.len() && node_of(ended[at]) as usize == node {
            at += 1;
        }
        let inherited = entry_of[trie.fail[node] as usize];
        entry_of[node] = inherited;
        if at > from {
            entry_of[node] = entries.len() as u32;
            entries.push(Ends { from: from as u32, to: at as u32, next: inherited });
        }
    }
    (entries, ended, entry_of)
}
