//! A lane whose text is itself JSON: tool arguments, content under a `response_format`. It is scanned as written and
//! with its escapes undone, both in step; what either holds back is held back, what either redacts is redacted as a
//! whole escape, inside its string. A finding that touches anything outside one string's contents is a refusal.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::rules::{Action, Direction, Granularity, Locale, RuleSet};
use crate::stream::hold::{Finding, Lane, Stop};
use crate::stream::json::{Surrogate, encode, unescape};

/// What a scanner decided of one code point: `start` is the rule whose placeholder stands before it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    cut: bool,
    start: Option<u32>,
}

/// One scanner and its decisions, by code points of its own text, that are not yet used.
struct Track {
    lane: Lane,
    passed: u64,
    written: u64,
    marks: VecDeque<Mark>,
    out: String,
    findings: Vec<Finding>,
}

impl Track {
    fn new(rules: &Arc<RuleSet>, locale: Locale) -> Self {
        Self {
            lane: Lane::new(Arc::clone(rules), Direction::Out, locale).traced(),
            passed: 0,
            written: 0,
            marks: VecDeque::new(),
            out: String::new(),
            findings: Vec::new(),
        }
    }

    fn push(&mut self, text: &str, rules: &RuleSet, locale: Locale) -> Option<Stop> {
        self.out.clear();
        let stop = self.lane.push(text, &mut self.out, &mut self.findings);
        self.note(rules, locale);
        stop
    }

    fn finish(&mut self, rules: &RuleSet, locale: Locale) -> Option<Stop> {
        self.out.clear();
        let stop = self.lane.finish(&mut self.out, &mut self.findings);
        self.note(rules, locale);
        stop
    }

    /// Turns what was written into a decision for each code point that was passed: between two placeholders the
    /// written text is the source right before the second, the rest was swallowed.
    fn note(&mut self, rules: &RuleSet, locale: Locale) {
        let passed = self.lane.passed();
        let total = self.out.chars().count() as u64;
        let mut from = 0;
        let mut start = None;
        for shown in self.lane.placeholders() {
            self.run(start.take(), shown.start, shown.at - self.written - from);
            let length = placeholder(rules, shown.rule, locale).chars().count() as u64;
            from = shown.at - self.written + length;
            start = Some(shown.rule);
        }
        self.run(start, passed, total - from);
        self.written += total;
    }

    /// Code points up to `end`, of which the last `plain` were written as they are.
    fn run(&mut self, mut start: Option<u32>, end: u64, plain: u64) {
        while self.passed < end {
            let cut = end - self.passed > plain;
            self.marks.push_back(Mark { cut, start: start.take() });
            self.passed += 1;
        }
    }
}

/// Bytes of the longest way to write one character: a pair of surrogates.
const WRITTEN: usize = 12;

/// A character of the text with its escapes undone, and how it is written.
struct Unit {
    raw: [u8; WRITTEN],
    bytes: usize,
    /// Code points of `raw`.
    length: usize,
    /// The string in whose contents it stands, counted from 1; 0 outside of strings.
    string: u64,
}

/// What the scanner of the raw text decided of the code points of one unit.
#[derive(Default)]
struct Written {
    cut: bool,
    cut_last: bool,
    start: Option<u32>,
    /// The first code point continues a redaction from before.
    goes_on: bool,
}

impl Written {
    fn of(marks: impl Iterator<Item = Mark>) -> Self {
        let mut all = Self::default();
        for (at, mark) in marks.enumerate() {
            all.goes_on |= at == 0 && mark.cut && mark.start.is_none();
            all.cut |= mark.cut;
            all.cut_last = mark.cut;
            all.start = all.start.or(mark.start);
        }
        all
    }
}

/// A redaction whose end is not known yet.
struct Open {
    rule: u32,
    string: u64,
    offset: u64,
    start: u64,
    written: bool,
    as_read: bool,
}

pub(super) struct JsonLane {
    rules: Arc<RuleSet>,
    locale: Locale,
    written: Track,
    undone: Track,
    units: VecDeque<Unit>,
    /// The escape being read: what it stands for waits for its end.
    escape: String,
    /// A whole escape of a high surrogate, which waits for the low one.
    high: String,
    in_string: bool,
    strings: u64,
    open: Option<Open>,
    /// Code points of the raw text that were used up, and those sent.
    used: u64,
    sent: u64,
    /// Of each placeholder since they were last taken: source and written code points before it, its length.
    shown: Vec<(u64, u64, u64)>,
    ended: bool,
}

impl JsonLane {
    pub fn new(rules: &Arc<RuleSet>, locale: Locale) -> Self {
        Self {
            rules: Arc::clone(rules),
            locale,
            written: Track::new(rules, locale),
            undone: Track::new(rules, locale),
            units: VecDeque::new(),
            escape: String::new(),
            high: String::new(),
            in_string: false,
            strings: 0,
            open: None,
            used: 0,
            sent: 0,
            shown: Vec::new(),
            ended: false,
        }
    }

    pub fn push(&mut self, text: &str, out: &mut String, findings: &mut Vec<Finding>) -> Option<Stop> {
        if self.ended {
            return None;
        }
        let mut bytes = [0; 4];
        for c in text.chars() {
            let stop = self.written.push(c.encode_utf8(&mut bytes), &self.rules, self.locale);
            let stop = stop.or_else(|| self.take(c));
            let stop = self.release(out, findings).or(stop);
            if stop.is_some() {
                self.halt(stop, findings);
                return stop;
            }
        }
        None
    }

    pub fn finish(&mut self, out: &mut String, findings: &mut Vec<Finding>) -> Option<Stop> {
        if self.ended {
            return None;
        }
        let stop = self.end_escape().or_else(|| self.end_high());
        let stop = stop.or_else(|| self.written.finish(&self.rules, self.locale));
        let stop = stop.or_else(|| self.undone.finish(&self.rules, self.locale));
        let stop = self.release(out, findings).or(stop);
        self.halt(stop, findings);
        stop
    }

    /// The placeholders since the last call, in order.
    pub fn placeholders(&mut self) -> Vec<(u64, u64, u64)> {
        std::mem::take(&mut self.shown)
    }

    /// Code points of the text as written that were sent or replaced.
    /// Code points held back.
    pub fn held(&self) -> usize {
        self.units.iter().map(|unit| unit.length).sum()
    }

    pub fn passed(&self) -> u64 {
        self.used
    }

    /// Drops what is held and reports what was shown.
    pub fn quit(&mut self, findings: &mut Vec<Finding>) {
        if !self.ended {
            self.halt(None, findings);
        }
    }

    fn halt(&mut self, stop: Option<Stop>, findings: &mut Vec<Finding>) {
        self.ended = true;
        self.close(findings);
        self.units.clear();
        for track in [&mut self.written, &mut self.undone] {
            track.lane.discard();
            track.out.clear();
            track.lane.finish(&mut track.out, &mut track.findings);
        }
        let flags = self.undone.findings.iter().filter(|found| found.action == Action::Flag);
        findings.extend(flags.copied());
        if let Some(Stop::Refused { rule, .. }) = stop {
            let (offset, start, end) = (self.sent, self.used, self.used);
            findings.push(Finding { rule, action: Action::Refuse, offset, start, end });
        }
    }

    /// Takes one code point of the raw text to where escapes are undone.
    fn take(&mut self, c: char) -> Option<Stop> {
        if self.escape.is_empty() {
            return self.take_plain(c);
        }
        let unicode = self.escape.as_bytes().get(1) == Some(&b'u');
        if unicode && !c.is_ascii_hexdigit() {
            // A broken escape ends before what does not belong to it.
            return self.end_escape().or_else(|| self.take_plain(c));
        }
        self.escape.push(c);
        let whole = if unicode { self.escape.len() == 6 } else { c != 'u' };
        if whole { self.end_escape() } else { None }
    }

    fn take_plain(&mut self, c: char) -> Option<Stop> {
        if self.in_string && c == '\\' {
            self.escape.push(c);
            return None;
        }
        let stop = self.end_high();
        if stop.is_some() {
            return stop;
        }
        let mut string = if self.in_string { self.strings } else { 0 };
        if c == '"' {
            self.in_string = !self.in_string;
            self.strings += u64::from(self.in_string);
            string = 0;
        }
        let mut bytes = [0; 4];
        let text = c.encode_utf8(&mut bytes);
        self.unit(text, text, string)
    }

    /// The escape is whole, or broken: it becomes a unit, with the high surrogate before it if it is the low one.
    fn end_escape(&mut self) -> Option<Stop> {
        let raw = std::mem::take(&mut self.escape);
        if raw.is_empty() {
            return None;
        }
        let unit = unit_of(&raw);
        if unit.is_some_and(|unit| (0xDC00..0xE000).contains(&unit)) && !self.high.is_empty() {
            let pair = std::mem::take(&mut self.high) + &raw;
            return self.unescaped(&pair);
        }
        let stop = self.end_high();
        if stop.is_some() {
            return stop;
        }
        if unit.is_some_and(|unit| (0xD800..0xDC00).contains(&unit)) {
            self.high = raw;
            return None;
        }
        self.unescaped(&raw)
    }

    /// A high surrogate that nothing completed stands alone.
    fn end_high(&mut self) -> Option<Stop> {
        let raw = std::mem::take(&mut self.high);
        if raw.is_empty() { None } else { self.unescaped(&raw) }
    }

    fn unescaped(&mut self, raw: &str) -> Option<Stop> {
        let mut text = String::new();
        let mut half = Surrogate::default();
        if is_escape(raw) {
            unescape(raw, &mut half, &mut text);
        }
        half.finish(&mut text);
        if text.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        self.unit(raw, &text, self.strings)
    }

    fn unit(&mut self, written: &str, text: &str, string: u64) -> Option<Stop> {
        let mut raw = [0; WRITTEN];
        raw[..written.len()].copy_from_slice(written.as_bytes());
        let length = written.chars().count();
        self.units.push_back(Unit { raw, bytes: written.len(), length, string });
        self.undone.push(text, &self.rules, self.locale)
    }

    /// Writes the units of which both scanners have decided.
    fn release(&mut self, out: &mut String, findings: &mut Vec<Finding>) -> Option<Stop> {
        while let Some(unit) = self.units.front() {
            if self.undone.marks.is_empty() || self.written.marks.len() < unit.length {
                return None;
            }
            let unit = self.units.pop_front()?;
            let undone = self.undone.marks.pop_front()?;
            let raw = Written::of(self.written.marks.drain(..unit.length));
            if !undone.cut && !raw.cut {
                self.close(findings);
                out.push_str(std::str::from_utf8(&unit.raw[..unit.bytes]).unwrap_or_default());
                self.sent += unit.length as u64;
                self.used += unit.length as u64;
                continue;
            }
            let start = undone.start.or(raw.start);
            let goes_on = self.open.as_ref().is_some_and(|open| {
                (undone.cut && undone.start.is_none() && open.as_read) || (raw.goes_on && open.written)
            });
            let rule = start.or(self.open.as_ref().map(|open| open.rule)).unwrap_or_default();
            let crosses = goes_on && self.open.as_ref().is_some_and(|open| open.string != unit.string);
            if unit.string == 0 || crosses {
                return Some(Stop::Refused { rule, granularity: Granularity::Span });
            }
            if !goes_on {
                self.close(findings);
                self.show(rule, unit.string, out);
            }
            if let Some(open) = &mut self.open {
                open.as_read = undone.cut;
                open.written = raw.cut_last;
            }
            self.used += unit.length as u64;
        }
        None
    }

    fn show(&mut self, rule: u32, string: u64, out: &mut String) {
        let mut text = Vec::new();
        encode(placeholder(&self.rules, rule, self.locale), &mut text);
        let text = String::from_utf8_lossy(&text);
        out.push_str(&text);
        let (offset, start) = (self.sent, self.used);
        self.open = Some(Open { rule, string, offset, start, written: false, as_read: false });
        let length = text.chars().count() as u64;
        self.shown.push((start, offset, length));
        self.sent += length;
    }

    fn close(&mut self, findings: &mut Vec<Finding>) {
        if let Some(Open { rule, offset, start, .. }) = self.open.take() {
            findings.push(Finding { rule, action: Action::Redact, offset, start, end: self.used });
        }
    }
}

pub(super) fn placeholder(rules: &RuleSet, rule: u32, locale: Locale) -> &str {
    rules.rule(rule).placeholder.as_ref().map_or("", |text| text.get(locale))
}

/// The code unit of a whole `\uXXXX`.
fn unit_of(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix("\\u").filter(|digits| digits.len() == 4)?;
    u16::from_str_radix(digits, 16).ok()
}

/// A whole escape of JSON, or a pair of surrogates.
fn is_escape(raw: &str) -> bool {
    match raw.len() {
        2 => b"\"\\/bfnrt".contains(&raw.as_bytes()[1]),
        6 | 12 => true,
        _ => false,
    }
}
