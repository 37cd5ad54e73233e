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
    /// With its key.
    member: Span,
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
        let start = self.key.start - 1;
        let tokens = if self.null()? { None } else { Some(self.integer(low, BIG)?.unsigned_abs()) };
        let member = Span { start, end: self.cursor.pos() };
        self.found.outputs.push(OutputField { member, tokens });
        Ok(())
    }

    pub(super) fn best_of(&mut self) -> Outcome {
        self.found.best_of = self.integer(1, 20)? as u32;
        Ok(())
    }

    pub(super) fn modality(&mut self) -> Outcome {
        if self.one_of(&["text", "audio"])? == 1 {
            self.is_dearer();
        }
        Ok(())
    }

    /// Reads a value whose being there asks for what has a price of its own.
    pub(super) fn dearer(&mut self, read: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        self.is_dearer();
        read(self)
    }

    pub(super) fn is_dearer(&mut self) {
        if self.found.dearer.is_none() {
            self.found.dearer = Some(self.param.clone());
        }
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

    /// The first field that asks for what is not at the model's ordinary price: another tier of service, sound, the
    /// vendor's own search.
    pub fn dearer(&self) -> Option<&str> {
        self.found.dearer.as_deref()
    }

    /// Tokens that the text going in cannot exceed. A token of a byte-level BPE stands for one byte at least, and the
    /// JSON form of a text is not shorter than the text; what the model's own template adds is allowed for beside it.
    pub fn input_bound(&self) -> u64 {
        let placeholders: usize = self.redacted.iter().map(|(_, text)| text.len()).sum();
        (self.text.len() + placeholders) as u64
            + TEMPLATE_TOKENS
            + TEMPLATE_MESSAGE_TOKENS * self.found.messages as u64
    }

    /// Edits after which one member says the most tokens: `most.field`, the one that the provider takes. A provider
    /// that does not know the caller's own member would go by none.
    pub(super) fn bound_output(&self, most: MostOutput<'_>, edits: &mut Vec<(Span, Vec<u8>)>) {
        let tokens = self.output_asked().map_or(most.tokens, |asked| asked.min(most.tokens));
        let member = format!("\"{}\":{tokens}", most.field);
        let Some((first, others)) = self.found.outputs.split_first() else {
            let at = self.text.trim_ascii_end().len() - 1;
            edits.push((Span { start: at, end: at }, format!(",{member}").into_bytes()));
            return;
        };
        edits.push((first.member, member.into_bytes()));
        edits.extend(others.iter().map(|other| (self.member(other.member), Vec::new())));
    }
}
