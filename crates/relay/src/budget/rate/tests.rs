use super::*;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn pace() -> Pace {
    Pace::new(&Name { id: "r", starts: 0, thing: ["key", ""] })
}

/// A bucket of tokens that fills by the minute's rate, in exact fractions: what the algorithm has to equal.
struct Slow {
    /// Sixtieths of nanoseconds' worth: tokens × 60e9.
    level: u128,
    at: u64,
}

impl Slow {
    fn take(&mut self, n: u64, most: u64, burst: u64, now: u64) -> bool {
        let whole = u128::from(burst) * MINUTE_NS;
        self.level = (self.level + u128::from(now - self.at) * u128::from(most)).min(whole);
        self.at = now;
        let due = u128::from(n) * MINUTE_NS;
        let there = self.level >= due;
        if there {
            self.level -= due;
        }
        there
    }
}

proptest! {
    /// Never more than a bucket of tokens lets through, and hardly less: rounding favours the limit by a nanosecond each.
    #[test]
    fn it_is_a_bucket_of_tokens(
        most in 1u64..10_000,
        burst in 1u64..100,
        asks in proptest::collection::vec((1u64..5, 0u64..3 * SECOND), 1..200),
    ) {
        let pace = pace();
        let mut now = 10 * SECOND;
        let mut slow = Slow { level: u128::from(burst) * MINUTE_NS, at: now };
        for (n, pause) in asks {
            now += pause;
            let level = slow.level;
            let at = slow.at;
            let through = pace.take(n, (most, burst), now).is_ok();
            if through {
                prop_assert!(slow.take(n, most, burst, now), "more than the rate allows");
            } else {
                // A microsecond later at the most it would have come through by the exact bucket as well.
                let mut later = Slow { level, at };
                let soon = later.take(n, most, burst, now.saturating_sub(1_000).max(at));
                prop_assert!(!soon, "less than the rate allows");
                slow = Slow { level, at };
            }
        }
    }
}

#[test]
fn a_burst_comes_at_once_and_then_the_rate() {
    let pace = pace();
    let now = 100 * SECOND;
    for left in (0..5).rev() {
        assert_eq!(pace.take(1, (60, 5), now).map(|state| state.left), Ok(left));
    }
    let state = pace.take(1, (60, 5), now).unwrap_err();
    assert_eq!((state.left, state.wait_ns, state.reset_ns), (0, Some(SECOND), 5 * SECOND));
    assert!(pace.take(1, (60, 5), now + SECOND - 1).is_err());
    assert!(pace.take(1, (60, 5), now + SECOND).is_ok());
    assert!(!pace.is_idle(now + SECOND));
    assert!(pace.is_idle(now + 7 * SECOND));
}

#[test]
fn more_than_a_burst_never_comes() {
    assert_eq!(pace().take(6, (60, 5), SECOND).unwrap_err().wait_ns, None);
}

#[test]
fn what_is_given_back_may_come_again() {
    let pace = pace();
    assert!(pace.take(100, (100, 100), SECOND).is_ok());
    assert!(pace.take(1, (100, 100), SECOND).is_err());
    pace.give_back(40, 100);
    assert!(pace.take(40, (100, 100), SECOND).is_ok());
    assert!(pace.take(1, (100, 100), SECOND).is_err());
}
