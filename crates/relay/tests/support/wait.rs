//! How long a test waits: exactly as promised under `DRAGOMAN_EXACT=1`, with room for a busy machine else.
use std::time::{Duration, Instant};

/// What a busy machine may take for anything that has to come.
pub const SLOW: Duration = Duration::from_secs(60);

/// What a test allows for something that is promised in `ms` milliseconds.
pub fn within(ms: u64) -> Duration {
    let exact = std::env::var("DRAGOMAN_EXACT").is_ok_and(|v| v == "1");
    Duration::from_millis(if exact { ms } else { ms + 30_000 })
}

/// Until `check` holds; panics with `what` after `SLOW`.
pub fn eventually(what: &str, check: impl FnMut() -> bool) {
    eventually_within(SLOW, what, check);
}

/// Until `check` holds; panics with `what` after `limit`.
pub fn eventually_within(limit: Duration, what: &str, mut check: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !check() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
