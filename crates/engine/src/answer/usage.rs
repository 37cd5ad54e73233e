//! The tokens a provider says it used. Numbers only: nothing else of the object reaches a client.

use super::guard::Guard;
use crate::stream::json::{Cursor, Error, Kind, Limits, Scratch, decode};

/// Tokens of one answer. A provider that says more is not believed: the ledger takes integers to 2^53 only, and a
/// day's sum has to stay a number.
const TOKENS_MAX: u64 = 1_000_000_000;

/// Tokens; `known` is false as long as the provider has not said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub known: bool,
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
                self.object(cursor, level + 1, guard)?;
                continue;
            }
            let value = cursor.skip()?;
            let text = &cursor.text()[value.start..value.end];
            let passes = kind == Kind::Null || guard.is_clean(text);
            self.shown.push_str(if passes { text } else { "null" });
            if level == 0 {
                self.note(&name, text);
            }
        }
        self.shown.push('}');
        Ok(())
    }

    fn note(&mut self, name: &str, text: &str) {
        let Some(tokens) = text.parse().ok().filter(|tokens| *tokens <= TOKENS_MAX) else { return };
        match name {
            "prompt_tokens" => (self.input, self.known) = (tokens, true),
            "completion_tokens" => (self.output, self.known) = (tokens, true),
            _ => {}
        }
    }
}
