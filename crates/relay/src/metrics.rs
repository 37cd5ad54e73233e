//! Counters and histograms of the relay, and their Prometheus text. No label holds a name of a person, a
//! key or a text.
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Upper bounds of time buckets, microseconds.
const BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// A histogram of times.
#[derive(Default)]
pub struct Times {
    buckets: [AtomicU64; BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Times {
    pub fn add_us(&self, us: u64) {
        if let Some(at) = BOUNDS_US.iter().position(|&bound| us <= bound) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn write(&self, out: &mut String, name: &str) {
        let mut so_far = 0;
        for (bound, bucket) in BOUNDS_US.iter().zip(&self.buckets) {
            so_far += bucket.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {so_far}", *bound as f64 / 1e6);
        }
        let count = self.count.load(Ordering::Relaxed);
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum {}", self.sum_us.load(Ordering::Relaxed) as f64 / 1e6);
        let _ = writeln!(out, "{name}_count {count}");
    }
}

/// How a turn ended, as its result entry says.
pub const STATUSES: [&str; 6] = ["finished", "refused", "denied", "failed", "cancelled", "interrupted"];
/// Routes that are carried as turns.
pub const ROUTES: [&str; 3] = ["/v1/chat/completions", "/v1/completions", "/v1/conversations/turns"];

macro_rules! metrics {
    ($($field:ident $name:literal $help:literal;)*) => {
        /// All counters of a relay. One instance, shared by its threads.
        #[derive(Default)]
        pub struct Metrics {
            turns: [[AtomicU64; STATUSES.len()]; ROUTES.len()],
            /// Time from the whole request to the first bytes of the answer.
            pub first_bytes: Times,
            /// Time from the whole request to the call of the provider: what we add before it.
            pub before_call: Times,
            /// Waiting for the journal, intents and results.
            pub journal_wait: Times,
            pub open_turns: AtomicI64,
            /// Code points that open answers hold back.
            pub held: AtomicI64,
            $(pub $field: AtomicU64,)*
        }

        impl Metrics {
            fn counters(&self, out: &mut String) {
                $(let _ = writeln!(out, "# HELP {} {}\n# TYPE {} counter\n{} {}", $name, $help, $name, $name,
                    self.$field.load(Ordering::Relaxed));)*
            }
        }
    };
}

metrics! {
    principal_hits "dragoman_principal_cache_hits_total" "Principals found in the cache.";
    principal_misses "dragoman_principal_cache_misses_total" "Principals asked of control.";
    plan_hits "dragoman_plan_cache_hits_total" "Plans found in the cache.";
    plan_misses "dragoman_plan_cache_misses_total" "Plans asked of control.";
    attempts "dragoman_provider_attempts_total" "Calls to providers.";
    attempts_failed "dragoman_provider_attempts_failed_total" "Calls to providers that failed.";
    interventions "dragoman_interventions_total" "Interventions made.";
    errors "dragoman_errors_total" "Requests answered with an error object.";
    shed "dragoman_shed_total" "Turns refused because too many were open.";
    crowded "dragoman_crowded_total" "Connections and requests refused because their address had all it may have open.";
    throttled "dragoman_throttled_total" "Requests refused because their address or principal asked faster than a rate of the edge.";
    unclear "dragoman_connections_unclear_total" "Connections closed before a request: no TLS, or no plain PROXY header of a trusted proxy.";
    panics "dragoman_panics_total" "Panics caught; each is a bug.";
    paused "dragoman_paused_total" "Turns that paused without contact to control.";
    connections "dragoman_connections_total" "Connections accepted.";
    fed "dragoman_feed_entries_total" "Journal entries taken by control.";
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    pub fn principal_hit(&self) {
        count(&self.principal_hits);
    }

    pub fn principal_miss(&self) {
        count(&self.principal_misses);
    }

    /// A turn on `route` ended with `status`.
    pub fn turn(&self, route: &str, status: &str) {
        let at = (ROUTES.iter().position(|r| *r == route), STATUSES.iter().position(|s| *s == status));
        if let (Some(route), Some(status)) = at {
            count(&self.turns[route][status]);
        }
    }

    /// The Prometheus text. `more` is appended by who knows the journal.
    pub fn text(&self, more: &[(&str, &str, u64)]) -> String {
        let mut out = String::with_capacity(8192);
        out.push_str("# HELP dragoman_turns_total Turns by route and how they ended.\n# TYPE dragoman_turns_total counter\n");
        for (route, row) in ROUTES.iter().zip(&self.turns) {
            for (status, n) in STATUSES.iter().zip(row) {
                let n = n.load(Ordering::Relaxed);
                let _ = writeln!(out, "dragoman_turns_total{{route=\"{route}\",status=\"{status}\"}} {n}");
            }
        }
        for (name, help, times) in [
            (
                "dragoman_first_bytes_seconds",
                "From the whole request to the first bytes of its answer.",
                &self.first_bytes,
            ),
            (
                "dragoman_before_call_seconds",
                "From the whole request to the call of the provider.",
                &self.before_call,
            ),
            ("dragoman_journal_wait_seconds", "Waiting for an entry to be durable.", &self.journal_wait),
        ] {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
            times.write(&mut out, name);
        }
        for (name, help, value) in [
            ("dragoman_open_turns", "Turns open now.", &self.open_turns),
            ("dragoman_held_code_points", "Code points of open answers held back by rules now.", &self.held),
        ] {
            let value = value.load(Ordering::Relaxed);
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        self.counters(&mut out);
        for (name, kind, value) in more {
            let _ = writeln!(out, "# TYPE {name} {kind}\n{name} {value}");
        }
        out
    }
}
