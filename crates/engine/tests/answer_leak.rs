//! What an attacker who writes the provider's bytes might try: no forbidden character reaches the client in any
//! lane, field or form. A fixed-window scanner, as others have it, fails the same test.

use std::sync::Arc;

use dragoman_engine::answer::{AnswerScan, AnswerSpec};
use dragoman_engine::request::Route;
use dragoman_engine::rules::{Action, Granularity, RuleSet};
use proptest::prelude::*;
use serde_json::{Value, json};

mod answers;
mod seeds;
use answers::{Client, delta, finish, frame, rule, run, set, spec, sse, sse_escaped, usual};
use seeds::{configs, figures};

/// Everything the client got, also of an answer that broke off, and what is kept of it.
fn all_bytes(spec: AnswerSpec, bytes: &[u8], size: usize) -> String {
    let mut scan = AnswerScan::new(spec);
    let mut out = Vec::new();
    let read = bytes.chunks(size.max(1)).try_for_each(|chunk| scan.bytes(chunk, &mut out).map(drop));
    if read.and_then(|()| scan.end(&mut out).map(drop)).is_err() {
        scan.abort("broken", "", &mut out);
    }
    out.extend_from_slice(format!("data: {}\n\n", scan.record()).as_bytes());
    String::from_utf8(out).expect("utf-8")
}

/// Whether any string or key of any frame, escapes undone, has the word.
fn says(out: &str, word: &str) -> bool {
    fn within(value: &Value, word: &str) -> bool {
        match value {
            Value::String(text) => text.contains(word),
            Value::Array(all) => all.iter().any(|value| within(value, word)),
            Value::Object(all) => all.iter().any(|(key, value)| key.contains(word) || within(value, word)),
            Value::Number(number) => number.to_string().contains(word),
            _ => false,
        }
    }
    let mut frames = out.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
    out.contains(word)
        || frames.any(|data| serde_json::from_str(data).is_ok_and(|value| within(&value, word)))
}

/// Places where a provider could put a word: each a frame that carries it.
fn places(word: &str) -> Vec<Value> {
    let mut top = frame(json!([{"index": 0, "delta": {"content": "x"}, "finish_reason": null}]));
    for key in ["id", "model", "object", "system_fingerprint", "service_tier", "provider", "obfuscation"] {
        top[key] = json!(word);
    }
    top["usage"] = json!({"prompt_tokens": 1, "completion_tokens": 2, "note": word, word: 3});
    top[word] = json!({"a": [word]});
    top["dragoman"] = json!({"notices": [word]});
    let choice = |part: Value| {
        let mut choice = json!({"index": 0, "delta": {"content": "y"}, "finish_reason": null});
        for (key, value) in part.as_object().unwrap() {
            choice[key] = value.clone();
        }
        frame(json!([choice]))
    };
    vec![
        top,
        delta(0, json!({"role": word})),
        delta(0, json!({"content": word, "refusal": word, "reasoning": word, "reasoning_content": word})),
        delta(
            0,
            json!({"content": [{"type": "text", "text": word}, {"type": word, "id": word, "thinking": [word]}]}),
        ),
        delta(
            0,
            json!({word: word, "x": {word: 1, "y": {"z": word}}, "tokens": [1, 2], "token_ids": [word]}),
        ),
        delta(0, json!({"annotations": [{"type": word, "url_citation": {"title": word, "url": word}}]})),
        delta(0, json!({"audio": {"id": word, "data": word, "transcript": word, "expires_at": 1}})),
        delta(0, json!({"function_call": {"name": word, "arguments": word, "other": word}})),
        delta(
            0,
            json!({"tool_calls": [{"index": 0, "id": word, "type": word, "extra": word,
            "function": {"name": word, "arguments": word, "more": [word]}, "custom": {"name": word, "input": word}}]}),
        ),
        choice(
            json!({"logprobs": {"content": [{"token": word, "bytes": [1], "top_logprobs": [{"token": word}]}]}}),
        ),
        choice(
            json!({"content_filter_results": {word: {"severity": word}, "hate": {"severity": word, "x": [word]}}}),
        ),
        choice(
            json!({"stop_reason": word, "native_finish_reason": word, "matched_stop": word, "text": word}),
        ),
        choice(
            json!({"message": {"content": word}, "prompt_logprobs": [word], "other": [[word], {"a": word}]}),
        ),
        choice(json!({"finish_reason": word})),
    ]
}

#[test]
fn no_field_carries_a_word_past() {
    // One word by its shape like an id, one that is not, each as a whole in one place.
    for word in ["secret", "禁词"] {
        let rules = set(vec![rule(Action::Redact, Granularity::Span, &[word])]);
        for place in places(word) {
            let frames = [place.clone(), finish(0, "stop")];
            for bytes in [sse(&frames), sse_escaped(&frames)] {
                for size in [1, 17, 4096] {
                    let out = all_bytes(spec(Route::Chat, true, 1, &rules), &bytes, size);
                    assert!(!says(&out, word), "{place} gives {out}");
                }
            }
            let control = all_bytes(spec(Route::Chat, true, 1, &RuleSet::empty()), &sse(&frames), 99);
            assert!(
                says(&control, word)
                    || place.get(word).is_some()
                    || place["choices"][0]["finish_reason"] == word,
                "the control misses {place}"
            );
            let mut body = place;
            let choice = &mut body["choices"][0];
            if let Some(delta) = choice.as_object_mut().and_then(|c| c.remove("delta")) {
                choice["message"] = delta;
            }
            let mut scan = AnswerScan::new(spec(Route::Chat, false, 1, &rules));
            let mut tail = Vec::new();
            if scan.body(body.to_string().as_bytes()).is_ok() {
                scan.end(&mut tail).expect("an answer");
            }
            assert!(!says(&format!("data: {}\n\n", String::from_utf8(tail).unwrap()), word), "{body}");
        }
    }
}

#[test]
fn what_a_client_may_read_otherwise_is_garbage() {
    let rules = usual();
    let error = |data: &str| {
        let bytes = format!("data: {data}\n\ndata: [DONE]\n\n");
        run(spec(Route::Chat, true, 1, &rules), [bytes.as_bytes()]).err().expect("an error").0.code
    };
    for data in [
        // The first, or the last, of two equal keys: clients differ.
        r#"{"choices":[{"index":0,"delta":{"content":"sec","content":"x"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"sec","con\u0074ent":"x"}}]}"#,
        r#"{"choices":[],"choices":[{"index":0,"delta":{"content":"x"}}]}"#,
        // The same choice twice, or one that nobody asked for.
        r#"{"choices":[{"index":0,"delta":{"content":"sec"}},{"index":0,"delta":{"content":"x"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#,
        r#"{"choices":[{"index":-1,"delta":{"content":"x"}}]}"#,
        r#"{"choices":[{"index":"0","delta":{"content":"x"}}]}"#,
        r#"{"choices":[{"index":0,"delta":"secret"}]}"#,
        r#"{"choices":"secret"}"#,
        r#"["secret"]"#,
        r#""secret""#,
    ] {
        assert_eq!(error(data), "provider_garbage", "{data}");
    }
}

#[test]
fn a_comment_or_another_line_carries_nothing() {
    let rules = usual();
    let bytes = [
        b": a secret\nevent: secret\nid: secret\nretry: secret\nsecret: x\n".as_slice(),
        &sse(&[delta(0, json!({"content": "x"})), finish(0, "stop")]),
    ]
    .concat();
    let out = all_bytes(spec(Route::Chat, true, 1, &rules), &bytes, 5);
    assert!(out.contains(":\n\n") && !says(&out, "secret"), "{out}");
}

/// How a text reaches the lane it is for.
fn lane(kind: u8, part: &str) -> Value {
    match kind {
        0 => delta(0, json!({"content": part})),
        1 => delta(0, json!({"reasoning_content": part})),
        2 => delta(0, json!({"refusal": part})),
        3 => delta(0, json!({"tool_calls": [{"index": 1, "function": {"name": part}}]})),
        4 => delta(0, json!({"reasoning_details": [{"text": part}]})),
        5 => delta(1, json!({"content": part})),
        6 => delta(0, json!({"function_call": {"name": part}})),
        _ => delta(0, json!({"tool_calls": [{"index": 0, "custom": {"input": part}}]})),
    }
}

const POINTERS: [&str; 8] = [
    "/choices/0/message/content",
    "/choices/0/message/reasoning_content",
    "/choices/0/message/refusal",
    "/choices/0/message/tool_calls/1/function/name",
    "/choices/0/message/reasoning_details/0/text",
    "/choices/1/message/content",
    "/choices/0/message/function_call/name",
    "/choices/0/message/tool_calls/0/custom/input",
];

fn rules_of(words: &[(String, bool)]) -> Arc<RuleSet> {
    let rules = words.iter().enumerate().map(|(number, (word, refuse))| {
        let action = if *refuse { Action::Refuse } else { Action::Redact };
        let mut one = rule(action, Granularity::Span, &[word]);
        one.id = format!("r{number}");
        one
    });
    set(rules.collect())
}

/// A stream of (lane, part), and its text by lane.
fn stream(parts: &[(u8, String)]) -> (Vec<Value>, [String; 8]) {
    let mut texts: [String; 8] = Default::default();
    let mut frames = Vec::new();
    for (kind, part) in parts {
        texts[usize::from(*kind)].push_str(part);
        frames.push(lane(*kind, part));
    }
    frames.extend([finish(0, "stop"), finish(1, "stop")]);
    (frames, texts)
}

/// Releases all but a fixed number of characters, scanning what it sees each time: the usual way.
fn fixed_window(parts: &[&str], word: &str, window: usize) -> String {
    let (mut held, mut out) = (String::new(), String::new());
    for part in parts {
        held = (held + part).replace(word, "▮");
        let keep = held.char_indices().rev().nth(window - 1).map_or(0, |(at, _)| at);
        out.extend(held.drain(..keep));
    }
    out + &held
}

#[test]
fn a_fixed_window_fails_where_the_lane_does_not() {
    let word = "x".repeat(77);
    let text = format!("before {word} after");
    let parts: Vec<String> = text.chars().map(String::from).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    assert!(fixed_window(&parts, &word, 50).contains(&word), "the control finds no leak");
    let rules = set(vec![rule(Action::Redact, Granularity::Span, &[&word])]);
    for kind in 0..8 {
        let frames: Vec<(u8, String)> = parts.iter().map(|part| (kind, (*part).to_owned())).collect();
        let (frames, _) = stream(&frames);
        let got = run(spec(Route::Chat, true, 2, &rules), [sse(&frames).as_slice()])
            .map_err(|e| e.0)
            .expect("runs");
        let client = Client::read(&[got.out, got.tail].concat());
        assert_eq!(client.lane(POINTERS[usize::from(kind)]), "before ▮ after");
    }
}

#[test]
fn every_lane_releases_its_offline_result() {
    for config in configs(300) {
        proptest!(config, |(words in prop::collection::vec(("[q乙禁词]{1,4}", prop::bool::weighted(0.15)), 1..4), parts in prop::collection::vec((0u8..8, "[q乙禁词\"\\\\ ]{0,4}"), 0..24), escaped in any::<bool>(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5))| {
            let rules = rules_of(&words);
            let (frames, texts) = stream(&parts);
            let bytes = if escaped { sse_escaped(&frames) } else { sse(&frames) };
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let chunks = at.windows(2).map(|w| &bytes[w[0]..w[1]]);
            let got = run(spec(Route::Chat, true, 2, &rules), chunks).map_err(|e| e.0).expect("runs");
            let client = Client::read(&[got.out, got.tail].concat());
            let refused: Vec<bool> = texts.iter().map(|text| answers::offline(&rules, text).1).collect();
            for (kind, text) in texts.iter().enumerate() {
                let (released, _) = answers::offline(&rules, text);
                let said = client.lane(POINTERS[kind]);
                // The notice is ours, and stands in the content of the choice.
                let said = said.split("Stopped here.").next().unwrap_or("").trim_end_matches("\n\n");
                let ended = (0..8).any(|other| refused[other] && (other == 5) == (kind == 5));
                if ended {
                    prop_assert!(released.starts_with(said), "{} is no start of {}", said, released);
                } else {
                    prop_assert_eq!(said, released);
                }
            }
        });
    }
    figures("answers", 300);
}

#[test]
fn random_bytes_never_panic() {
    for config in configs(300) {
        proptest!(config, |(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1usize..40)| {
            all_bytes(spec(Route::Chat, true, 2, &usual()), &bytes, size);
            let mut scan = AnswerScan::new(spec(Route::Completions, false, 1, &usual()));
            prop_assert!(scan.body(&bytes).is_err());
        });
    }
}

#[test]
fn broken_frames_never_panic() {
    for config in configs(300) {
        proptest!(config, |(number in 0usize..14, at in any::<prop::sample::Index>(), byte in any::<u8>(), size in 1usize..40)| {
            let frames = [places("禁词")[number].clone(), finish(0, "stop")];
            let mut bytes = sse(&frames);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            all_bytes(spec(Route::Chat, true, 1, &usual()), &bytes, size);
            all_bytes(spec(Route::Chat, true, 1, &usual()), &bytes[..at], size);
        });
    }
}
