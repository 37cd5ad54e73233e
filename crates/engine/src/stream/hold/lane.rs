//! One lane: reads code points, settles matches at each of them, emits up to the release line.
use std::sync::Arc;

use super::matches::Matches;
use super::source::{Origin, Origins, Place};
use super::spans::{Match, Spans};
use super::threads::Threads;
use super::{Direction, Finding, Locale, Stop};
use crate::rules::{Action, Matcher, RuleSet};
use crate::text::{View, is_word_symbol};

/// The automaton's start state.
const ROOT: u32 = 0;

/// One separately scanned text. Cheap to make; allocates only once something is held or found.
#[derive(Debug)]
pub struct Lane {
    rules: Arc<RuleSet>,
    direction: Direction,
    locale: Locale,
    view: View,
    state: u32,
    origins: Origins,
    /// The nearest code point before, not counting absorbed ones, ends in an ASCII letter or digit.
    after_word: bool,
    /// Text read.
    read: Place,
    /// Text emitted, swallowed or held no longer: the cursor.
    cursor: Place,
    /// The text from the cursor on, as far as earlier chunks brought it.
    held: String,
    /// Code points written out, placeholders included.
    emitted: u64,
    matches: Matches,
    spans: Spans,
    stop: Option<Stop>,
    /// Upstream was aborted: nothing more is released.
    aborted: bool,
    /// Placeholders since the last `placeholders`, where the lane is traced.
    trace: Option<Vec<Placeholder>>,
}

/// A placeholder that was written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholder {
    pub rule: u32,
    /// Source code points before it.
    pub start: u64,
    /// Code points written before it.
    pub at: u64,
}

impl Lane {
    pub fn new(rules: Arc<RuleSet>, direction: Direction, locale: Locale) -> Self {
        Self {
            rules,
            direction,
            locale,
            view: View::new(),
            state: ROOT,
            origins: Origins::default(),
            after_word: false,
            read: Place::default(),
            cursor: Place::default(),
            held: String::new(),
            emitted: 0,
            matches: Matches::default(),
            spans: Spans::default(),
            stop: None,
            aborted: false,
            trace: None,
        }
    }

    /// A lane that remembers its placeholders, for a caller that writes the text itself.
    pub fn traced(mut self) -> Self {
        self.trace = Some(Vec::new());
        self
    }

    /// The placeholders since the last call, in order.
    pub fn placeholders(&mut self) -> Vec<Placeholder> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Source code points that were written out or replaced.
    pub fn passed(&self) -> u64 {
        self.cursor.chars
    }

    /// Reads the next chunk; appends what may be released to `out`. After a stop it does nothing.
    pub fn push(&mut self, text: &str, out: &mut String, findings: &mut Vec<Finding>) -> Option<Stop> {
        if self.stop.is_some() || self.aborted {
            return None;
        }
        let rules = Arc::clone(&self.rules);
        let Some(matcher) = rules.matcher(self.direction) else {
            self.pass(text, out);
            return None;
        };
        let mut turn = Turn { rules: &rules, matcher, chunk: text, chunk_at: self.read, out, findings };
        for c in text.chars() {
            self.take(c, &mut turn);
            if self.stop.is_some() {
                self.held = String::new();
                return self.stop;
            }
        }
        let line = self.line(&turn);
        self.emit(line, &mut turn);
        self.keep(text, turn.chunk_at);
        None
    }

    /// The clean end of the text: decides everything and releases the rest. After an abort or a stop
    /// it releases nothing and reports the placeholders already shown.
    pub fn finish(&mut self, out: &mut String, findings: &mut Vec<Finding>) -> Option<Stop> {
        let rules = Arc::clone(&self.rules);
        let Some(matcher) = rules.matcher(self.direction).filter(|_| self.stop.is_none()) else {
            return None;
        };
        let mut turn = Turn { rules: &rules, matcher, chunk: "", chunk_at: self.read, out, findings };
        if !self.aborted {
            self.matches.edge(true);
            self.matches.suppress(&rules);
            self.state = ROOT;
            self.origins.clear();
            let decided = self.matches.decide_all();
            if self.act(&decided, u64::MAX, &mut turn) {
                return self.stop;
            }
            self.emit(self.read, &mut turn);
        }
        self.aborted = true;
        self.spans.end(turn.findings);
        self.matches.report_flags(u64::MAX, turn.findings);
        None
    }

    /// Upstream broke off: what is held is dropped. `finish` still reports what was shown.
    pub fn discard(&mut self) {
        self.aborted = true;
        self.held = String::new();
        self.cursor = self.read;
        self.matches.clear();
    }

    /// Code points held back.
    pub fn held(&self) -> usize {
        if self.stop.is_some() { 0 } else { (self.read.chars - self.cursor.chars) as usize }
    }

    pub fn stopped(&self) -> Option<Stop> {
        self.stop
    }

    fn pass(&mut self, text: &str, out: &mut String) {
        out.push_str(text);
        let chars = text.chars().count() as u64;
        self.read = Place { chars: self.read.chars + chars, bytes: self.read.bytes + text.len() as u64 };
        self.cursor = self.read;
        self.emitted += chars;
    }

    /// Reads one code point and settles what it decides.
    fn take(&mut self, c: char, turn: &mut Turn<'_>) {
        let here = self.read;
        let next = here.after(c);
        self.read = next;
        let point = turn.matcher.point(c);
        if point.is_special() {
            self.take_special(c, here, turn.matcher);
        } else {
            self.matches.edge(!point.is_word());
            self.view.plain(point.base());
            self.symbol(point.code(), Origin { start: here, left: !self.after_word }, turn.matcher);
            self.after_word = point.is_word();
        }
        if !(self.matches.is_empty() && self.spans.is_empty()) {
            self.settle(turn);
        }
        self.check_hold(turn);
    }

    /// Takes a code point that the view has to look at: none or several symbols, or a mark.
    fn take_special(&mut self, c: char, here: Place, matcher: &Matcher) {
        let step = self.view.step(c);
        if step.absorb {
            self.matches.absorb(here, self.read);
            self.spans.absorb(here, self.read);
            return;
        }
        let origin = Origin { start: here, left: !self.after_word };
        for (index, symbol) in step.symbols.enumerate() {
            let word = is_word_symbol(symbol);
            if index == 0 {
                self.matches.edge(!word);
            }
            self.symbol(matcher.code(symbol), origin, matcher);
            self.after_word = word;
        }
    }

    /// Takes one symbol, by its alphabet code, and the words that it completes.
    #[inline]
    fn symbol(&mut self, code: u32, origin: Origin, matcher: &Matcher) {
        let automaton = matcher.automaton();
        self.state = automaton.step(self.state, code);
        if self.state == ROOT {
            self.origins.clear();
            return;
        }
        self.origins.push(origin, automaton.depth(self.state));
        if automaton.ends(self.state) == 0 {
            return;
        }
        for pattern in matcher.completed(self.state) {
            let origin = self.origins.back(usize::from(pattern.length));
            if pattern.left && !origin.left {
                continue;
            }
            self.matches.complete(Match {
                rule: pattern.rule,
                action: pattern.action,
                right: pattern.right,
                start: origin.start,
                end: self.read,
                tail: self.read,
            });
        }
    }

    /// Everything that is defined per code point and not only per symbol.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        self.matches.suppress(turn.rules);
        let decided = self.matches.decide(&Threads {
            rules: turn.rules,
            matcher: turn.matcher,
            state: self.state,
            origins: &self.origins,
        });
        if self.act(&decided, self.read.chars, turn) {
            return;
        }
        if !self.spans.is_empty() {
            let line = self.line(turn);
            self.emit(line, turn);
            let matches = &self.matches;
            self.spans.close(self.read, line, |end| matches.redacts_before(end), turn.findings);
        }
        let earliest = self.threads(turn).earliest(self.read);
        self.matches.report_flags(earliest.chars, turn.findings);
    }

    /// Carries out decided matches; true if one of them ended the lane.
    fn act(&mut self, decided: &[Match], at: u64, turn: &mut Turn<'_>) -> bool {
        for found in decided {
            match found.action {
                Action::Redact => self.spans.decide(found, at),
                Action::Flag => self.matches.flag(found),
                Action::Refuse | Action::Allow => {}
            }
        }
        let refused = decided.iter().filter(|found| found.action == Action::Refuse);
        let Some(first) = refused.clone().min_by_key(|found| (found.start, found.end, found.rule)) else {
            return false;
        };
        let line = refused.map(|found| found.start).fold(self.line(turn), Place::min);
        self.emit(line, turn);
        self.halt(turn);
        let granularity = turn.rules.rule(first.rule).granularity;
        self.stop = Some(Stop::Refused { rule: first.rule, granularity });
        turn.findings.push(Finding {
            rule: first.rule,
            action: Action::Refuse,
            offset: self.emitted,
            start: first.start.chars,
            end: first.end.chars,
        });
        true
    }

    /// Drops what is held and reports what was shown.
    fn halt(&mut self, turn: &mut Turn<'_>) {
        self.held = String::new();
        self.spans.end(turn.findings);
        self.matches.clear();
        self.matches.report_flags(u64::MAX, turn.findings);
    }

    /// The run-time limit, tested after every code point; the line is only computed where it matters.
    fn check_hold(&mut self, turn: &mut Turn<'_>) {
        if self.stop.is_some() || self.held() <= turn.rules.lane_max() {
            return;
        }
        let line = self.line(turn);
        self.emit(line, turn);
        if self.held() > turn.rules.lane_max() {
            self.halt(turn);
            self.stop = Some(Stop::Overflow);
        }
    }

    /// The release line: text before it can be part of no future match.
    fn line(&self, turn: &Turn<'_>) -> Place {
        let mut line = self.threads(turn).earliest_deny().unwrap_or(self.read);
        if let Some(start) = self.matches.earliest_deny(turn.rules, &self.spans) {
            line = line.min(start);
        }
        line
    }

    fn threads<'a>(&'a self, turn: &Turn<'a>) -> Threads<'a> {
        Threads { rules: turn.rules, matcher: turn.matcher, state: self.state, origins: &self.origins }
    }

    /// Moves the cursor as far as `line` and the decided spans let it.
    fn emit(&mut self, line: Place, turn: &mut Turn<'_>) {
        loop {
            if let Some(end) = self.spans.swallowed() {
                self.cursor = self.cursor.max(end.min(self.read));
            }
            let Some((start, rule)) = self.spans.due(line) else { break };
            self.copy(start, turn);
            let placeholder = turn.rules.rule(rule).placeholder.as_ref().map_or("", |t| t.get(self.locale));
            turn.out.push_str(placeholder);
            if let Some(trace) = &mut self.trace {
                trace.push(Placeholder { rule, start: start.chars, at: self.emitted });
            }
            self.spans.show(line, self.emitted);
            self.emitted += placeholder.chars().count() as u64;
        }
        self.copy(line, turn);
    }

    /// Emits raw text from the cursor to `to`.
    fn copy(&mut self, to: Place, turn: &mut Turn<'_>) {
        if to <= self.cursor {
            return;
        }
        let held_end = turn.chunk_at.bytes;
        if self.cursor.bytes < held_end {
            let held_from = held_end - self.held.len() as u64;
            let from = (self.cursor.bytes - held_from) as usize;
            let until = (to.bytes.min(held_end) - held_from) as usize;
            turn.out.push_str(&self.held[from..until]);
        }
        if to.bytes > held_end {
            let from = (self.cursor.bytes.max(held_end) - held_end) as usize;
            turn.out.push_str(&turn.chunk[from..(to.bytes - held_end) as usize]);
        }
        self.emitted += to.chars - self.cursor.chars;
        self.cursor = to;
    }

    /// Keeps what the cursor has not passed for the next chunk.
    fn keep(&mut self, chunk: &str, chunk_at: Place) {
        let held_from = chunk_at.bytes - self.held.len() as u64;
        if self.cursor.bytes >= chunk_at.bytes {
            self.held.clear();
            self.held.push_str(&chunk[(self.cursor.bytes - chunk_at.bytes) as usize..]);
        } else {
            self.held.drain(..(self.cursor.bytes - held_from) as usize);
            self.held.push_str(chunk);
        }
    }
}

/// What one call works with.
struct Turn<'a> {
    rules: &'a RuleSet,
    matcher: &'a Matcher,
    chunk: &'a str,
    chunk_at: Place,
    out: &'a mut String,
    findings: &'a mut Vec<Finding>,
}
