//! Decided redactions as spans, and the emission of a lane's text around them.
use std::collections::VecDeque;

use super::Finding;
use super::source::Place;
use crate::rules::Action;

/// A complete match of a rule that denies, flags or allows.
#[derive(Debug, Clone, Copy)]
pub struct Match {
    pub rule: u32,
    pub action: Action,
    pub right: bool,
    pub start: Place,
    pub end: Place,
    /// End of the absorbed code points that follow without a break.
    pub tail: Place,
}

impl Match {
    pub fn lies_within(&self, outer: &Self) -> bool {
        outer.start <= self.start && self.end <= outer.end
    }

    /// Takes an absorbed code point that starts at `from` into the tail.
    pub fn absorb(&mut self, from: Place, to: Place) {
        if self.tail == from {
            self.tail = to;
        }
    }
}

/// Order in which members of a span may label it: decided first, then start, end, rule.
type Seniority = (u64, u64, u64, u32);

#[derive(Debug)]
pub struct Span {
    pub start: Place,
    pub end: Place,
    label: Seniority,
    /// Emitted code points before the placeholder, once it is out.
    shown_at: Option<u64>,
    /// Per rule: least start, greatest end.
    members: Vec<(u32, u64, u64)>,
}

/// Emits the text of a lane: raw up to the release line, placeholders for decided spans.
#[derive(Debug, Default)]
pub struct Spans {
    /// In order, apart from each other.
    open: VecDeque<Span>,
}

impl Spans {
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes a redact match decided at `decided` (code points read), merging what it overlaps.
    pub fn decide(&mut self, found: &Match, decided: u64) {
        let mut span = Span {
            start: found.start,
            end: found.tail,
            label: (decided, found.start.chars, found.end.chars, found.rule),
            shown_at: None,
            members: vec![(found.rule, found.start.chars, found.end.chars)],
        };
        let mut at = self.open.partition_point(|other| other.end <= span.start);
        while self.open.get(at).is_some_and(|other| other.start < span.end) {
            span.swallow(self.open.remove(at));
        }
        at = at.min(self.open.len());
        self.open.insert(at, span);
    }

    /// Takes an absorbed code point into the tail of a span that ends where it starts.
    pub fn absorb(&mut self, from: Place, to: Place) {
        for span in self.open.iter_mut().filter(|span| span.end == from) {
            span.end = to;
        }
    }

    /// Whether `found` with its tail lies inside one decided span.
    pub fn contain(&self, found: &Match) -> bool {
        self.open.iter().any(|span| span.start <= found.start && found.tail <= span.end)
    }

    /// The first span without placeholder that starts before `line` or at it.
    fn next(&self, line: Place) -> Option<usize> {
        let index = self.open.iter().position(|span| span.shown_at.is_none())?;
        (self.open[index].start <= line).then_some(index)
    }

    /// Shows the next placeholder that may be shown: where it stands and the rule that labels it.
    pub fn due(&self, line: Place) -> Option<(Place, u32)> {
        self.next(line).map(|index| (self.open[index].start, self.open[index].label.3))
    }

    /// Notes that the placeholder of the next span went out after `emitted` code points.
    pub fn show(&mut self, line: Place, emitted: u64) {
        if let Some(index) = self.next(line) {
            self.open[index].shown_at = Some(emitted);
        }
    }

    /// End of the last span whose placeholder is out: text before it is never emitted.
    pub fn swallowed(&self) -> Option<Place> {
        self.open.iter().rev().find(|span| span.shown_at.is_some()).map(|span| span.end)
    }

    /// Reports and forgets the shown spans that nothing can join any more: those that end before
    /// `read` and not after `line`, unless `joins` says an undecided match starts before their end.
    pub fn close(&mut self, read: Place, line: Place, joins: impl Fn(Place) -> bool, to: &mut Vec<Finding>) {
        while let Some(span) = self.open.front() {
            if span.shown_at.is_none() || span.end >= read || span.end > line || joins(span.end) {
                break;
            }
            self.report(to);
        }
    }

    /// Reports every shown span and forgets all of them.
    pub fn end(&mut self, to: &mut Vec<Finding>) {
        while !self.open.is_empty() {
            self.report(to);
        }
    }

    /// Takes the first span out; its label's rule is reported first.
    fn report(&mut self, to: &mut Vec<Finding>) {
        let Some(mut span) = self.open.pop_front() else { return };
        let Some(offset) = span.shown_at else { return };
        span.members.sort_unstable_by_key(|&(rule, start, end)| (rule != span.label.3, start, end, rule));
        to.extend(span.members.into_iter().map(|(rule, start, end)| Finding {
            rule,
            action: Action::Redact,
            offset,
            start,
            end,
        }));
    }
}

impl Span {
    fn swallow(&mut self, other: Option<Self>) {
        let Some(other) = other else { return };
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        // A shown label stands: nothing that was emitted is taken back.
        self.label = if other.shown_at.is_some() { other.label } else { self.label.min(other.label) };
        self.shown_at = self.shown_at.or(other.shown_at);
        for (rule, start, end) in other.members {
            match self.members.iter_mut().find(|member| member.0 == rule) {
                Some(member) => *member = (rule, member.1.min(start), member.2.max(end)),
                None => self.members.push((rule, start, end)),
            }
        }
    }
}
