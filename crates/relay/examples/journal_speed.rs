//! What an append costs: `cargo run --release --example journal_speed [seconds] [dir]`, as JSON lines.
//!
//! Concurrent tasks on two single-threaded runtimes, as in the relay, each appending its next entry when the last one
//! is durable. CPU is that of the whole process, from the operating system.
use std::path::Path;
use std::time::{Duration, Instant};

use dragoman_relay::journal::{Journal, JournalConfig};
use serde_json::json;

const THREADS: usize = 2;
const ENTRY_BYTES: usize = 700;

fn cpu_seconds() -> f64 {
    // SAFETY: getrusage fills the zeroed struct it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Appends from `tasks` tasks until the time is over; the latencies in nanoseconds.
fn worker(journal: &Journal, tasks: usize, until: Instant) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let running: Vec<_> = (0..tasks)
            .map(|task| {
                let journal = journal.clone();
                tokio::task::spawn_local(async move {
                    let mut took = Vec::new();
                    let pad = "p".repeat(ENTRY_BYTES - 60);
                    let entry = json!({"kind": "intent", "pad": pad, "turn": format!("trn_{task}"), "v": 1})
                        .to_string();
                    while Instant::now() < until {
                        let begun = Instant::now();
                        journal.append(entry.clone().into_bytes()).await.expect("durable");
                        took.push(begun.elapsed().as_nanos() as u64);
                    }
                    took
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in running {
            all.extend(task.await.expect("a task"));
        }
        all
    })
}

fn measure(dir: &Path, tasks: usize, seconds: u64) {
    let journal = Journal::open(&JournalConfig::new(dir, "local")).expect("opens").journal;
    let (cpu, begun, before) = (cpu_seconds(), Instant::now(), journal.stats());
    let until = begun + Duration::from_secs(seconds);
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let journal = journal.clone();
            std::thread::spawn(move || worker(&journal, tasks / THREADS, until))
        })
        .collect();
    let mut took: Vec<u64> = threads.into_iter().flat_map(|t| t.join().expect("a thread")).collect();
    let (cpu, wall, after) = (cpu_seconds() - cpu, begun.elapsed().as_secs_f64(), journal.stats());
    journal.close();
    took.sort_unstable();
    let (entries, groups) = (after.entries - before.entries, after.groups - before.groups);
    let at = |q: f64| took[((took.len() - 1) as f64 * q) as usize] / 1000;
    let round = |x: f64| (x * 100.0).round() / 100.0;
    let line = json!({
        "tasks": tasks, "appends_per_s": (entries as f64 / wall) as u64, "cpu_us_per_append": round(cpu / entries as f64 * 1e6),
        "entries_per_group": round(entries as f64 / groups as f64), "p50_us": at(0.5), "p99_us": at(0.99),
        "group_us": round((after.commit_ns - before.commit_ns) as f64 / groups as f64 / 1000.0),
    });
    println!("{line}");
}

fn main() {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().and_then(|s| s.parse().ok()).unwrap_or(3);
    let base = args.next().unwrap_or_else(|| ".".into());
    for tasks in [8, 64] {
        let dir = tempfile::tempdir_in(&base).expect("a folder");
        measure(dir.path(), tasks, seconds);
    }
}
