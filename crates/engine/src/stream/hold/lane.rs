//! One lane as its owner sees it.
use std::sync::Arc;

use super::scan::{Scan, Turn};
use super::{Direction, Finding, Locale, Stop};
use crate::rules::RuleSet;

/// One separately scanned text. Cheap to make; allocates only once something is held or found.
#[derive(Debug)]
pub struct Lane {
    rules: Arc<RuleSet>,
    direction: Direction,
    scan: Scan,
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
        Self { rules, direction, scan: Scan::new(locale) }
    }

    /// A lane that remembers its placeholders, for a caller that writes the text itself.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.scan.trace = Some(Vec::new());
        self
    }

    /// A lane that a refusal does not end: the finding is reported and the text goes on, with its redactions. For a text
    /// that is kept for who wrote it and goes to nobody.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.scan.lasting = true;
        self
    }

    /// The placeholders since the last call, in order.
    pub fn placeholders(&mut self) -> Vec<Placeholder> {
        self.scan.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Source code points that were written out or replaced.
    pub fn passed(&self) -> u64 {
        self.scan.cursor.chars
    }

    /// Reads the next chunk; appends what may be released to `out`. After a stop it does nothing.
    pub fn push(&mut self, text: &str, out: &mut String, findings: &mut Vec<Finding>) -> Option<Stop> {
        if self.scan.stop.is_some() || self.scan.aborted {
            return None;
        }
        let Some(matcher) = self.rules.matcher(self.direction) else {
            self.scan.pass(text, out);
            return None;
        };
        let chunk_at = self.scan.read;
        let mut turn = Turn { rules: &self.rules, matcher, chunk: text, chunk_at, out, findings };
        self.scan.push(text, &mut turn)
    }

    /// The clean end of the text: decides everything and releases the rest. After an abort or a stop
    /// it releases nothing and reports the placeholders already shown.
    pub fn finish(&mut self, out: &mut String, findings: &mut Vec<Finding>) -> Option<Stop> {
        if self.scan.stop.is_some() {
            return None;
        }
        let matcher = self.rules.matcher(self.direction)?;
        let chunk_at = self.scan.read;
        let mut turn = Turn { rules: &self.rules, matcher, chunk: "", chunk_at, out, findings };
        self.scan.finish(&mut turn)
    }

    /// Upstream broke off: what is held is dropped. `finish` still reports what was shown.
    pub fn discard(&mut self) {
        self.scan.discard();
    }

    /// Code points held back.
    pub fn held(&self) -> usize {
        self.scan.held()
    }

    pub fn stopped(&self) -> Option<Stop> {
        self.scan.stop
    }
}
