use std::sync::Arc;

use super::{Direction, Limits, RuleSet, RuleSetSource};

fn rule(fields: &str) -> String {
    format!(
        r#"{{"v": 1, "rules": [{{"id": "r", "words": ["示例"], "direction": ["out"], "action": "redact",
            "placeholder": {{"en": "[x]", "zh": "[某]"}}{fields}}}]}}"#
    )
}

fn compile(json: &str) -> Result<RuleSet, String> {
    let source: RuleSetSource = serde_json::from_str(json).map_err(|error| error.to_string())?;
    RuleSet::compile(&source, Limits::default()).map_err(|error| error.to_string())
}

fn refusal(json: &str) -> String {
    compile(json).err().unwrap_or_else(|| panic!("accepted: {json}"))
}

#[test]
fn the_document_of_the_wire_compiles() {
    let set = compile(include_str!("../../../../tests/wire/v1/ruleset.response.json")).expect("a valid set");
    assert_eq!(set.rules().len(), 1);
    assert_eq!(set.rule(0).reason_code.as_deref(), Some("OPERATOR_RULE"));
    assert!(set.is_active(Direction::In) && set.is_active(Direction::Out));
    let empty =
        compile(include_str!("../../../../tests/wire/v1/ruleset.empty.response.json")).expect("empty");
    assert!(!empty.is_active(Direction::Out));
}

#[test]
fn a_direction_without_rules_is_not_active() {
    let set = compile(&rule("")).expect("a valid set");
    assert!(set.is_active(Direction::Out));
    assert!(!set.is_active(Direction::In));
}

#[test]
fn directions_with_other_rules_are_compiled_apart() {
    let both = rule("").replace(r#"["out"]"#, r#"["out", "in"]"#);
    let set = compile(&both).expect("a valid set");
    let matchers = [Direction::In, Direction::Out].map(|direction| set.matcher(direction).map(Arc::as_ptr));
    assert!(matchers[0].is_some() && matchers[0] == matchers[1]);
    let inward = compile(&rule("").replace(r#"["out"]"#, r#"["in"]"#)).expect("a valid set");
    assert!(inward.is_active(Direction::In) && !inward.is_active(Direction::Out));
}

#[test]
fn errors_name_rule_field_and_limit() {
    let cases = [
        (r#"{"v": 2, "rules": []}"#.to_owned(), "rule set, v: is 2; this build reads 1"),
        (rule(r#", "view": "B""#), "rule r, view: is not a known view; the only one is \"A\""),
        (
            rule(r#", "exempts": ["r"]"#),
            "rule r, exempts: only a rule with action \"allow\" may exempt others",
        ),
        (
            rule("").replace("示例", "示"),
            "rule r, words: word 0 has 1 symbols after normalisation; the least is 2",
        ),
        (
            rule("").replace("示例", "a\u{AD}"),
            "rule r, words: word 0 has 1 symbols after normalisation; the least is 2",
        ),
        (
            rule("").replace("示例", &format!("a{}b", "\u{200B}".repeat(9))),
            "rule r, words: word 0 has more than 8 ignorable characters in a row",
        ),
        (
            rule("").replace("示例", &"长".repeat(257)),
            "rule r, words: word 0 could hold back 2313 code points; the limit is 2304",
        ),
        (rule("").replace(r#"["示例"]"#, "[]"), "rule r, words: must not be empty"),
        (rule("").replace(r#"["out"]"#, "[]"), "rule r, direction: must not be empty"),
        (rule(r#", "placeholder_": 1"#), "unknown field `placeholder_`"),
        (
            rule(r#", "exempts": ["gone"]"#).replace("redact", "allow"),
            "rule r, exempts: names gone, which is not in the set",
        ),
    ];
    for (json, expected) in cases {
        let message = refusal(&json);
        assert!(message.contains(expected), "{message} instead of {expected}");
    }
    assert!(compile(&rule("").replace("示例", &"长".repeat(256))).is_ok());
}

#[test]
fn a_redaction_needs_a_placeholder_and_ids_are_distinct() {
    let bare = r#"{"id": "r", "words": ["示例"], "direction": ["out"], "action": "redact"}"#;
    assert!(refusal(&format!(r#"{{"v": 1, "rules": [{bare}]}}"#)).contains("placeholder: is needed"));
    let flag = bare.replace("redact", "flag");
    assert!(
        refusal(&format!(r#"{{"v": 1, "rules": [{flag}, {flag}]}}"#)).contains("rule r, id: occurs twice")
    );
}
