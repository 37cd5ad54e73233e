//! The seeds of the property tests: fixed ones, then `DRAGOMAN_SEED` or a fresh one. `DRAGOMAN_CASES` sets the number
//! of cases over all of them.
#![allow(dead_code)] // each test binary uses its own part

use std::sync::OnceLock;

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

const FIXED: [u64; 2] = [0x00D1_2A60_4A11, 20_261_125];

fn given<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

pub fn seeds() -> &'static [u64] {
    static SEEDS: OnceLock<Vec<u64>> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let fresh = || now.map_or(1, |since| since.as_nanos() as u64);
        FIXED.into_iter().chain([given("DRAGOMAN_SEED").unwrap_or_else(fresh)]).collect()
    })
}

fn each(usual: u32) -> u32 {
    given("DRAGOMAN_CASES").unwrap_or(usual).div_ceil(seeds().len() as u32)
}

/// A configuration for each seed, together at least `usual` cases. Each is named before it runs: the tests' output is
/// shown when one fails.
pub fn configs(usual: u32) -> impl Iterator<Item = ProptestConfig> {
    let cases = each(usual);
    seeds().iter().map(move |&seed| {
        println!("DRAGOMAN_SEED={seed}");
        ProptestConfig {
            cases,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(seed),
            ..ProptestConfig::default()
        }
    })
}

/// The last line of a proof: its figures.
pub fn figures(proof: &str, usual: u32) {
    let cases = u64::from(each(usual)) * seeds().len() as u64;
    println!(); // libtest's progress dots stand on the line before
    println!(r#"{{"proof": "{proof}", "cases": {cases}, "failures": 0, "seed": {:?}}}"#, seeds());
}

#[test]
fn a_seed_draws_the_same_cases_again() {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let draw = |seed| {
        let config = ProptestConfig { rng_seed: RngSeed::Fixed(seed), ..ProptestConfig::default() };
        any::<[u64; 4]>().new_tree(&mut TestRunner::new(config)).expect("a case").current()
    };
    assert_eq!(draw(FIXED[0]), draw(FIXED[0]));
    assert_ne!(draw(FIXED[0]), draw(FIXED[1]));
    assert_eq!(seeds()[..2], FIXED);
    assert!(given::<u64>("DRAGOMAN_SEED").is_none_or(|seed| seeds()[2] == seed));
}
