//! Lanes that are JSON: scanned as written and with escapes undone, kept valid, invariant under cutting.

use std::sync::Arc;

use dragoman_engine::answer::AnswerSpec;
use dragoman_engine::request::Route;
use dragoman_engine::rules::{Action, Granularity, RuleSet};
use proptest::prelude::*;
use serde_json::{Value, json};

mod answers;
mod seeds;
use answers::{Client, delta, finish, rule, run, set, spec, sse, texts, usual};
use seeds::{configs, figures};

const ARGUMENTS: &str = "/choices/0/message/tool_calls/0/function/arguments";

/// Runs `parts` as the arguments of a tool call; gives what the client has and whether it was refused.
fn arguments(rules: &Arc<RuleSet>, parts: &[&str]) -> (String, bool) {
    let mut frames = vec![delta(0, json!({"role": "assistant", "content": null}))];
    for part in parts {
        frames.push(delta(0, json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})));
    }
    frames.push(finish(0, "tool_calls"));
    let got =
        run(spec(Route::Chat, true, 1, rules), [sse(&frames).as_slice()]).map_err(|e| e.0).expect("runs");
    let client = Client::read(&[got.out, got.tail].concat());
    (client.lane(ARGUMENTS).to_owned(), client.lane("finish/0") == "content_filter")
}

#[test]
fn redactions_stay_inside_their_string() {
    let rules = usual();
    for (given, wanted) in [
        (r#"{"q":"a secret b"}"#, r#"{"q":"a ▮ b"}"#),
        (r#"{"secret":"x"}"#, r#"{"▮":"x"}"#),
        (r#"{"q":"s\u0065cret"}"#, r#"{"q":"▮"}"#),
        (r#"{"q":"\u0073\u0065\u0063\u0072\u0065\u0074"}"#, r#"{"q":"▮"}"#),
        (r#"{"q":"\u7981\u8bcd\n"}"#, r#"{"q":"▮\n"}"#),
        (r#"{"q":"禁\u8BCD"}"#, r#"{"q":"▮"}"#),
        (r#"{"q":"secretsecret"}"#, r#"{"q":"▮▮"}"#),
        (r#"{"q":"\ud83d\u0073ecret"}"#, r#"{"q":"\ud83d▮"}"#),
        (r#"{"q":"\ud83d\ude00 s"}"#, r#"{"q":"\ud83d\ude00 s"}"#),
        (r#"{"q":"secr","r":"et"}"#, r#"{"q":"secr","r":"et"}"#),
        (r#"{"q":"sec\"ret"}"#, r#"{"q":"sec\"ret"}"#),
    ] {
        assert_eq!(arguments(&rules, &[given]), (wanted.to_owned(), false), "{given}");
        let pieces: Vec<String> = given.chars().map(String::from).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        assert_eq!(arguments(&rules, &pieces), (wanted.to_owned(), false), "{given}");
    }
}

#[test]
fn what_leaves_a_string_is_refused() {
    let rules = set(vec![rule(Action::Redact, Granularity::Span, &["a\":\"b", "12345", "u0073", "\"}x"])]);
    for (given, before) in
        [(r#"{"a":"b"}"#, r#"{""#), (r#"{"n":1234567}"#, r#"{"n":"#), (r#"{"q":"z"}x"#, r#"{"q":"z"#)]
    {
        let (text, refused) = arguments(&rules, &[given]);
        assert!(refused && before.starts_with(text.trim_end_matches('▮')), "{given} {text}");
    }
    // As written it is a word of the rule; undone it is not: the whole escape goes.
    assert_eq!(arguments(&rules, &[r#"{"q":"\u0073x"}"#]), (r#"{"q":"▮x"}"#.to_owned(), false));
}

#[test]
fn a_refused_word_ends_the_choice_also_when_escaped() {
    let rules = usual();
    for given in [r#"{"q":"go 绝密 x"}"#, r#"{"q":"go \u7edd\u5bc6 x"}"#, r#"{"q":"go \u7EDD密 x"}"#] {
        let (text, refused) = arguments(&rules, &[given]);
        assert_eq!((text.as_str(), refused), (r#"{"q":"go "#, true));
    }
}

#[test]
fn content_under_a_response_format_is_json_and_the_notice_stands_apart() {
    let rules = usual();
    let frames = |text: &str| {
        let mut frames = texts(0, "content", &[text]);
        frames.push(finish(0, "stop"));
        sse(&frames)
    };
    let given = |stream| AnswerSpec {
        json_lanes: true,
        labels: [answers::label()].into(),
        ..spec(Route::Chat, stream, 1, &rules)
    };
    let got = run(given(true), [frames(r#"{"a":"\u0073ecret"}"#).as_slice()]).map_err(|e| e.0).expect("runs");
    let client = Client::read(&[got.out, got.tail].concat());
    assert_eq!(client.lane("/choices/0/message/content"), r#"{"a":"▮"}"#);
    assert_eq!(client.dragoman.expect("metadata")["label_channel_gap"], true);
    let got = run(given(true), [frames(r#"{"a":"绝密"}"#).as_slice()]).map_err(|e| e.0).expect("runs");
    let client = Client::read(&[got.out, got.tail].concat());
    assert_eq!(client.lane("/choices/0/message/content"), r#"{"a":""#);
    assert!(client.lane("/choices/0/message/refusal").contains("Stopped here."));
}

/// JSON text over few characters, some of them as escapes.
fn json_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b", "c", "\\u0061", "\\u0062", "\\n", "\\\"", "\\\\", "\\ud83d", "\\ude00", "n", "u", "0",
    ]);
    let string = prop::collection::vec(piece, 0..7).prop_map(|parts| format!("\"{}\"", parts.concat()));
    prop::collection::vec((string.clone(), prop_oneof![string, Just("10".to_owned())]), 0..3).prop_map(
        |members| {
            let unique: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
            format!("{{{}}}", unique.join(","))
        },
    )
}

fn rules_of(words: &[(String, bool)]) -> Arc<RuleSet> {
    let mut rules: Vec<_> = Vec::new();
    for (number, (word, refuse)) in words.iter().enumerate() {
        let action = if *refuse { Action::Refuse } else { Action::Redact };
        let mut one = rule(action, Granularity::Span, &[word]);
        one.id = format!("r{number}");
        rules.push(one);
    }
    set(rules)
}

/// Every text of the strings of a possibly truncated JSON text, escapes undone.
fn strings(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        rest = &rest[at + 1..];
        let mut end = 0;
        while end < rest.len() && !rest[end..].starts_with('"') {
            end += if rest[end..].starts_with('\\') {
                2.min(rest.len() - end)
            } else {
                rest[end..].chars().next().map_or(1, char::len_utf8)
            };
        }
        let raw = rest.get(..end).unwrap_or(rest).replace("\\ud83d", "?").replace("\\ude00", "?");
        if let Ok(Value::String(text)) = serde_json::from_str(&format!("\"{raw}\"")) {
            out.push(text);
        }
        rest = rest.get(end + 1..).unwrap_or("");
    }
    out
}

#[test]
fn no_word_passes_written_or_undone_in_any_cut() {
    for config in configs(600) {
        proptest!(config, |(text in json_text(), words in prop::collection::vec(("[abcnu0\"\\\\]{1,4}", prop::bool::weighted(0.2)), 1..4), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4))| {
            let rules = rules_of(&words);
            let whole = arguments(&rules, &[&text]);
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let parts: Vec<&str> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            prop_assert_eq!(&arguments(&rules, &parts), &whole);
            let (got, refused) = whole;
            for (word, _) in &words {
                prop_assert!(!got.split('▮').any(|part| part.contains(word.as_str())), "{} in {}", word, got);
                for string in strings(&got) {
                    prop_assert!(!string.split('▮').any(|part| part.contains(word.as_str())), "{} in {}", word, got);
                }
            }
            if !refused && serde_json::from_str::<Value>(&text).is_ok() {
                prop_assert!(serde_json::from_str::<Value>(&got).is_ok(), "{} from {}", got, text);
            }
        });
    }
    figures("answers-json", 600);
}
