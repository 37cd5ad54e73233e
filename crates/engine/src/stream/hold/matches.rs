//! Complete matches on their way to a decision: waiting for an edge, pending for an allow phrase.
use super::Finding;
use super::source::Place;
use super::spans::{Match, Spans};
use super::threads::Threads;
use crate::rules::{Action, RuleSet};

/// Matches that are complete but not decided, and flags not yet reported.
#[derive(Debug, Default)]
pub struct Matches {
    /// Left edge held, right edge unknown. All of them end where the last symbol did.
    waiting: Vec<Match>,
    /// Confirmed denies and flags, not suppressed so far.
    confirmed: Vec<Match>,
    /// Allows confirmed by the code point being read.
    allows: Vec<Match>,
    /// Decided flags that overlapping ones may still extend: rule, start, end.
    flags: Vec<(u32, u64, u64)>,
}

impl Matches {
    /// Whether the next code point can change anything here.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.confirmed.is_empty()
            && self.flags.is_empty()
            && self.allows.is_empty()
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
        self.confirmed.clear();
        self.allows.clear();
    }

    /// Takes a match whose left edge held.
    pub fn complete(&mut self, found: Match) {
        if found.right {
            self.waiting.push(found);
        } else {
            self.confirm(found);
        }
    }

    fn confirm(&mut self, found: Match) {
        if found.action == Action::Allow {
            self.allows.push(found);
        } else {
            self.confirmed.push(found);
        }
    }

    /// Decides the waiting right edges: the next symbol is known, or the text has ended.
    #[inline]
    pub fn edge(&mut self, satisfied: bool) {
        if self.waiting.is_empty() {
            return;
        }
        for found in std::mem::take(&mut self.waiting) {
            if satisfied {
                self.confirm(found);
            }
        }
    }

    pub fn absorb(&mut self, from: Place, to: Place) {
        for found in self.waiting.iter_mut().chain(&mut self.confirmed) {
            found.absorb(from, to);
        }
    }

    /// Drops what the allows confirmed just now contain. A suppressed match never comes back.
    pub fn suppress(&mut self, rules: &RuleSet) {
        for allow in std::mem::take(&mut self.allows) {
            let stays = |found: &Match| !(found.lies_within(&allow) && rules.exempts(allow.rule, found.rule));
            self.confirmed.retain(stays);
            self.waiting.retain(|found| found.action == Action::Allow || stays(found));
        }
    }

    /// Takes out the confirmed matches that no allow phrase can take away any more.
    pub fn decide(&mut self, threads: &Threads<'_>) -> Vec<Match> {
        let waiting = &self.waiting;
        let pending = |found: &Match| {
            threads.may_be_allowed(found) || is_in_waiting_allow(waiting, found, threads.rules)
        };
        let (undecided, decided) = self.confirmed.drain(..).partition(pending);
        self.confirmed = undecided;
        decided
    }

    /// At the end of the text all threads die, so every confirmed match is decided.
    pub fn decide_all(&mut self) -> Vec<Match> {
        std::mem::take(&mut self.confirmed)
    }

    /// The earliest start of a deny match that waits or is pending, unless a decided span covers it.
    pub fn earliest_deny(&self, rules: &RuleSet, spans: &Spans) -> Option<Place> {
        let waiting = self.waiting.iter().filter(|found| !is_in_waiting_allow(&self.waiting, found, rules));
        let holds = |found: &&Match| {
            found.action == Action::Refuse || (found.action == Action::Redact && !spans.contain(found))
        };
        waiting.chain(&self.confirmed).filter(holds).map(|found| found.start).min()
    }

    /// Whether an undecided redaction starts before `end`.
    pub fn redacts_before(&self, end: Place) -> bool {
        let before = |found: &Match| found.action == Action::Redact && found.start < end;
        self.waiting.iter().chain(&self.confirmed).any(before)
    }

    /// Takes a decided flag, joining the overlapping ones of its rule.
    pub fn flag(&mut self, found: &Match) {
        let (mut start, mut end) = (found.start.chars, found.end.chars);
        self.flags.retain(|&(rule, other_start, other_end)| {
            let joins = rule == found.rule && other_start < end && start < other_end;
            if joins {
                (start, end) = (start.min(other_start), end.max(other_end));
            }
            !joins
        });
        self.flags.push((found.rule, start, end));
    }

    /// Reports the flags that end at `line` or before, where no undecided one may join them.
    pub fn report_flags(&mut self, line: u64, to: &mut Vec<Finding>) {
        let flags = self.waiting.iter().chain(&self.confirmed).filter(|found| found.action == Action::Flag);
        let line = flags.map(|found| found.start.chars).min().map_or(line, |start| line.min(start));
        self.flags.sort_unstable_by_key(|&(rule, start, end)| (start, end, rule));
        self.flags.retain(|&(rule, start, end)| {
            if end <= line {
                to.push(Finding { rule, action: Action::Flag, offset: start, start, end });
            }
            end > line
        });
    }
}

/// Whether an allow that waits for its edge would contain `found`.
fn is_in_waiting_allow(waiting: &[Match], found: &Match, rules: &RuleSet) -> bool {
    let contains = |allow: &Match| {
        allow.action == Action::Allow && found.lies_within(allow) && rules.exempts(allow.rule, found.rule)
    };
    waiting.iter().any(contains)
}
