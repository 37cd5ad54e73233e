//! A lane's state and its loop: reads code points, settles matches at each, emits up to the line.
use super::lane::Placeholder;
use super::matches::Matches;
use super::source::{Origin, Origins, Place};
use super::spans::{Match, Spans};
use super::threads::Threads;
use super::{Finding, Locale, Stop};
use crate::rules::{Action, Matcher, RuleSet};
use crate::text::{View, is_word_symbol};

/// The automaton's start state.
const ROOT: u32 = 0;

/// The state of a lane apart from its rules.
#[derive(Debug)]
pub(super) struct Scan {
    locale: Locale,
    view: View,
    state: u32,
    origins: Origins,
    /// The nearest code point before, not counting absorbed ones, ends in an ASCII letter or digit.
    after_word: bool,
    /// Text read.
    pub read: Place,
    /// Text emitted, swallowed or held no longer: the cursor.
    pub cursor: Place,
    /// The text from the cursor on, as far as earlier chunks brought it.
    held: String,
    /// Code points written out, placeholders included.
    emitted: u64,
    matches: Matches,
    spans: Spans,
    pub stop: Option<Stop>,
    /// Upstream was aborted, or the text has ended: nothing more is released.
    pub aborted: bool,
    /// Placeholders since they were last taken, where the lane is traced.
    pub trace: Option<Vec<Placeholder>>,
    /// A refusal is reported and ends nothing.
    pub lasting: bool,
}

impl Scan {
    pub fn new(locale: Locale) -> Self {
        Self {
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
            lasting: false,
        }
    }

    pub fn push(&mut self, text: &str, turn: &mut Turn<'_>) -> Option<Stop> {
        let mut rest = text;
        while !rest.is_empty() {
            if self.matches.is_empty() && self.spans.is_empty() {
                rest = self.run(rest, turn);
            } else if let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                self.take(c, turn);
            }
            if self.stop.is_some() {
                self.held = String::new();
                return self.stop;
            }
        }
        let line = self.line(turn);
        self.emit(line, turn);
        self.keep(text, turn.chunk_at);
        None
    }

    pub fn finish(&mut self, turn: &mut Turn<'_>) -> Option<Stop> {
        if !self.aborted {
            self.matches.edge(true);
            self.matches.suppress(turn.rules);
            self.state = ROOT;
            self.origins.clear();
            let decided = self.matches.decide_all();
            if self.act(&decided, u64::MAX, turn) {
                return self.stop;
            }
            self.emit(self.read, turn);
        }
        self.aborted = true;
        self.spans.end(turn.findings);
        self.matches.report_flags(u64::MAX, turn.findings);
        None
    }

    pub fn discard(&mut self) {
        self.aborted = true;
        self.held = String::new();
        self.cursor = self.read;
        self.matches.clear();
    }

    pub fn held(&self) -> usize {
        if self.stop.is_some() { 0 } else { (self.read.chars - self.cursor.chars) as usize }
    }

    pub fn pass(&mut self, text: &str, out: &mut String) {
        out.push_str(text);
        let chars = text.chars().count() as u64;
        self.read = Place { chars: self.read.chars + chars, bytes: self.read.bytes + text.len() as u64 };
        self.cursor = self.read;
        self.emitted += chars;
    }

    /// Reads plain code points while nothing is found, then one more the long way; returns the rest.
    /// Where nothing is found there is nothing to settle, and the line matters only at the end.
    fn run<'a>(&mut self, text: &'a str, turn: &mut Turn<'_>) -> &'a str {
        let matcher = turn.matcher;
        // What could exceed the run-time limit is taken the long way, which moves the cursor and tests it.
        let room = turn.rules.lane_max().saturating_sub(self.held()) as u64;
        let mut state = self.state;
        let mut chars = 0;
        let mut at = text.len();
        for (index, c) in text.char_indices() {
            let point = matcher.point(c);
            let next = matcher.automaton().step(state, point.code());
            if point.is_special() || matcher.automaton().has_ends(next) || chars == room {
                at = index;
                break;
            }
            state = next;
            chars += 1;
        }
        let (plain, rest) = text.split_at(at);
        self.catch_up(plain, chars, state, matcher);
        let Some(c) = rest.chars().next() else { return rest };
        self.take(c, turn);
        &rest[c.len_utf8()..]
    }

    /// Brings everything but the automaton up to the end of `plain`, which led to `state`.
    fn catch_up(&mut self, plain: &str, chars: u64, state: u32, matcher: &Matcher) {
        let Some(last) = plain.chars().next_back() else { return };
        self.state = state;
        self.read.chars += chars;
        self.read.bytes += plain.len() as u64;
        let depth = matcher.automaton().depth(state);
        let mut fresh = Place { chars: self.read.chars, bytes: self.read.bytes };
        let mut backwards = plain.chars().rev().peekable();
        let mut count = 0;
        while count < depth {
            let Some(c) = backwards.next() else { break };
            fresh = Place { chars: fresh.chars - 1, bytes: fresh.bytes - c.len_utf8() as u64 };
            count += 1;
        }
        let mut word = backwards.peek().map_or(self.after_word, |&c| matcher.point(c).is_word());
        self.origins.keep(depth - count);
        let from = plain.len() - (self.read.bytes - fresh.bytes) as usize;
        for c in plain[from..].chars() {
            self.origins.append(Origin { start: fresh, left: !word });
            fresh = fresh.after(c);
            word = matcher.point(c).is_word();
        }
        let point = matcher.point(last);
        self.after_word = point.is_word();
        self.view.plain(point.base());
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
        if !automaton.has_ends(self.state) {
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
        if !self.lasting {
            self.halt(turn);
            let granularity = turn.rules.rule(first.rule).granularity;
            self.stop = Some(Stop::Refused { rule: first.rule, granularity });
        }
        turn.findings.push(Finding {
            rule: first.rule,
            action: Action::Refuse,
            offset: self.emitted,
            start: first.start.chars,
            end: first.end.chars,
        });
        !self.lasting
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
pub(super) struct Turn<'a> {
    pub rules: &'a RuleSet,
    pub matcher: &'a Matcher,
    pub chunk: &'a str,
    pub chunk_at: Place,
    pub out: &'a mut String,
    pub findings: &'a mut Vec<Finding>,
}
