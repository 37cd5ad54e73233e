//! The exact release rule of one lane: text in, the longest safe prefix out.
//! On the path of every text that is scanned. It never lets a character of an unsuppressed match of a
//! redact or refuse rule pass, never waits longer than the rules make unavoidable, and gives the
//! same output however the text is cut. It writes no notices: whoever owns the answer does.

mod lane;
mod matches;
mod scan;
mod source;
mod spans;
mod threads;

pub use crate::rules::{Action, Direction, Granularity, Locale};
pub use lane::{Lane, Placeholder};

/// What a rule found and what was done. Of a redaction there is one per rule and placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Finding {
    /// Number of the rule in its rule set.
    pub rule: u32,
    pub action: Action,
    /// Emitted code points before the placeholder or notice; for a flag, as `start`.
    pub offset: u64,
    /// Source code points: start of the first match.
    pub start: u64,
    /// Source code points: end of the last match.
    pub end: u64,
}

/// Why a lane ended before its text did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A refuse rule was decided. What was held is gone; the notice is the caller's.
    Refused { rule: u32, granularity: Granularity },
    /// More code points were held than the rule set's limits allow at run time.
    Overflow,
}
