use serde_json::json;

use super::*;

#[test]
fn sorts_by_utf16_and_escapes_as_rfc_8785_says() {
    // The key order of RFC 8785 section 3.2.3, without the characters that other rules touch.
    let value =
        json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});

    let text = String::from_utf8(canonical(&value).unwrap()).unwrap();

    assert_eq!(
        text,
        "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
    );
}

#[test]
fn escapes_control_characters_in_lower_case() {
    let value = json!("\u{1f}\u{7f}\u{8}\"\\/é\u{2028}");

    assert_eq!(canonical(&value).unwrap(), "\"\\u001f\u{7f}\\b\\\"\\\\/é\u{2028}\"".as_bytes());
}

#[test]
fn refuses_what_is_no_integer_of_a_double() {
    for text in ["1.5", "1e3", "9007199254740992", "-9007199254740992", "-0.0"] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert!(matches!(canonical(&value), Err(CanonicalError::Number(_))), "{text}");
    }
    assert_eq!(canonical(&json!(-9_007_199_254_740_991_i64)).unwrap(), b"-9007199254740991");
}

#[test]
fn check_accepts_only_the_canonical_spelling() {
    assert!(check(br#"{"a":1,"b":[true,null]}"#).is_ok());
    for other in [
        &br#"{"b":1,"a":2}"#[..],
        br#"{"a":1,"a":1}"#,
        br#"{"a": 1}"#,
        br#"{"a":"\u0041"}"#,
        br#"{"a":1}x"#,
        br#"{"a":-0}"#,
        b"",
    ] {
        assert!(check(other).is_err(), "{}", String::from_utf8_lossy(other));
    }
}

#[test]
fn bounds_length_and_depth() {
    let long = json!("a".repeat(ENTRY_BYTES_MAX));
    assert_eq!(canonical(&long), Err(CanonicalError::Length(ENTRY_BYTES_MAX + 2)));
    let mut deep = json!(1);
    for _ in 0..=DEPTH_MAX {
        deep = json!([deep]);
    }
    assert_eq!(canonical(&deep), Err(CanonicalError::Depth));
}
