//! What is found at a glance is what reading the whole entry finds; what an interrupted turn spends.
use dragoman_engine::ledger::canonical;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Head, OpenTurns, glance, interrupted};

fn golden(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire/v1").join(name);
    let entry: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    canonical(&entry).unwrap()
}

#[test]
fn the_entries_of_turns_are_told_at_a_glance() {
    for (name, kind) in [
        ("entry.intent.json", "intent"),
        ("entry.result.json", "result"),
        ("entry.intent.simulated.json", "intent"),
        ("entry.result.simulated.json", "result"),
    ] {
        let entry = golden(name);
        let head = Head::parse(&entry).unwrap();
        assert_eq!(glance(&entry), Some((kind, head.turn.as_deref().unwrap())), "{name}");
    }
    assert_eq!(glance(&golden("entry.decision.json")), None, "not a turn's");
}

#[test]
fn what_a_glance_cannot_tell_is_read() {
    let entry =
        |nested: Value| canonical(&json!({"kind": "intent", "nested": nested, "turn": "trn_1"})).unwrap();
    assert_eq!(
        glance(&entry(json!("\"turn\":\"x"))),
        Some(("intent", "trn_1")),
        "text in a string is no member"
    );
    for nested in [json!({"kind": "x"}), json!({"turn": "x"})] {
        let entry = entry(nested);
        assert_eq!(glance(&entry), None);
        let mut turns = OpenTurns::default();
        turns.note(3, &entry);
        assert_eq!(turns.indexes(), [3], "it is read in full");
    }
    let escaped = canonical(&json!({"kind": "intent", "turn": "a\\b"})).unwrap();
    assert_eq!(glance(&escaped), None);
}

/// Objects whose members have the names that matter, at any depth.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("intent".to_owned()),
        Just("result".to_owned()),
        Just("\"turn\":\"x\"".to_owned()),
        Just("\\".to_owned()),
        "[a-z\"\\\\:{}]{0,6}",
    ];
    let leaf = prop_oneof![text.prop_map(Value::from), any::<u32>().prop_map(Value::from), Just(Value::Null)];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop_oneof![Just("kind"), Just("turn"), Just("event"), Just("a"), Just("z")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name.prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_glance_never_contradicts_the_entry(
        nested in value(), other in value(), turn in "[a-z\"\\\\]{0,4}", kind in "(intent|result|action)",
    ) {
        // As every entry of a turn has kind and turn; the rest is any.
        let entry = json!({"a": nested, "kind": kind, "turn": turn, "z": other});
        let bytes = canonical(&entry).unwrap();
        if let Some((kind, turn)) = glance(&bytes) {
            let head = Head::parse(&bytes);
            prop_assert_eq!(head.as_ref().map(|h| &*h.kind), Some(kind));
            prop_assert_eq!(head.and_then(|h| h.turn), Some(turn.into()));
        }
    }
}

#[test]
fn an_interrupted_turn_spends_what_it_reserved() {
    let intent = json!({
        "kind": "intent", "turn": "trn_1", "tenant": "ten", "app": "app_1",
        "budget": [{"bucket": "day:20261126:ten", "reserved": 900}], "cost": {"amount": 70, "currency": "EUR"},
    });
    let result = interrupted(&intent, 7);
    assert_eq!(result["budget"], json!([{"bucket": "day:20261126:ten", "reserved": 900, "spent": 900}]));
    assert_eq!((&result["cost"]["amount"], &result["app"]), (&json!(70), &json!("app_1")));
}

#[test]
fn a_turn_without_limits_has_no_word_of_them() {
    let result = interrupted(&json!({"kind": "intent", "turn": "trn_1"}), 7);
    for name in ["budget", "cost", "app", "simulated"] {
        assert!(result.get(name).is_none(), "{name}");
    }
}
