//! The tokens a provider says it used. Numbers only: nothing else of the object reaches a client.

use super::guard::Guard;
use crate::stream::json::{Cursor, Error, Kind, Limits, Scratch, decode};

/// Tokens of one answer. A provider that says more is not believed: the ledger takes integers to 2^53 only, and a
/// day's sum has to stay a number.
const TOKENS_MAX: u64 = 1_000_000_000;

/// The member of a usage object that splits up the prompt's tokens, and the level at which it is read.
const DETAILS: &str = "prompt_tokens_details";
const PROMPT_DETAILS: u32 = 1;

fn tokens(text: &str) -> Option<u64> {
    text.parse().ok().filter(|tokens| *tokens <= TOKENS_MAX)
}

/// Tokens; `known` is false as long as the provider has not said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    pub input: u64,
    /// Of `input`, what the provider had cached.
    pub cached: u64,
    pub output: u64,
    pub known: bool,
    /// It came with the end of the answer: a sum over all of it, not one on the way.
    pub complete: bool,
    /// The object for the client, keys of plain shape and numbers only.
    shown: String,
}

impl Usage {
    /// Nothing was used, and that is known.
    pub fn none() -> Self {
        Self { known: true, ..Self::default() }
    }

    /// Reads the value of a `usage` member; the last one of an answer counts.
    pub(super) fn read(
        &mut self,
        object: &str,
        scratch: &mut Scratch,
        guard: &mut Guard,
    ) -> Result<(), Error> {
        let mut cursor = Cursor::new(object, scratch, Limits::default());
        let mut next = Self::default();
        next.object(&mut cursor, 0, guard)?;
        next.cached = next.cached.min(next.input);
        if next.known || !self.known {
            *self = next;
        }
        Ok(())
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    fn object(&mut self, cursor: &mut Cursor<'_>, level: u32, guard: &mut Guard) -> Result<(), Error> {
        self.shown.push('{');
        let mut members = cursor.enter(Kind::Object)?;
        let mut first = true;
        while let Some(key) = cursor.key(&mut members)? {
            let name = decode(cursor.slice(key));
            let kind = cursor.kind()?;
            let plain = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let plain = plain && guard.is_key(&name);
            if !plain || !matches!(kind, Kind::Number | Kind::Object | Kind::Null) {
                cursor.skip()?;
                continue;
            }
            if !std::mem::take(&mut first) {
                self.shown.push(',');
            }
            self.shown.push('"');
            self.shown.push_str(&name);
            self.shown.push_str("\":");
            if kind == Kind::Object {
                // Only the prompt's details say what of it was cached.
                let below = if level == 0 && name == DETAILS {
                    PROMPT_DETAILS
                } else {
                    level.max(PROMPT_DETAILS) + 1
                };
                self.object(cursor, below, guard)?;
                continue;
            }
            let value = cursor.skip()?;
            let text = &cursor.text()[value.start..value.end];
            let passes = kind == Kind::Null || guard.is_clean(text);
            self.shown.push_str(if passes { text } else { "null" });
            match level {
                0 => self.note(&name, text),
                PROMPT_DETAILS if name == "cached_tokens" => self.cached = tokens(text).unwrap_or(0),
                _ => {}
            }
        }
        self.shown.push('}');
        Ok(())
    }

    fn note(&mut self, name: &str, text: &str) {
        let Some(tokens) = tokens(text) else { return };
        match name {
            "prompt_tokens" => (self.input, self.known) = (tokens, true),
            "completion_tokens" => (self.output, self.known) = (tokens, true),
            _ => {}
        }
    }
}
