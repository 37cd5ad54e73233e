//! Strings that are no text: enums, ids, keys. They pass by shape, and only if they alone contain no finding, so
//! that nothing is carried past the lanes in a field that looks technical. Texts never come here.

use std::sync::Arc;

use crate::limits::{ID_CHARS, LANES_PER_CHOICE};
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
/// Keys that the wire formats define; they need no scan.
const KNOWN_KEYS: &[&str] = &[
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cached_tokens",
    "audio_tokens",
    "reasoning_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
];
/// Strings remembered as clean, so that a field repeated in each frame is scanned once.
const REMEMBERED: usize = 64;
/// Of the ids that a place has had, what the next one is read after, bytes.
const JOINED_BYTES: usize = 512;

pub(super) struct Guard {
    rules: Arc<RuleSet>,
    locale: Locale,
    active: bool,
    clean: Vec<String>,
    /// The ids of a place, one after the other, as a client has them that appends each to the last.
    joined: Vec<(String, String)>,
    out: String,
}

impl Guard {
    pub fn new(rules: &Arc<RuleSet>, locale: Locale) -> Self {
        let active = rules.is_active(Direction::Out);
        Self {
            rules: Arc::clone(rules),
            locale,
            active,
            clean: Vec::new(),
            joined: Vec::new(),
            out: String::new(),
        }
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

    /// A value of a closed list.
    pub fn is_known(&self, text: &str) -> bool {
        !self.active || KNOWN.contains(&text)
    }

    /// An id, also where it is read after those that `place` had before.
    pub fn continues(&mut self, place: &str, id: &str) -> bool {
        if !self.active {
            return true;
        }
        if !self.is_id(id) {
            return false;
        }
        let known = self.joined.iter().position(|(at, _)| at == place);
        let mut joined = known.map_or_else(String::new, |at| self.joined[at].1.clone());
        joined.push_str(id);
        if known.is_some() && !self.scan(&joined) {
            return false;
        }
        joined.drain(..joined.len().saturating_sub(JOINED_BYTES));
        match known {
            Some(at) => self.joined[at].1 = joined,
            None if self.joined.len() < LANES_PER_CHOICE => self.joined.push((place.to_owned(), joined)),
            None => return false,
        }
        true
    }

    pub fn is_key(&mut self, text: &str) -> bool {
        KNOWN_KEYS.contains(&text) || self.is_id(text)
    }

    /// Scans a complete string of no lane.
    pub fn is_clean(&mut self, text: &str) -> bool {
        if !self.active || self.clean.iter().any(|known| known == text) {
            return true;
        }
        let clean = self.scan(text);
        if clean {
            if self.clean.len() == REMEMBERED {
                self.clean.remove(0);
            }
            self.clean.push(text.to_owned());
        }
        clean
    }

    fn scan(&mut self, text: &str) -> bool {
        let mut lane = Lane::new(Arc::clone(&self.rules), Direction::Out, self.locale);
        let mut findings = Vec::new();
        self.out.clear();
        let stop = lane
            .push(text, &mut self.out, &mut findings)
            .or_else(|| lane.finish(&mut self.out, &mut findings));
        stop.is_none() && self.out == text
    }
}

fn shaped(text: &str, marks: &[u8]) -> bool {
    !text.is_empty()
        && text.len() <= ID_CHARS
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
}
