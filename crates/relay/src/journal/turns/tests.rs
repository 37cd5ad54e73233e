use super::*;

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
