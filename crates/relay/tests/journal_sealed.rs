//! A sealed log: the copy of one whose original may go on elsewhere. Nobody writes on it; a new log continues it.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dragoman_engine::ledger::canonical;
use dragoman_relay::journal::disk::RealDisk;
use dragoman_relay::journal::verify::{LogReport, verify_log, verify_zone};
use dragoman_relay::journal::{Journal, JournalConfig, JournalError, SEGMENT_BYTES_MIN, shard_of};
use serde_json::{Value, json};

/// 26 November 2026, and a day of the next quarter.
const NOW: i64 = 1_795_651_200_000;
const NEXT_QUARTER: i64 = NOW + 60 * 86_400_000;

fn config(dir: &Path, zone: &str, now: i64) -> JournalConfig {
    JournalConfig {
        segment_bytes: SEGMENT_BYTES_MIN,
        clock: Arc::new(move || now),
        ..JournalConfig::new(dir, zone)
    }
}

fn entry(kind: &str, turn: &str) -> Vec<u8> {
    let pad = "p".repeat(turn.len() * 10);
    canonical(
        &json!({"v": 1, "kind": kind, "turn": turn, "at": 1, "tenant": "ten_a", "model": "m", "pad": pad}),
    )
    .unwrap()
}

/// A closed log with a finished and an open turn; what `verify` says of it.
fn made(dir: &Path) -> LogReport {
    let journal = Journal::open(&config(dir, "local", NOW)).unwrap().journal;
    for n in 0..300 {
        journal
            .append_many(vec![entry("intent", &format!("trn_{n}")), entry("result", &format!("trn_{n}"))])
            .wait()
            .unwrap();
    }
    journal.append(entry("intent", "trn_open")).wait().unwrap();
    journal.close();
    verify_log(&RealDisk, &dir.join(shard_of(NOW))).unwrap()
}

fn seal(dir: &Path, report: &LogReport) {
    seal_as(dir, report.proven, report.root.unwrap(), &report.open.iter().map(|o| o.1).collect::<Vec<_>>());
    std::fs::remove_dir_all(dir.join("keys")).unwrap();
}

fn seal_as(dir: &Path, size: u64, root: [u8; 32], open: &[u64]) {
    let root = hex(root);
    let text = json!({"size": size, "root": format!("sha256:{root}"), "open": open}).to_string();
    std::fs::write(dir.join(shard_of(NOW)).join("sealed"), text).unwrap();
}

fn hex(hash: [u8; 32]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for item in std::fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn entries(journal: &Journal) -> Vec<Value> {
    let read = journal.read(0, 1000, 1 << 20).unwrap();
    read.iter().map(|(_, e)| serde_json::from_slice(e).unwrap()).collect()
}

#[test]
fn a_new_log_continues_a_sealed_one_that_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let old = made(dir.path());
    seal(dir.path(), &old);
    let before = files(&dir.path().join("2026q4"));

    let opened = Journal::open(&config(dir.path(), "local", NOW)).unwrap();
    assert_ne!(opened.log_id, old.log);
    let said = entries(&opened.journal);
    assert_eq!(said[0]["shard"], "2026q4r01");
    assert_eq!(said[0]["previous"]["log"], json!(old.log));
    assert_eq!(said[0]["previous"]["size"], json!(old.proven));
    assert_eq!((&said[1]["turn"], &said[1]["status"]), (&json!("trn_open"), &json!("interrupted")));
    assert_eq!(opened.interrupted.len(), 1);
    let earlier = &opened.journal.earlier()[0];
    assert_eq!((&earlier.log_id, earlier.next_index), (&old.log, old.proven));
    opened.journal.append(entry("action", "trn_new")).wait().unwrap();
    opened.journal.close();

    assert_eq!(files(&dir.path().join("2026q4")), before);
    let zone = verify_zone(&RealDisk, dir.path(), &[]).unwrap();
    assert!(zone.is_sound(), "{zone:?}");
    assert_eq!(zone.logs.len(), 2);

    // The next start goes on with the new log and ends nothing twice.
    let again = Journal::open(&config(dir.path(), "local", NOW)).unwrap();
    assert_eq!((&again.log_id, again.interrupted.len()), (&opened.log_id, 0));
    again.journal.close();
    // A later quarter follows in the ordinary way.
    let later = Journal::open(&config(dir.path(), "local", NEXT_QUARTER)).unwrap();
    assert_eq!(entries(&later.journal)[0]["previous"]["log"], json!(opened.log_id));
    later.journal.close();
    assert!(verify_zone(&RealDisk, dir.path(), &[]).unwrap().is_sound());
}

#[test]
fn a_crash_before_the_new_log_stands_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let old = made(dir.path());
    seal(dir.path(), &old);
    std::fs::create_dir_all(dir.path().join("2026q4r01/segments")).unwrap();

    let opened = Journal::open(&config(dir.path(), "local", NOW)).unwrap();
    assert_eq!(entries(&opened.journal)[0]["previous"]["log"], json!(old.log));
    assert_eq!(opened.interrupted.len(), 1);
}

#[test]
fn sealed_again_the_next_name_follows() {
    let dir = tempfile::tempdir().unwrap();
    let old = made(dir.path());
    seal(dir.path(), &old);
    Journal::open(&config(dir.path(), "local", NOW)).unwrap().journal.close();
    std::fs::write(dir.path().join("2026q4r01/sealed"), "{").unwrap();

    let wrong = Journal::open(&config(dir.path(), "local", NOW)).unwrap_err();
    assert!(matches!(wrong, JournalError::Corrupt(_)), "{wrong}");

    let second = verify_log(&RealDisk, &dir.path().join("2026q4r01")).unwrap();
    let root = hex(second.root.unwrap());
    let text = json!({"size": second.proven, "root": format!("sha256:{root}"), "open": []}).to_string();
    std::fs::write(dir.path().join("2026q4r01/sealed"), text).unwrap();
    let opened = Journal::open(&config(dir.path(), "local", NOW)).unwrap();
    assert_eq!(entries(&opened.journal)[0]["shard"], "2026q4r02");
}

#[test]
fn a_seal_that_does_not_fit_or_another_zone_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let old = made(dir.path());
    for (size, root) in [(old.proven - 1, old.root.unwrap()), (old.proven, [7; 32])] {
        seal_as(dir.path(), size, root, &[]);
        let wrong = Journal::open(&config(dir.path(), "local", NOW)).unwrap_err().to_string();
        assert!(wrong.contains("another size or root"), "{wrong}");
    }
    seal(dir.path(), &old);
    let wrong = Journal::open(&config(dir.path(), "other", NOW)).unwrap_err().to_string();
    assert!(wrong.contains("no log of zone other"), "{wrong}");
    // Without the seal it is an ordinary log whose key is missing: the copy cannot go on as the original.
    std::fs::remove_file(dir.path().join("2026q4/sealed")).unwrap();
    let wrong = Journal::open(&config(dir.path(), "local", NOW)).unwrap_err().to_string();
    assert!(wrong.contains("cannot be signed"), "{wrong}");
}

/// A relay ends the open turns itself, after control said what it holds of them.
#[test]
fn what_a_sealed_log_left_open_is_handed_over_until_it_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let old = made(dir.path());
    seal(dir.path(), &old);
    let keeping = || JournalConfig { keep_open: true, ..config(dir.path(), "local", NOW) };
    let handed = |opened: &dragoman_relay::journal::Opened<Journal>| {
        opened.open.iter().map(|o| (o.turn.clone(), o.log.clone(), o.index)).collect::<Vec<_>>()
    };
    let left = ("trn_open".to_owned(), old.log.clone(), old.open[0].1);

    let opened = Journal::open(&keeping()).unwrap();
    assert_eq!(handed(&opened), std::slice::from_ref(&left));
    assert_eq!(entries(&opened.journal).len(), 1);
    opened.journal.close();

    // A crash before they were ended: they are handed over again, beside an intent of the new log.
    let again = Journal::open(&keeping()).unwrap();
    assert_eq!(handed(&again), std::slice::from_ref(&left));
    again.journal.append(entry("result", "trn_open")).wait().unwrap();
    again.journal.append(entry("intent", "trn_new")).wait().unwrap();
    again.journal.append(entry("result", "trn_open")).wait().unwrap();
    again.journal.close();

    let last = Journal::open(&keeping()).unwrap();
    assert_eq!(handed(&last), [("trn_new".to_owned(), last.log_id.clone(), 2)]);
}

#[test]
fn a_result_behind_other_entries_does_not_count_as_ending_what_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let old = made(dir.path());
    seal(dir.path(), &old);
    let keeping = || JournalConfig { keep_open: true, ..config(dir.path(), "local", NOW) };
    let opened = Journal::open(&keeping()).unwrap();
    opened.journal.append(entry("action", "trn_open")).wait().unwrap();
    opened.journal.close();
    let again = Journal::open(&keeping()).unwrap();
    assert_eq!(again.open.len(), 1);
    again.journal.close();
    // Opened by one who leaves nothing open, it is ended there.
    let ended = Journal::open(&config(dir.path(), "local", NOW)).unwrap();
    assert_eq!(ended.interrupted.iter().map(|i| i.turn.as_str()).collect::<Vec<_>>(), ["trn_open"]);
}
