//! The running journal on the real disk: order, durability across restarts, limits, the lock, the key.
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dragoman_engine::ledger::canonical;
use dragoman_relay::journal::disk::RealDisk;
use dragoman_relay::journal::verify::verify_log;
use dragoman_relay::journal::{
    Journal, JournalConfig, JournalError, SEGMENT_BYTES_MIN, interrupted_result, resumed_entry, shard_of,
};
use serde_json::{Value, json};

fn config(dir: &Path) -> JournalConfig {
    JournalConfig { segment_bytes: SEGMENT_BYTES_MIN, ..JournalConfig::new(dir, "local") }
}

fn entry(value: &Value) -> Vec<u8> {
    canonical(value).unwrap()
}

fn intent(turn: &str) -> Vec<u8> {
    entry(&json!({"v": 1, "kind": "intent", "turn": turn, "at": 1, "tenant": "ten_a", "key": "key_a",
                  "decision": "dec_a", "model": "dragoman"}))
}

fn result(turn: &str) -> Vec<u8> {
    entry(&json!({"v": 1, "kind": "result", "turn": turn, "at": 2, "status": "finished"}))
}

fn all(journal: &Journal) -> Vec<Value> {
    let mut entries = Vec::new();
    while (entries.len() as u64) < journal.durable() {
        let read = journal.read(entries.len() as u64, 100, 10_000).unwrap();
        assert_eq!(read[0].0, entries.len() as u64);
        entries.extend(read.iter().map(|(_, e)| serde_json::from_slice(e).unwrap()));
    }
    entries
}

#[test]
fn entries_keep_their_order_over_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..3 {
        let opened = Journal::open(&config(dir.path())).unwrap();
        assert_eq!(opened.next_index, opened.journal.durable());
        let mut indexes = Vec::new();
        for wave in 0..6 {
            let texts: Vec<String> =
                (0..100).map(|n| format!("{round}-{wave}-{n}-{}", "x".repeat(n * 9))).collect();
            let append = |text: &String| {
                opened.journal.append(entry(&json!({"v": 1, "kind": "action", "text": text})))
            };
            let appends: Vec<_> = texts.iter().map(append).collect();
            indexes.extend(appends.into_iter().map(|a| a.wait().unwrap()));
            expected.extend(texts);
        }
        assert_eq!(indexes, (opened.next_index..opened.next_index + 600).collect::<Vec<_>>());
        opened.journal.close();
    }

    let opened = Journal::open(&config(dir.path())).unwrap();
    let texts: Vec<String> =
        all(&opened.journal).iter().filter_map(|e| Some(e.get("text")?.as_str()?.to_owned())).collect();
    assert_eq!(texts, expected);
}

#[test]
fn appends_together_have_consecutive_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&config(dir.path())).unwrap().journal;

    let first = journal.append_many(vec![intent("trn_1"), result("trn_1")]).wait().unwrap();
    let read = journal.read(first, 2, 10_000).unwrap();

    assert_eq!(read.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [first, first + 1]);
    assert_eq!(read[1].1, result("trn_1"));
    assert_eq!(journal.read(first + 2, 2, 10_000).unwrap(), []);
}

#[test]
fn an_intent_without_result_is_ended_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&config(dir.path())).unwrap().journal;
    for turn in ["trn_1", "trn_2", "trn_3"] {
        journal.append(intent(turn)).wait().unwrap();
    }
    journal.append(result("trn_2")).wait().unwrap();
    journal.close();

    let opened = Journal::open(&config(dir.path())).unwrap();
    let turns: Vec<&str> = opened.interrupted.iter().map(|i| i.turn.as_str()).collect();
    assert_eq!(turns, ["trn_1", "trn_3"]);
    let entries = all(&opened.journal);
    let ended = &entries[opened.interrupted[0].index as usize];
    assert_eq!(ended["status"], "interrupted");
    assert_eq!(
        (&ended["turn"], &ended["tenant"], &ended["asked"]),
        (&json!("trn_1"), &json!("ten_a"), &json!("dragoman"))
    );
    assert_eq!(entries[opened.interrupted[0].intent as usize]["turn"], "trn_1");
    opened.journal.close();

    assert_eq!(Journal::open(&config(dir.path())).unwrap().interrupted, []);
}

#[test]
fn the_first_entry_opens_the_log_and_each_restart_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Journal::open(&config(dir.path())).unwrap();
    let name = opened.log_id.clone();
    opened.journal.close();

    let again = Journal::open(&config(dir.path())).unwrap();

    let events: Vec<Value> = all(&again.journal).iter().map(|e| e["event"].clone()).collect();
    assert_eq!(events, ["log_opened", "log_resumed"]);
    assert_eq!(again.log_id, name);
    assert!(name.starts_with("log_local_"));
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Journal::open(&config(dir.path())).unwrap();

    let second = Journal::open(&config(dir.path())).unwrap_err();
    assert_eq!(second, JournalError::Locked(dir.path().to_owned()));
    opened.journal.close();
    assert!(Journal::open(&config(dir.path())).is_ok());
}

#[test]
fn a_key_that_others_can_read_or_another_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Journal::open(&config(dir.path())).unwrap().journal.close();
    let key = std::fs::read_dir(dir.path().join("keys")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = Journal::open(&config(dir.path())).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");

    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&key, [9; 32]).unwrap();
    let error = Journal::open(&config(dir.path())).unwrap_err().to_string();
    assert!(error.contains("is not the one of"), "{error}");
}

#[test]
fn what_cannot_be_an_entry_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&config(dir.path())).unwrap().journal;

    for entries in [vec![], vec![vec![]], vec![vec![b'1'; 60_001]]] {
        assert!(matches!(journal.append_many(entries).wait(), Err(JournalError::Entry(_))));
    }
    let longest = entry(&json!("a".repeat(59_998)));
    assert_eq!(longest.len(), 60_000);
    assert!(journal.append(longest).wait().is_ok());
}

#[test]
fn after_close_nothing_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&config(dir.path())).unwrap().journal;
    let other = journal.clone();
    journal.close();

    assert_eq!(other.append(intent("trn_1")).wait(), Err(JournalError::Closed));
}

#[tokio::test]
async fn many_tasks_share_groups() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&config(dir.path())).unwrap().journal;
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    journal.append(intent(&format!("trn_{task}_{n}"))).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    let stats = journal.stats();
    assert_eq!(stats.entries, 64 * 20);
    assert!(stats.groups < stats.entries / 2, "{stats:?}");
}

#[test]
fn open_intents_are_left_to_who_asks_for_them_and_the_log_verifies_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&config(dir.path())).unwrap().journal;
    for turn in ["trn_1", "trn_2"] {
        journal.append(intent(turn)).wait().unwrap();
    }
    journal.append(result("trn_1")).wait().unwrap();
    journal.close();

    let mut keeping = config(dir.path());
    keeping.keep_open = true;
    let opened = Journal::open(&keeping).unwrap();
    let turns: Vec<&str> = opened.open.iter().map(|intent| intent.turn.as_str()).collect();
    assert_eq!((turns, opened.interrupted.len()), (vec!["trn_2"], 0));
    assert_eq!(opened.open[0].entry, intent("trn_2"));
    assert!(all(&opened.journal).iter().all(|entry| entry["event"] != "log_resumed"));
    let shard = dir.path().join(shard_of((keeping.clock)()));
    let report = verify_log(&RealDisk, &shard).unwrap();
    assert_eq!((report.wrong, report.open.len()), (0, 1), "{:?}", report.findings);

    let ended = interrupted_result(&opened.open[0].entry, 7).unwrap();
    let resumed = resumed_entry(&opened.log_id, 1, 7).unwrap();
    opened.journal.append_many(vec![ended, resumed]).wait().unwrap();
    opened.journal.close();
    let report = verify_log(&RealDisk, &shard).unwrap();
    assert_eq!((report.wrong, report.open.len()), (0, 0), "{:?}", report.findings);
    let again = Journal::open(&keeping).unwrap();
    assert_eq!((again.open, again.interrupted), (vec![], vec![]));
    assert_eq!(
        all(&again.journal).last().unwrap()["event"],
        "log_resumed",
        "nothing was open: it goes on at once"
    );
}

/// Segments of `dir` that this process holds open.
fn open_segments(dir: &Path) -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|one| std::fs::read_link(one.unwrap().path()).ok())
        .filter(|path| path.starts_with(dir) && path.extension().is_some_and(|end| end == "seg"))
        .count()
}

#[test]
fn a_long_log_keeps_few_of_its_segments_open_whoever_reads() {
    // Two newest, four older that were read last, and the writer's own of the last.
    const MOST: usize = 7;
    let dir = tempfile::tempdir().unwrap();
    let long = |n: usize| entry(&json!({"v": 1, "kind": "action", "n": n, "text": "x".repeat(30_000)}));
    let opened = Journal::open(&config(dir.path())).unwrap();
    let journal = opened.journal;
    for n in 0..200 {
        journal.append(long(n)).wait().unwrap();
    }
    let folder = dir.path().join(shard_of((config(dir.path()).clock)())).join("segments");
    let segments = std::fs::read_dir(&folder).unwrap().count();
    assert!(segments > 3 * MOST, "{segments}");
    assert!(open_segments(dir.path()) <= MOST, "{}", open_segments(dir.path()));
    let first = opened.next_index;
    // Back and forth, so that what was forgotten is found again: from the newest, the oldest, the second newest...
    for n in (0..100).flat_map(|n| [199 - n, n]) {
        let read = journal.read(first + n as u64, 1, 1).unwrap();
        assert_eq!((read.len(), read[0].0, &read[0].1[..]), (1, first + n as u64, &long(n)[..]));
        assert!(open_segments(dir.path()) <= MOST, "{}", open_segments(dir.path()));
    }
    journal.close();
    let again = Journal::open(&config(dir.path())).unwrap().journal;
    assert_eq!(all(&again).len() as u64, again.durable());
    assert!(open_segments(dir.path()) <= MOST, "after a start: {}", open_segments(dir.path()));
}
