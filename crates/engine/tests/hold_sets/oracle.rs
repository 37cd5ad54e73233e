//! The release rule by definition: slow, offline, written without the engine (own small view included).
//! Times are code points read, 0..=N, and N + 1 for the end of the text. Line numbers are those of the
//! rule's normative text. With a [`Fault`] it becomes a streaming engine with a well-known mistake.
use dragoman_engine::rules::Action;

use super::Rule;

/// A mistake that the property must catch. `SettleAtChunkEnd` needs the cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    FixedWindow50,
    DroppedFailLink,
    LiveDepthOffByOne,
    AllowByOverlap,
    SettleAtChunkEnd,
    FlushOnRefuse,
}

/// What was emitted: a source code point, a rule's placeholder, or the notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    Raw(usize),
    Placeholder(usize),
    Notice,
}

/// (rule, action, offset, start, end), all as the engine reports them.
pub type Found = (usize, Action, usize, usize, usize);

#[derive(Debug, Default)]
pub struct Result {
    /// Tokens after each number of code points read, 0..=N, then after the end.
    pub outputs: Vec<Vec<Token>>,
    /// The time of the stop, if a refuse rule was decided.
    pub stopped: Option<usize>,
    pub findings: Vec<Found>,
    /// Source code points that no output may contain raw.
    pub forbidden: Vec<usize>,
}

const GAP: usize = 8;
const NEVER: usize = usize::MAX;

struct View {
    symbols: Vec<(char, usize)>,
    absorb: Vec<bool>,
}

/// What the test alphabets' code points become; an upper bound of what view A does, kept apart from it.
fn letters(c: char) -> &'static [char] {
    match c {
        'Ａ' => &['a'],
        'Ｂ' => &['b'],
        'ß' => &['s', 's'],
        'ﬁ' => &['f', 'i'],
        '漢' => &['汉'],
        _ => &[],
    }
}

fn view(text: &[char]) -> View {
    let mut view = View { symbols: Vec::new(), absorb: Vec::new() };
    let (mut gap, mut base) = (0, '.');
    for (at, &c) in text.iter().enumerate() {
        let over_latin = base.is_ascii_alphabetic();
        let silent = match c {
            '\u{200B}' | '\u{FE0F}' => true,
            '\u{301}' => base != '=',
            '\u{E34}' => over_latin,
            _ => false,
        };
        gap = if silent { gap + 1 } else { 0 };
        view.absorb.push(silent && gap <= GAP);
        if silent && gap > GAP {
            gap = 0;
            base = '.';
            view.symbols.push(('\u{FFFF}', at));
        } else if !silent {
            let folded = letters(c);
            let symbols = if folded.is_empty() { std::slice::from_ref(&text[at]) } else { folded };
            view.symbols.extend(symbols.iter().map(|&symbol| (symbol, at)));
            if !matches!(c, '\u{301}' | '\u{E34}') {
                base = *symbols.last().unwrap_or(&'.');
            }
        }
    }
    view
}

/// The symbols of a word.
pub fn symbols(word: &str) -> Vec<char> {
    view(&word.chars().collect::<Vec<_>>()).symbols.iter().map(|symbol| symbol.0).collect()
}

#[derive(Debug, Clone)]
struct Match {
    rule: usize,
    start: usize,
    end: usize,
    /// When its right edge is known (its end, if it needs none), and whether it is satisfied.
    known: usize,
    satisfied: bool,
}

struct Thread<'a> {
    rule: usize,
    start: usize,
    rest: &'a [char],
}

struct Case<'a> {
    rules: &'a [Rule],
    words: Vec<Vec<Vec<char>>>,
    exempts: Vec<Vec<usize>>,
    text: &'a [char],
    view: View,
    matches: Vec<Match>,
    fault: Fault,
}

/// All outputs of `rules` over `text`. `cuts` are chunk ends, needed by [`Fault::SettleAtChunkEnd`].
/// Rules must be in the order of their ids.
pub fn run(rules: &[Rule], text: &[char], fault: Fault, cuts: &[usize]) -> Result {
    let words = rules.iter().map(|rule| rule.words.iter().map(|word| symbols(word)).collect()).collect();
    let position = |id: &String| rules.iter().position(|rule| &rule.id == id);
    let exempts = rules.iter().map(|rule| rule.exempts.iter().filter_map(position).collect()).collect();
    let mut case = Case { rules, words, exempts, text, view: view(text), matches: Vec::new(), fault };
    case.find();
    case.simulate(cuts)
}

impl Case<'_> {
    fn n(&self) -> usize {
        self.text.len()
    }

    fn action(&self, m: &Match) -> Action {
        self.rules[m.rule].action
    }

    fn is_deny(&self, rule: usize) -> bool {
        matches!(self.rules[rule].action, Action::Redact | Action::Refuse)
    }

    /// Line 7: the symbol that touches the match from the left, in the nearest code point before.
    fn left_holds(&self, start: usize) -> bool {
        let left = self.view.symbols.iter().rev().find(|symbol| symbol.1 < start);
        left.is_none_or(|symbol| !symbol.0.is_ascii_alphanumeric())
    }

    fn right(&self, end: usize) -> (usize, bool) {
        let right = self.view.symbols.iter().find(|symbol| symbol.1 >= end);
        right.map_or((self.n() + 1, true), |symbol| (symbol.1 + 1, !symbol.0.is_ascii_alphanumeric()))
    }

    /// Lines 5 to 9: all matches whose left edge holds.
    fn find(&mut self) {
        for (rule, words) in self.words.iter().enumerate() {
            let edges = self.rules[rule].edges;
            for word in words {
                for from in 0..self.view.symbols.len() {
                    let Some(found) = self.view.symbols.get(from..from + word.len()) else { break };
                    let (start, end) = (found[0].1, found[found.len() - 1].1 + 1);
                    let equal = found.iter().map(|symbol| symbol.0).eq(word.iter().copied());
                    if equal && (!edges.left || self.left_holds(start)) {
                        let (known, satisfied) = if edges.right { self.right(end) } else { (end, true) };
                        self.matches.push(Match { rule, start, end, known, satisfied });
                    }
                }
            }
        }
    }

    /// Line 11: live threads after `n` code points. At the end all are dead.
    fn threads(&self, n: usize) -> Vec<Thread<'_>> {
        let mut threads = Vec::new();
        if n > self.n() {
            return threads;
        }
        let read: Vec<char> = self.view.symbols.iter().filter(|s| s.1 < n).map(|s| s.0).collect();
        for (rule, words) in self.words.iter().enumerate() {
            for word in words {
                for from in (read.len() + 1).saturating_sub(word.len())..read.len() {
                    let start = self.view.symbols[from].1;
                    let edge = !self.rules[rule].edges.left || self.left_holds(start);
                    if edge && word.starts_with(&read[from..]) && read.len() - from < word.len() {
                        threads.push(Thread { rule, start, rest: &word[read.len() - from..] });
                    }
                }
            }
        }
        if self.fault == Fault::DroppedFailLink {
            let longest = threads.iter().map(|thread| thread.start).min();
            threads.retain(|thread| Some(thread.start) == longest);
        }
        threads
    }

    fn exempts(&self, allow: usize, deny: usize) -> bool {
        self.rules[allow].action == Action::Allow && self.exempts[allow].contains(&deny)
    }

    fn contains(&self, allow: &Match, m: &Match) -> bool {
        if self.fault == Fault::AllowByOverlap {
            return allow.start < m.end && m.start < allow.end;
        }
        allow.start <= m.start && m.end <= allow.end
    }

    /// Line 12.
    fn is_suppressed(&self, m: &Match, n: usize) -> bool {
        self.matches.iter().any(|allow| {
            allow.satisfied && allow.known <= n && self.exempts(allow.rule, m.rule) && self.contains(allow, m)
        })
    }

    fn in_waiting_allow(&self, m: &Match, n: usize) -> bool {
        let waits = |allow: &Match| allow.end <= n && n < allow.known;
        self.matches
            .iter()
            .any(|allow| waits(allow) && self.exempts(allow.rule, m.rule) && self.contains(allow, m))
    }

    /// Line 14, for a confirmed match that is not suppressed.
    fn is_pending(&self, m: &Match, n: usize, threads: &[Thread<'_>]) -> bool {
        threads.iter().any(|thread| self.exempts(thread.rule, m.rule) && thread.start <= m.start)
            || self.in_waiting_allow(m, n)
    }

    /// Line 16: end of the tail after `n` code points.
    fn tail(&self, m: &Match, n: usize) -> usize {
        (m.end..n.min(self.n())).find(|&at| !self.view.absorb[at]).unwrap_or(n.min(self.n()).max(m.end))
    }

    /// Line 15 for all matches: delta, or never. `settles` says at which times decisions are made.
    fn decisions(&self, settles: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let mut delta = vec![NEVER; self.matches.len()];
        for n in (0..=self.n() + 1).filter(|&n| settles(n)) {
            let threads = self.threads(n);
            for (index, m) in self.matches.iter().enumerate() {
                let open = delta[index] == NEVER && m.satisfied && m.known <= n;
                let counts = open && self.action(m) != Action::Allow && !self.is_suppressed(m, n);
                if counts && !self.is_pending(m, n, &threads) {
                    delta[index] = n;
                }
            }
        }
        delta
    }

    /// Lines 18: members of the decided spans after `n`, with the span's extent.
    fn spans(&self, n: usize, delta: &[usize]) -> Vec<(usize, usize, Vec<usize>)> {
        let redacts = |&m: &usize| delta[m] <= n && self.action(&self.matches[m]) == Action::Redact;
        let mut decided: Vec<usize> = (0..self.matches.len()).filter(redacts).collect();
        decided.sort_by_key(|&m| self.matches[m].start);
        let mut spans: Vec<(usize, usize, Vec<usize>)> = Vec::new();
        for index in decided {
            let m = &self.matches[index];
            let end = self.tail(m, n);
            match spans.last_mut() {
                Some(span) if m.start < span.1 => {
                    span.1 = span.1.max(end);
                    span.2.push(index);
                }
                _ => spans.push((m.start, end, vec![index])),
            }
        }
        spans
    }

    /// Lines 20 to 25.
    fn line(&self, n: usize, delta: &[usize], spans: &[(usize, usize, Vec<usize>)]) -> usize {
        let mut line = n.min(self.n());
        if n > self.n() {
            return line;
        }
        if self.fault == Fault::FixedWindow50 {
            return n.saturating_sub(50);
        }
        let threads = self.threads(n);
        for thread in threads.iter().filter(|thread| self.is_deny(thread.rule)) {
            let right = self.rules[thread.rule].edges.right;
            let covered = threads.iter().any(|allow| {
                self.exempts(allow.rule, thread.rule)
                    && allow.start <= thread.start
                    && allow.rest == thread.rest
                    && (!self.rules[allow.rule].edges.right || right)
            });
            if !covered {
                let late = usize::from(self.fault == Fault::LiveDepthOffByOne);
                line = line.min(thread.start + late);
            }
        }
        for (index, m) in self.matches.iter().enumerate().filter(|(_, m)| self.is_deny(m.rule)) {
            let waiting =
                m.end <= n && n < m.known && !self.is_suppressed(m, n) && !self.in_waiting_allow(m, n);
            let confirmed = m.satisfied && m.known <= n && !self.is_suppressed(m, n);
            let pending = confirmed && delta[index] > n;
            let inside = spans.iter().any(|span| span.0 <= m.start && self.tail(m, n) <= span.1);
            if (waiting || pending) && !(self.action(m) == Action::Redact && inside) {
                line = line.min(m.start);
            }
        }
        line
    }

    fn simulate(&self, cuts: &[usize]) -> Result {
        let end = self.n() + 1;
        let at_cuts = |n: usize| n == end || cuts.contains(&n);
        let settles = |n: usize| self.fault != Fault::SettleAtChunkEnd || at_cuts(n);
        let delta = self.decisions(&settles);
        let mut emitter = Emitter::default();
        let mut result = Result::default();
        for n in 0..=end {
            if result.stopped.is_none() && settles(n) {
                self.settle(n, &delta, &mut emitter, &mut result);
            }
            result.outputs.push(emitter.out.clone());
        }
        result.findings = self.findings(&delta, &emitter, &result);
        let denied = |m: &&Match| self.is_deny(m.rule) && m.satisfied && !self.is_suppressed(m, end);
        for m in self.matches.iter().filter(denied) {
            result.forbidden.extend(m.start..m.end);
        }
        result
    }

    fn settle(&self, n: usize, delta: &[usize], emitter: &mut Emitter, result: &mut Result) {
        let spans = self.spans(n, delta);
        let mut line = self.line(n, delta, &spans);
        let refused: Vec<usize> = (0..self.matches.len())
            .filter(|&m| delta[m] == n && self.action(&self.matches[m]) == Action::Refuse)
            .collect();
        let first = refused.iter().map(|&m| self.matches[m].start).min();
        if let Some(start) = first {
            line = if self.fault == Fault::FlushOnRefuse { start } else { line.min(start) };
        }
        self.emit(n, line, delta, &spans, emitter);
        if first.is_some() {
            emitter.out.push(Token::Notice);
            result.stopped = Some(n);
        }
    }

    /// Lines 26 to 29.
    fn emit(
        &self,
        n: usize,
        line: usize,
        delta: &[usize],
        spans: &[(usize, usize, Vec<usize>)],
        emitter: &mut Emitter,
    ) {
        loop {
            let p = emitter.p;
            let open = emitter.shown.last().and_then(|shown| spans.iter().find(|span| span.0 == shown.0));
            let starts = spans.iter().find(|span| span.0 == p);
            if let Some(span) = open.filter(|span| p < span.1 && p < n.min(self.n())) {
                emitter.p = span.1.min(n);
            } else if let Some(span) = starts.filter(|_| p <= line && emitter.shown.iter().all(|s| s.0 != p))
            {
                let label = |&m: &usize| {
                    let found = &self.matches[m];
                    (delta[m], found.start, found.end, found.rule)
                };
                let rule = span.2.iter().map(label).min().map_or(0, |label| label.3);
                emitter.shown.push((p, emitter.out.len()));
                emitter.out.push(Token::Placeholder(rule));
            } else if p < line && starts.is_none() {
                emitter.out.push(Token::Raw(p));
                emitter.p += 1;
            } else {
                break;
            }
        }
    }

    /// Line 18: one finding per rule and shown span; flags merge by rule; the refusal comes last.
    fn findings(&self, delta: &[usize], emitter: &Emitter, result: &Result) -> Vec<Found> {
        let end = result.stopped.unwrap_or(self.n() + 1);
        let spans = self.spans(end, delta);
        let chars = |tokens: &[Token]| tokens.iter().map(|&token| self.length(token)).sum::<usize>();
        let mut findings = Vec::new();
        for &(start, tokens) in &emitter.shown {
            for (rule, _) in self.rules.iter().enumerate() {
                let members = spans.iter().filter(|span| span.0 == start).flat_map(|span| &span.2);
                let of_rule: Vec<&Match> =
                    members.map(|&m| &self.matches[m]).filter(|m| m.rule == rule).collect();
                let extent = (of_rule.iter().map(|m| m.start).min(), of_rule.iter().map(|m| m.end).max());
                if let (Some(from), Some(to)) = extent {
                    findings.push((rule, Action::Redact, chars(&emitter.out[..tokens]), from, to));
                }
            }
        }
        for rule in 0..self.rules.len() {
            let flags = (0..self.matches.len()).filter(|&m| delta[m] <= end).map(|m| &self.matches[m]);
            let of_rule = flags.filter(|m| m.rule == rule && self.action(m) == Action::Flag);
            let mut extents: Vec<(usize, usize)> = of_rule.map(|m| (m.start, m.end)).collect();
            extents.sort_unstable();
            let mut merged: Vec<(usize, usize)> = Vec::new();
            for (from, to) in extents {
                match merged.last_mut() {
                    Some(last) if from < last.1 => last.1 = last.1.max(to),
                    _ => merged.push((from, to)),
                }
            }
            findings.extend(merged.into_iter().map(|(from, to)| (rule, Action::Flag, from, from, to)));
        }
        let refused = self.matches.iter().enumerate().filter(|&(m, _)| {
            Some(delta[m]) == result.stopped && self.action(&self.matches[m]) == Action::Refuse
        });
        if let Some((_, m)) = refused.min_by_key(|(_, m)| (m.start, m.end, m.rule)) {
            let emitted = chars(&emitter.out[..emitter.out.len() - 1]);
            findings.push((m.rule, Action::Refuse, emitted, m.start, m.end));
        }
        findings
    }

    fn length(&self, token: Token) -> usize {
        match token {
            Token::Placeholder(rule) => self.rules[rule].placeholder.chars().count(),
            Token::Raw(_) => 1,
            Token::Notice => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Emitter {
    p: usize,
    /// Start of each shown span, and tokens before its placeholder.
    shown: Vec<(usize, usize)>,
    out: Vec<Token>,
}
