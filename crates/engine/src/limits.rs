//! Named limits of bodies, frames and answers. One place, with units; what exceeds one is refused, never
//! cut. docs/limits.md lists each.

/// A request body, bytes.
pub const BODY_BYTES: usize = 10 << 20;
/// Nesting of a JSON document, levels.
pub const JSON_DEPTH: u16 = 64;
/// Members of all objects of one JSON document together.
pub const JSON_KEYS: u32 = 10_000;
/// One event of a provider's stream, bytes of its data (and of any one line).
pub const FRAME_BYTES: usize = 1 << 20;
/// A whole (not streamed) answer of a provider, bytes.
pub const ANSWER_BYTES: usize = 32 << 20;
/// Released text of an answer that is kept, bytes: what a stored turn may say.
pub const KEPT_BYTES: usize = 8 << 20;
/// What an answer may hold back before its end where a rule of granularity `answer` is loaded, bytes.
pub const WITHHELD_BYTES: usize = 8 << 20;
/// Separately scanned texts of one choice.
pub const LANES_PER_CHOICE: usize = 256;
/// Annotations of one choice that may wait for the text they cite.
pub const NOTES_HELD: usize = 256;
/// Bytes of the annotations that wait.
pub const NOTES_HELD_BYTES: usize = 1 << 20;
/// Choices of one answer: `n` times the prompts of one request.
pub const CHOICES: u32 = 2_048;
/// Prompts of one legacy completion.
pub const PROMPTS: usize = 256;
/// Interventions disclosed one by one in one answer; further redactions together, one intervention for each rule.
pub const INTERVENTIONS: usize = 200;
/// Rules of one answer that get an intervention for their further redactions; one more stands for all other rules.
pub const INTERVENTION_RULES: usize = 100;
/// An id, code points of `[A-Za-z0-9_-]` (`.` and `:` too in a system fingerprint).
pub const ID_CHARS: usize = 128;
/// Strings of one request body that are scanned one by one.
pub const BODY_STRINGS: usize = 100_000;
/// Tokens that a model's template adds to a request, allowed for in its worst case.
pub const TEMPLATE_TOKENS: u64 = 512;
/// Tokens that a model's template adds to each message, allowed for in the worst case.
pub const TEMPLATE_MESSAGE_TOKENS: u64 = 16;
