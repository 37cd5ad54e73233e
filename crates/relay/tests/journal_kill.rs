//! SIGKILL of a process that appends under load: no acknowledged entry is missing, the log verifies.
//!
//! `DRAGOMAN_CASES` kills (30 by default; 1,000 to prove). `DRAGOMAN_RESULTS` names a JSON file that counts over
//! several runs, so that a long proof can be interrupted. `DRAGOMAN_SEED` repeats the moments of the kills.
mod sim;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dragoman_engine::ledger::canonical;
use dragoman_relay::journal::disk::RealDisk;
use dragoman_relay::journal::verify::verify_log;
use dragoman_relay::journal::{Journal, JournalConfig, SEGMENT_BYTES_MIN};
use serde_json::{Value, json};

const CHILD: &str = "DRAGOMAN_KILL_CHILD";

fn config(dir: &Path) -> JournalConfig {
    JournalConfig { segment_bytes: 2 * SEGMENT_BYTES_MIN, ..JournalConfig::new(dir, "local") }
}

/// The process that is killed: several threads append, and print each index with its entry once acknowledged.
#[test]
fn writer_child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let journal = Journal::open(&config(Path::new(&dir))).unwrap().journal;
    println!("\nopen"); // on a line of its own, whatever the test runner wrote
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                for n in 0_u64.. {
                    let kind = if n % 2 == 0 { "intent" } else { "result" };
                    let turn = format!("trn_{}_{thread}_{}", std::process::id(), n / 2);
                    let pad = "p".repeat((n * 37 % 1500) as usize);
                    let entry = canonical(&json!({"v": 1, "kind": kind, "turn": turn, "pad": pad})).unwrap();
                    let index = journal.append(entry).wait().unwrap();
                    // One write per line, so that a kill never mixes two.
                    std::io::stdout().write_all(format!("ack {index} {kind} {turn}\n").as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Runs a writer, kills it `ms` after its start, or after it has opened the journal; what it acknowledged.
fn kill_after(dir: &Path, ms: u64, opened: bool) -> Vec<(u64, String, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer_child", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
    let (tell, told) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acks = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            let line = String::from_utf8_lossy(&line).into_owned();
            let parts: Vec<&str> = line.split(' ').collect();
            if parts == ["open"] {
                tell.send(()).expect("the test waits");
            }
            if let ["ack", index, kind, turn] = parts[..] {
                acks.push((index.parse().unwrap(), kind.to_owned(), turn.to_owned()));
            }
        }
        acks
    });
    if opened {
        told.recv_timeout(Duration::from_secs(60)).expect("the writer opens the journal");
    }
    std::thread::sleep(Duration::from_millis(ms));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

fn check(dir: &Path, promised: &HashMap<u64, (String, String)>) {
    let journal = Journal::open(&config(dir)).unwrap().journal;
    let mut found = 0;
    let mut next = 0;
    while next < journal.durable() {
        for (index, entry) in journal.read(next, 1000, 1 << 20).unwrap() {
            next = index + 1;
            let Some((kind, turn)) = promised.get(&index) else { continue };
            let entry: Value = serde_json::from_slice(&entry).unwrap();
            assert_eq!(
                (entry["kind"].as_str(), entry["turn"].as_str()),
                (Some(kind.as_str()), Some(turn.as_str()))
            );
            found += 1;
        }
    }
    assert_eq!(found, promised.len(), "acknowledged entries are missing");
    journal.close();
    for shard in
        std::fs::read_dir(dir).unwrap().map(|d| d.unwrap().path()).filter(|p| p.join("segments").is_dir())
    {
        let report = verify_log(&RealDisk, &shard).unwrap();
        assert_eq!(report.findings, Vec::<String>::new());
        assert_eq!((report.unproven, report.open.len()), (0, 0));
        assert_eq!(report.proven, next);
    }
}

fn counted(trials: u64, acknowledged: u64) {
    let Ok(path) = std::env::var("DRAGOMAN_RESULTS") else { return };
    let old: Value =
        std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let sum = |name: &str, more: u64| old[name].as_u64().unwrap_or(0) + more;
    let new = json!({"trials": sum("trials", trials), "acknowledged": sum("acknowledged", acknowledged), "lost": 0});
    std::fs::write(path, new.to_string()).unwrap();
}

#[test]
fn kills_lose_nothing_acknowledged() {
    const KILLS_PER_LOG: u64 = 25;
    let cases: u64 = std::env::var("DRAGOMAN_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let seed = sim::seed();
    println!("seed {seed} (DRAGOMAN_SEED={seed} repeats it)");
    let mut rng = sim::Rng(seed);
    let (mut done, mut total) = (0, 0);
    // On a busy machine a writer hardly comes to write before it is killed: then there are more kills.
    while done < cases || (total <= cases && done < 20 * cases) {
        let dir = tempfile::tempdir().unwrap();
        let mut promised = HashMap::new();
        let kills = KILLS_PER_LOG.min(cases.saturating_sub(done).max(1));
        for kill in 0..kills {
            for (index, kind, turn) in kill_after(dir.path(), 15 + rng.below(120), kill % 2 == 0) {
                promised.insert(index, (kind, turn));
            }
            check(dir.path(), &promised);
        }
        (done, total) = (done + kills, total + promised.len() as u64);
        counted(kills, promised.len() as u64);
    }
    assert!(total > cases, "the writers hardly wrote: {total} acknowledged entries");
    println!("\n{}", json!({"kills": done, "acknowledged": total, "lost": 0}));
}
