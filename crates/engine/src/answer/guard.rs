//! Strings that are no text: enums, ids, keys. They pass by shape, and only if they alone contain no finding, so
//! that nothing is carried past the lanes in a field that looks technical. Texts never come here.

use std::sync::Arc;

use crate::limits::ID_CHARS;
use crate::rules::{Direction, Locale, RuleSet};
use crate::stream::hold::Lane;

/// Values that the wire formats define; they need no scan.
const KNOWN: &[&str] = &[
    "assistant",
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "function_call",
    "function",
    "text",
    "custom",
    "chat.completion.chunk",
    "chat.completion",
    "text_completion",
    "tool",
    "user",
    "system",
    "developer",
    "auto",
    "default",
    "flex",
    "priority",
    "scale",
    "standard",
    "safe",
    "low",
    "medium",
    "high",
    "url_citation",
    "wav",
    "mp3",
    "refusal",
    "thinking",
    "reasoning",
    "output_text",
];
/// Strings remembered as clean, so that a field repeated in each frame is scanned once.
const REMEMBERED: usize = 64;

pub(super) struct Guard {
    rules: Arc<RuleSet>,
    locale: Locale,
    active: bool,
    clean: Vec<String>,
    out: String,
}

impl Guard {
    pub fn new(rules: &Arc<RuleSet>, locale: Locale) -> Self {
        let active = rules.is_active(Direction::Out);
        Self { rules: Arc::clone(rules), locale, active, clean: Vec::new(), out: String::new() }
    }

    /// Whether any redact or refuse rule looks at answers.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// A value of a closed list, or one that looks like it.
    pub fn is_enum(&mut self, text: &str) -> bool {
        !self.active || KNOWN.contains(&text) || (shaped(text, b"_-.") && self.is_clean(text))
    }

    pub fn is_id(&mut self, text: &str) -> bool {
        !self.active || (shaped(text, b"_-.:") && self.is_clean(text))
    }

    pub fn is_key(&mut self, text: &str) -> bool {
        self.is_id(text)
    }

    /// Scans a complete string of no lane.
    pub fn is_clean(&mut self, text: &str) -> bool {
        if !self.active || self.clean.iter().any(|known| known == text) {
            return true;
        }
        let mut lane = Lane::new(Arc::clone(&self.rules), Direction::Out, self.locale);
        let mut findings = Vec::new();
        self.out.clear();
        let stop = lane
            .push(text, &mut self.out, &mut findings)
            .or_else(|| lane.finish(&mut self.out, &mut findings));
        let clean = stop.is_none() && self.out == text;
        if clean {
            if self.clean.len() == REMEMBERED {
                self.clean.remove(0);
            }
            self.clean.push(text.to_owned());
        }
        clean
    }
}

fn shaped(text: &str, marks: &[u8]) -> bool {
    !text.is_empty()
        && text.len() <= ID_CHARS
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
}
