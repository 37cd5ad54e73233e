use serde_json::{Value, json};

use super::*;

fn lines(entries: &[Value]) -> Vec<u8> {
    entries.iter().flat_map(|e| format!("{e}\n").into_bytes()).collect()
}

fn result(status: &str, known: bool) -> Value {
    json!({"v": 1, "kind": "result", "turn": "trn_1", "at": DAY_MS * 3 + 5, "tenant": "ten", "key": "key",
           "asked": "dragoman", "provider": "local", "model": "m", "status": status, "interventions": ["int_1"],
           "usage": {"input": 3, "output": 9, "known": known}})
}

#[test]
fn results_are_summed_by_who_what_day_and_status() {
    let mut simulated = result("finished", true);
    simulated["simulated"] = json!(true);
    let entries = [
        json!({"kind": "intent", "turn": "trn_1"}),
        result("finished", true),
        result("finished", true),
        result("finished", false),
        result("interrupted", false),
        simulated,
        json!({"kind": "decision", "facts": {"kind": "result"}}),
    ];

    let batch = project(&lines(&entries), 100).unwrap();

    assert_eq!(batch.entries, 7);
    assert_eq!(
        batch.kinds,
        BTreeMap::from([("decision".into(), 1), ("intent".into(), 1), ("result".into(), 5)])
    );
    let rows: Vec<_> = batch.usage.iter().map(|(k, u)| (k.status.as_str(), k.day, *u)).collect();
    let finished = Usage { turns: 3, input: 6, output: 18, unknown: 1, unpriced: 3, ..Usage::default() };
    let interrupted = Usage { turns: 1, unknown: 1, unpriced: 1, ..Usage::default() };
    assert_eq!(rows, [("finished", 3, finished), ("interrupted", 3, interrupted)]);
    assert_eq!(batch.simulated, 1);
    assert_eq!(batch.interventions[0], ("int_1".into(), "trn_1".into(), 101));
    assert_eq!(batch.interrupted, ["trn_1"]);
}

#[test]
fn a_log_that_opens_is_named() {
    let entry = json!({"kind": "registry", "event": "log_opened", "log": "log_a", "key": "k", "origin": "o", "at": 7});

    let batch = project(&lines(&[entry]), 0).unwrap();

    let opened = OpenedLog { log: "log_a".into(), key: "k".into(), origin: "o".into(), at: 7 };
    assert_eq!(batch.opened, [opened]);
}

#[test]
fn a_line_that_is_no_entry_is_named() {
    let error = project(b"{\"kind\":\"intent\"}\n{\"kind\":1}\n", 0).unwrap_err();

    assert_eq!(error.line, 1);
}

#[test]
fn what_results_spent_is_listed_and_priced() {
    let mut paid = result("finished", true);
    paid["usage"]["cached"] = json!(2);
    paid["cost"] = json!({"amount": 70, "currency": "EUR"});
    paid["budget"] = json!([{"bucket": "day:20261126:ten", "reserved": 50, "spent": 12}]);
    let mut denied = result("denied", false);
    denied["provider"] = Value::Null;
    let mut beyond = result("cancelled", true);
    beyond["simulated"] = json!(true);
    beyond["budget"] = json!([{"bucket": "day:20261126:ten", "reserved": 1, "spent": 2}]);

    let batch = project(&lines(&[paid, denied, beyond]), 5).unwrap();

    let spends: Vec<_> =
        batch.spends.iter().map(|s| (s.bucket.as_str(), s.index, s.amount, s.over)).collect();
    assert_eq!(spends, [("day:20261126:ten", 5, 12, false), ("day:20261126:ten", 7, 2, true)]);
    let rows: Vec<_> =
        batch.usage.iter().map(|(k, u)| (k.currency.as_str(), u.spend, u.cached, u.unpriced)).collect();
    assert_eq!(rows, [("", 0, 0, 0), ("EUR", 70, 2, 0)]);
}
