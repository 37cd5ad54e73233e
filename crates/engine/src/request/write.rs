//! The body for the provider: the model's real name, usage asked for, placeholders in; every other byte as it came.

use super::{MostOutput, Request};
use crate::stream::json::{Span, encode};

impl Request {
    /// `force_usage` asks the provider for usage on a stream, whether or not the caller wants to see it.
    pub fn upstream_body(&self, upstream_model: &str, force_usage: bool) -> Vec<u8> {
        self.bounded_body(upstream_model, force_usage, None)
    }

    /// The same with the most tokens that the answer may have, where the caller asks for more or does not say.
    pub fn bounded_body(
        &self,
        upstream_model: &str,
        force_usage: bool,
        most: Option<MostOutput<'_>>,
    ) -> Vec<u8> {
        let mut edits: Vec<(Span, Vec<u8>)> = Vec::with_capacity(self.redacted.len() + 2);
        let mut model = vec![b'"'];
        encode(upstream_model, &mut model);
        model.push(b'"');
        edits.push((self.found.model_span, model));
        edits.extend(self.found.parent.as_ref().map(|(_, span)| (self.member(*span), Vec::new())));
        for (span, text) in &self.redacted {
            let mut put = Vec::with_capacity(text.len());
            encode(text, &mut put);
            edits.push((*span, put));
        }
        if force_usage && self.found.stream {
            edits.extend(self.usage());
        }
        if let Some(most) = most {
            self.bound_output(most, &mut edits);
        }
        edits.sort_by_key(|(span, _)| span.start);
        let bytes = self.text.as_bytes();
        let mut out = Vec::with_capacity(bytes.len() + 128);
        let mut copied = 0;
        for (span, put) in edits {
            out.extend_from_slice(&bytes[copied..span.start]);
            out.extend_from_slice(&put);
            copied = span.end;
        }
        out.extend_from_slice(&bytes[copied..]);
        out
    }

    /// A member with the comma that goes with it. Another one stands beside it: the model at least.
    pub(super) fn member(&self, span: Span) -> Span {
        let rest = &self.text[span.end..];
        let after = rest.trim_ascii_start();
        if after.starts_with(',') {
            return Span { end: span.end + rest.len() - after.len() + 1, ..span };
        }
        let before = self.text[..span.start].trim_ascii_end();
        Span { start: before.strip_suffix(',').unwrap_or(before).len(), ..span }
    }

    fn usage(&self) -> Option<(Span, Vec<u8>)> {
        const WISH: &[u8] = b"\"include_usage\":true";
        if self.found.wants_usage {
            return None;
        }
        if let Some(span) = self.found.include_usage {
            return Some((span, b"true".to_vec()));
        }
        if let Some(span) = self.found.stream_options {
            let at = span.start + 1;
            let empty = self.text[at..span.end - 1].trim_ascii().is_empty();
            let mut put = WISH.to_vec();
            if !empty {
                put.push(b',');
            }
            return Some((Span { start: at, end: at }, put));
        }
        if let Some(span) = self.found.null_stream_options {
            return Some((span, [b"{", WISH, b"}"].concat()));
        }
        // The last brace closes the body, which has members: the model at least.
        let at = self.text.trim_ascii_end().len() - 1;
        Some((Span { start: at, end: at }, [b",\"stream_options\":{", WISH, b"}"].concat()))
    }
}
