//! Latency samples in microseconds and their quantiles; exact, sorted once at the end.

use std::time::Duration;

use serde::Serialize;

/// Samples of one kind.
#[derive(Default)]
pub struct Samples(Vec<u32>);

/// Quantiles in milliseconds; all zero when there is no sample.
#[derive(Serialize, Debug, PartialEq)]
pub struct Quantiles {
    pub n: usize,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Samples {
    pub fn add(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Nearest-rank quantiles.
    pub fn quantiles(mut self) -> Quantiles {
        self.0.sort_unstable();
        let n = self.0.len();
        let at = |q: f64| {
            let rank = (q * n as f64).ceil() as usize;
            self.0.get(rank.clamp(1, n.max(1)) - 1).map_or(0.0, |us| f64::from(*us) / 1e3)
        };
        let sum: f64 = self.0.iter().map(|us| f64::from(*us)).sum();
        let mean = if n == 0 { 0.0 } else { sum / n as f64 / 1e3 };
        Quantiles { n, mean, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}
