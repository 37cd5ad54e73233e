//! How much an answer may have and how much a request may cost: the caller's own bounds, the operator's written into
//! the provider's body, and an upper bound of the tokens that go in.

use super::Request;
use super::fields::BIG;
use super::read::{Outcome, Reader};
use crate::limits::{TEMPLATE_MESSAGE_TOKENS, TEMPLATE_TOKENS};
use crate::stream::json::Span;

/// A member that says the most tokens of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutputField {
    value: Span,
    /// None for `null`.
    tokens: Option<u64>,
}

/// The most tokens of one choice, and the field in which the provider takes them.
#[derive(Debug, Clone, Copy)]
pub struct MostOutput<'a> {
    pub field: &'a str,
    pub tokens: u64,
}

impl Reader<'_> {
    pub(super) fn output(&mut self, low: i64) -> Outcome {
        if self.null()? {
            let end = self.cursor.pos();
            self.found.outputs.push(OutputField { value: Span { start: end - 4, end }, tokens: None });
            return Ok(());
        }
        self.kind()?;
        let start = self.cursor.pos();
        let tokens = self.integer(low, BIG)?;
        let value = Span { start, end: self.cursor.pos() };
        self.found.outputs.push(OutputField { value, tokens: Some(tokens.unsigned_abs()) });
        Ok(())
    }

    pub(super) fn best_of(&mut self) -> Outcome {
        self.found.best_of = self.integer(1, 20)? as u32;
        Ok(())
    }
}

impl Request {
    /// The most tokens of one choice that the caller asked for; the least where it says so twice.
    pub fn output_asked(&self) -> Option<u64> {
        self.found.outputs.iter().filter_map(|field| field.tokens).min()
    }

    /// Texts that the model writes: choices, also those that it throws away.
    pub fn written(&self) -> u64 {
        u64::from(self.found.n.max(self.found.best_of)) * u64::from(self.found.prompts.max(1))
    }

    /// More than text goes in: `input_bound` says nothing of that.
    pub fn has_media(&self) -> bool {
        self.found.media
    }

    /// Tokens that the text going in cannot exceed. A token of a byte-level BPE stands for one byte at least, and the
    /// JSON form of a text is not shorter than the text; what the model's own template adds is allowed for beside it.
    pub fn input_bound(&self) -> u64 {
        let placeholders: usize = self.redacted.iter().map(|(_, text)| text.len()).sum();
        (self.text.len() + placeholders) as u64
            + TEMPLATE_TOKENS
            + TEMPLATE_MESSAGE_TOKENS * self.found.messages as u64
    }

    /// Edits after which no member asks for more than `most`, and one asks for it where none said anything.
    pub(super) fn bound_output(&self, most: MostOutput<'_>, edits: &mut Vec<(Span, Vec<u8>)>) {
        let said = self.output_asked().is_some();
        let mut written = said;
        for field in &self.found.outputs {
            let over = match field.tokens {
                Some(tokens) => tokens > most.tokens,
                // A null is the place to say it, unless another member does.
                None => !std::mem::replace(&mut written, true),
            };
            if over {
                edits.push((field.value, most.tokens.to_string().into_bytes()));
            }
        }
        if !written {
            let at = self.text.trim_ascii_end().len() - 1;
            let put = format!(",\"{}\":{}", most.field, most.tokens).into_bytes();
            edits.push((Span { start: at, end: at }, put));
        }
    }
}
