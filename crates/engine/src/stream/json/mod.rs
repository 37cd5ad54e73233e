//! JSON (RFC 8259) read in one pass over bytes, without a tree: a validating cursor that yields spans, and the
//! escaping both ways. It never copies what it reads; limits on depth and keys hold for every document.

mod cursor;
mod escape;

pub use cursor::{Cursor, Error, Kind, Limits, Members, Scratch, Span, Str, contents};
pub use escape::{Surrogate, decode, encode, has_lone_surrogate, unescape};

#[cfg(test)]
mod tests;
