//! Limits: what a turn reserves before it is recorded and sent, what it settles when it has ended, and how fast callers
//! may ask. Parts of limits (allotments) are held here and spent without asking; control is asked when they run short.
//! INVARIANT: a turn's worst case of every limit is reserved before its intent; what is given back is never still in use.
pub mod account;
pub mod ask;
pub mod bucket;
pub mod message;
pub mod named;
pub mod period;
pub mod rate;
pub mod say;
pub mod worst;

use crate::budget::ask::Run;
use crate::budget::bucket::Bucket;
use crate::budget::named::Names;
use crate::budget::rate::Pace;
use std::sync::OnceLock;

/// The tag of changes after which every allotment is asked for anew.
pub const TAG: &str = "limits";

/// What the threads of one relay share of limits.
#[derive(Default)]
pub struct Budgets {
    pub buckets: Names<Bucket>,
    pub paces: Names<Pace>,
    /// This run of the relay, once its first message to control was made.
    run: OnceLock<Run>,
}

impl Budgets {
    /// This run: `found` gives the log's state at the first call, before which nothing can have been reserved.
    pub fn run(&self, found: impl FnOnce() -> Run) -> &Run {
        self.run.get_or_init(found)
    }
}
