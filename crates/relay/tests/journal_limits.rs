//! The running journal on a slow disk, on a full one, and read by a verifier while it writes.
mod sim;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dragoman_engine::ledger::canonical;
use dragoman_relay::journal::disk::RealDisk;
use dragoman_relay::journal::verify::{verify_log, verify_zone};
use dragoman_relay::journal::{
    GROUP_SLOW_MS, Journal, JournalConfig, JournalError, SEGMENT_BYTES_MIN, SyncJournal,
};
use serde_json::{Value, json};
use sim::{Rng, SimDisk};

fn sim_config(disk: &SimDisk) -> JournalConfig {
    JournalConfig {
        disk: Arc::new(disk.clone()),
        segment_bytes: SEGMENT_BYTES_MIN,
        on_lost: Arc::new(|_| {}),
        ..JournalConfig::new("/journal", "local")
    }
}

fn entry(n: u64, pad: usize) -> Vec<u8> {
    canonical(&json!({"v": 1, "kind": "action", "n": n, "pad": "p".repeat(pad)})).unwrap()
}

fn log_dir(disk: &SimDisk) -> PathBuf {
    let segment = disk.paths().into_iter().find(|p| p.extension().is_some_and(|e| e == "seg")).unwrap();
    segment.ancestors().nth(2).unwrap().to_owned()
}

#[test]
fn a_slow_sync_fails_those_who_wait_and_their_entries_still_become_durable() {
    let disk = SimDisk::new(true);
    let journal = Journal::open(&sim_config(&disk)).unwrap().journal;
    let first = journal.append(entry(0, 0)).wait().unwrap();

    disk.hold_syncs(true);
    let begun = Instant::now();
    let in_flight = journal.append(entry(1, 0));
    std::thread::sleep(Duration::from_millis(50));
    let queued = journal.append(entry(2, 0));
    assert_eq!(in_flight.wait(), Err(JournalError::Slow));
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(GROUP_SLOW_MS), "{waited:?}");
    assert_eq!(queued.wait(), Err(JournalError::Slow));
    assert_eq!(journal.durable(), first + 1, "nothing is acknowledged that was not synced");

    disk.hold_syncs(false);
    let last = journal.append(entry(3, 0)).wait().unwrap();
    assert_eq!(last, first + 3, "what was slow kept its place");
    let read = journal.read(first, 10, 10_000).unwrap();
    let expected: Vec<Vec<u8>> = (0..4).map(|n| entry(n, 0)).collect();
    assert_eq!(read.iter().map(|(_, e)| e.to_vec()).collect::<Vec<_>>(), expected);
    assert_eq!(journal.stats().slow, 2);
    journal.close();

    let report = verify_log(&disk, &log_dir(&disk)).unwrap();
    assert_eq!((report.findings, report.proven, report.unproven), (vec![], last + 1, 0));
}

#[test]
fn a_sync_within_the_limit_is_not_slow() {
    // The negative control: the same wait, shorter.
    const TRIES: usize = 20; // a busy machine may stretch a wait beyond the limit
    let quick = (0..TRIES).any(|_| {
        let disk = SimDisk::new(true);
        let journal = Journal::open(&sim_config(&disk)).unwrap().journal;
        disk.hold_syncs(true);
        let append = journal.append(entry(0, 0));
        std::thread::sleep(Duration::from_millis(GROUP_SLOW_MS / 3));
        disk.hold_syncs(false);
        append.wait().is_ok() && journal.stats().slow == 0
    });
    assert!(quick, "each of {TRIES} waits of a third of the limit was too slow");
}

#[test]
fn a_full_disk_refuses_then_recovers_without_a_restart() {
    const PAD: usize = 40_000;
    let disk = SimDisk::new(true);
    let journal = Journal::open(&sim_config(&disk)).unwrap().journal;
    let mut taken = vec![(journal.append(entry(0, PAD)).wait().unwrap(), entry(0, PAD))];
    disk.set_space(Some(0));
    let mut refused = 0;
    for n in 1..40 {
        match journal.append(entry(n, PAD)).wait() {
            Ok(index) => taken.push((index, entry(n, PAD))),
            Err(JournalError::Unavailable(why)) => {
                assert!(why.contains("space"), "{why}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(taken.len() > 2 && refused > 20, "{} taken, {refused} refused", taken.len());
    assert_eq!(journal.stats().refused, refused);

    disk.set_space(None);
    for n in 100..110 {
        taken.push((journal.append(entry(n, PAD)).wait().unwrap(), entry(n, PAD)));
    }
    let indexes: Vec<u64> = taken.iter().map(|(index, _)| *index).collect();
    assert_eq!(
        indexes,
        (indexes[0]..=*indexes.last().unwrap()).collect::<Vec<_>>(),
        "a refusal leaves no gap"
    );
    journal.close();
    assert_eq!(verify_log(&disk, &log_dir(&disk)).unwrap().findings, Vec::<String>::new());

    disk.cut(&mut Rng(1));
    let again = Journal::open(&sim_config(&disk)).unwrap().journal;
    for (index, entry) in taken {
        assert_eq!(again.read(index, 1, 1).unwrap()[0].1, entry);
    }
}

fn real_config(dir: &Path) -> JournalConfig {
    JournalConfig { segment_bytes: SEGMENT_BYTES_MIN, ..JournalConfig::new(dir, "local") }
}

fn admit(zone: &Path, opened: &[u8]) {
    let opened: Value = serde_json::from_slice(opened).unwrap();
    let admitted = json!({"v": 1, "kind": "registry", "event": "log_admitted", "at": 1, "log": opened["log"],
                          "key": opened["key"], "origin": opened["origin"]});
    let mut registry = SyncJournal::open(&real_config(&zone.join("registry"))).unwrap().journal;
    registry.commit(&[canonical(&admitted).unwrap()]).unwrap();
    registry.derive().unwrap();
}

/// Writes groups, each with tiles and checkpoint, until `entries` are there; verifies all the while.
/// Returns how many verifications there were, and how many saw the log grow.
fn verify_beside_a_writer(rng: &mut Rng, entries: u64) -> (u64, u64) {
    let zone = tempfile::tempdir().unwrap();
    let journal = zone.path().join("journal");
    let mut writer = SyncJournal::open(&real_config(&journal)).unwrap().journal;
    writer.derive().unwrap();
    admit(zone.path(), &writer.read(0, 1, 1).unwrap()[0].1);
    let done = Arc::new(AtomicBool::new(false));
    let writing = {
        let (done, seed) = (Arc::clone(&done), rng.next());
        std::thread::spawn(move || {
            let mut rng = Rng(seed);
            let mut next = 1;
            while next < entries {
                let group: Vec<_> =
                    (0..=rng.below(9)).map(|n| entry(next + n, rng.below(300) as usize)).collect();
                next = writer.commit(&group).unwrap() + group.len() as u64;
                if rng.below(3) > 0 {
                    writer.derive().unwrap();
                }
            }
            done.store(true, Ordering::Release);
        })
    };
    let (mut count, mut grew, mut last) = (0, 0, 0);
    while !done.load(Ordering::Acquire) {
        let report =
            verify_zone(&RealDisk, &zone.path().join("registry"), std::slice::from_ref(&journal)).unwrap();
        assert!(report.is_sound(), "a false alarm: {report:?}");
        let proven = report.logs[1].proven;
        assert!(proven >= last, "the proven part shrank from {last} to {proven}");
        grew += u64::from(proven > last);
        (last, count) = (proven, count + 1);
    }
    writing.join().unwrap();
    (count, grew)
}

#[test]
fn verifying_beside_a_writer_is_never_a_false_alarm() {
    const VERIFICATIONS: u64 = 300;
    const GROWING: u64 = 100;
    const ENTRIES: u64 = 256 * 5;
    let seed = sim::seed();
    println!("seed {seed} (DRAGOMAN_SEED={seed} repeats it)");
    let mut rng = Rng(seed);
    let (mut count, mut grew) = (0, 0);
    while count < VERIFICATIONS || grew < GROWING {
        let (more, growing) = verify_beside_a_writer(&mut rng, ENTRIES);
        (count, grew) = (count + more, grew + growing);
    }
    println!("\n{}", json!({"verifications": count, "while_growing": grew, "false_alarms": 0}));
}

#[test]
fn verifying_beside_the_running_journal_under_load_is_never_a_false_alarm() {
    let zone = tempfile::tempdir().unwrap();
    let dir = zone.path().join("journal");
    let journal = Journal::open(&real_config(&dir)).unwrap().journal;
    admit(zone.path(), &journal.read(0, 1, 1 << 16).unwrap()[0].1);
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|thread| {
            let (journal, done) = (journal.clone(), Arc::clone(&done));
            std::thread::spawn(move || {
                for n in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    journal.append(entry(thread * 1_000_000 + n, 100)).wait().unwrap();
                    std::thread::sleep(Duration::from_millis(2));
                }
            })
        })
        .collect();
    let begun = Instant::now();
    let mut count = 0;
    let mut signed = 0;
    while journal.stats().signed < 4 {
        let report =
            verify_zone(&RealDisk, &zone.path().join("registry"), std::slice::from_ref(&dir)).unwrap();
        assert!(report.is_sound(), "a false alarm: {report:?}");
        signed = signed.max(report.logs[1].proven);
        count += 1;
        std::thread::sleep(Duration::from_millis(10));
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoints");
    }
    done.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().unwrap();
    }
    println!("\n{}", json!({"verifications": count, "proven": signed, "false_alarms": 0}));
    assert!(signed > 256, "{signed}");
}
