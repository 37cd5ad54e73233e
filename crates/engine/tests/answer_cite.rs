//! Citations index the text that the client has; content in parts is one text.

use std::sync::Arc;

use dragoman_engine::answer::{AnswerScan, AnswerSpec};
use dragoman_engine::request::Route;
use dragoman_engine::rules::{Action, Granularity, RuleSet};
use proptest::prelude::*;
use serde_json::{Value, json};

mod answers;
mod seeds;
use answers::{Client, delta, finish, label, rule, run, set, spec, sse, usual};
use seeds::configs;

const CONTENT: &str = "/choices/0/message/content";

fn cite(title: &str, start: usize, end: usize) -> Value {
    json!({"type": "url_citation", "url_citation": {"start_index": start, "end_index": end, "title": title, "url": "/s"}})
}

fn labelled(rules: &Arc<RuleSet>, stream: bool) -> AnswerSpec {
    AnswerSpec { labels: [label()].into(), ..spec(Route::Chat, stream, 1, rules) }
}

/// The annotations of all frames, in order.
fn annotations(bytes: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(bytes.to_vec()).expect("utf-8");
    let data = text.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
    let frames = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let lists = frames.filter_map(|frame| frame["choices"][0]["delta"]["annotations"].as_array().cloned());
    lists.flatten().collect()
}

/// What the client has, and its citations: title and the words that each cites in the client's text.
fn streamed(spec: AnswerSpec, frames: &[Value]) -> (String, Vec<(String, String)>) {
    let got = run(spec, [sse(frames).as_slice()]).map_err(|e| e.0).expect("an answer");
    let bytes = [got.out, got.tail].concat();
    let text = Client::read(&bytes).lane(CONTENT).to_owned();
    let cited = cited(&text, &annotations(&bytes));
    (text, cited)
}

fn whole(spec: AnswerSpec, message: &Value) -> Value {
    let body = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let mut scan = AnswerScan::new(spec);
    scan.body(body.to_string().as_bytes()).expect("read");
    let mut tail = Vec::new();
    scan.end(&mut tail).expect("an answer");
    serde_json::from_slice::<Value>(&tail).expect("JSON")["choices"][0]["message"].clone()
}

fn cited(text: &str, list: &[Value]) -> Vec<(String, String)> {
    let words = |note: &Value| {
        let cited = &note["url_citation"];
        let at = |name: &str| cited[name].as_u64().expect("an offset") as usize;
        let (start, end) = (at("start_index"), at("end_index"));
        let words: String = text.chars().skip(start).take(end - start).collect();
        (cited["title"].as_str().expect("a title").to_owned(), words)
    };
    list.iter().map(words).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(title, words)| ((*title).to_owned(), (*words).to_owned())).collect()
}

/// A text, the citations of it, and what the client reads of each.
fn case() -> (&'static str, Vec<Value>, Vec<(String, String)>) {
    let text = "汉字 [1] a secret, secretsecret [2] 禁词end";
    let all = text.chars().count();
    let notes = vec![
        cite("before", 3, 6),
        cite("gone", 9, 15),
        cite("into", 7, 12),
        cite("out of", 12, 16),
        cite("two gone", 17, 29),
        cite("after", 30, 33),
        cite("around", 7, 17),
        cite("end", all - 3, all),
        cite("beyond", all - 3, all + 50),
    ];
    let read = [
        ("before", "[1]"),
        ("into", "a ▮"),
        ("out of", "▮,"),
        ("after", "[2]"),
        ("around", "a ▮, "),
        ("end", "end"),
        ("beyond", "end"),
    ];
    (text, notes, pairs(&read))
}

#[test]
fn citations_of_a_whole_answer_index_the_text_as_it_is_read() {
    let (text, notes, read) = case();
    for order in [false, true] {
        let mut message = json!({"role": "assistant"});
        for member in if order { ["annotations", "content"] } else { ["content", "annotations"] } {
            message[member] = if member == "content" { json!(text) } else { json!(notes) };
        }
        let got = whole(labelled(&usual(), false), &message);
        let content = got["content"].as_str().expect("content");
        assert_eq!(content, "[AI-generated] 汉字 [1] a ▮, ▮▮ [2] ▮end");
        assert_eq!(cited(content, got["annotations"].as_array().expect("a list")), read);
    }
    // No rule: the label alone moves them.
    let got = whole(labelled(&RuleSet::empty(), false), &json!({"content": text, "annotations": notes}));
    let content = got["content"].as_str().expect("content");
    let list = got["annotations"].as_array().expect("a list");
    assert_eq!((list.len(), cited(content, list)[1].1.as_str()), (9, "secret"));
    // Nothing of ours: the bytes stay.
    let same = json!({"content": "x [1]", "annotations": [{"type": "file", "file": {"a": [1]}}, cite("t", 2, 5), 7]});
    assert_eq!(whole(spec(Route::Chat, false, 1, &usual()), &same), same);
}

#[test]
fn citations_of_a_stream_index_the_text_as_it_is_read() {
    let (text, notes, mut read) = case();
    let parts: Vec<String> = text.chars().map(String::from).collect();
    let text_frames: Vec<Value> = parts.iter().map(|part| delta(0, json!({"content": part}))).collect();
    let note_frames: Vec<Value> = notes.iter().map(|note| delta(0, json!({"annotations": [note]}))).collect();
    let mut last = finish(0, "stop");
    last["choices"][0]["delta"] = json!({"annotations": notes});
    let first = delta(0, json!({"role": "assistant"}));
    for frames in [
        // After the text, in one frame with the finish reason, and before any text.
        [std::slice::from_ref(&first), text_frames.as_slice(), &note_frames, &[finish(0, "stop")]].concat(),
        [std::slice::from_ref(&first), text_frames.as_slice(), &[last]].concat(),
        [std::slice::from_ref(&first), &note_frames, &text_frames, &[finish(0, "stop")]].concat(),
    ] {
        let (got, mut list) = streamed(labelled(&usual(), true), &frames);
        assert_eq!(got, "[AI-generated] 汉字 [1] a ▮, ▮▮ [2] ▮end");
        list.sort();
        read.sort();
        assert_eq!(list, read);
    }
}

#[test]
fn a_citation_of_held_text_waits_for_it() {
    let rules = usual();
    // `sec` is held when its citation comes: then it is redacted, or not.
    for (rest, text, read) in
        [("ret", "[AI-generated] a ▮", vec![]), ("ond", "[AI-generated] a second", vec![("t", "sec")])]
    {
        let note = cite("t", 2, 5);
        let frames = [
            delta(0, json!({"content": "a sec"})),
            delta(0, json!({"annotations": [note]})),
            delta(0, json!({"content": rest})),
            finish(0, "stop"),
        ];
        assert_eq!(streamed(labelled(&rules, true), &frames), (text.to_owned(), pairs(&read)));
    }
    // A refusal ends what waits, and so much may not wait.
    let note = delta(0, json!({"annotations": [cite("t", 0, 900)]}));
    let frames = [note.clone(), delta(0, json!({"content": "绝密"})), finish(0, "stop")];
    assert_eq!(streamed(labelled(&rules, true), &frames).1, vec![]);
    let error = run(labelled(&rules, true), [sse(&vec![note; 300]).as_slice()]).err().expect("too many").0;
    assert_eq!(error.code, "provider_too_many_texts");
}

#[test]
fn an_offset_spells_no_word() {
    let rules = set(vec![rule(Action::Redact, Granularity::Span, &["1234"])]);
    let text = "x".repeat(2000);
    let message = json!({"content": text, "annotations": [cite("a", 1234, 1300), cite("b", 1, 3), cite("c", 0, 12345)]});
    let got = whole(spec(Route::Chat, false, 1, &rules), &message);
    assert!(!got.to_string().contains("1234"), "{got}");
    assert_eq!(got["annotations"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_citation_of_json_indexes_it_as_it_is_written() {
    let text = r#"{"a":"secret [1]","b":"\u0073ecret"}"#;
    let notes = [cite("kept", 13, 16), cite("gone", 23, 30), cite("all", 0, text.len())];
    for stream in [false, true] {
        let given = AnswerSpec { json_lanes: true, ..labelled(&usual(), stream) };
        let (got, list) = if stream {
            let frames = [
                delta(0, json!({"content": text})),
                delta(0, json!({"annotations": notes})),
                finish(0, "stop"),
            ];
            streamed(given, &frames)
        } else {
            let message = whole(given, &json!({"content": text, "annotations": notes}));
            let content = message["content"].as_str().expect("content").to_owned();
            let list = cited(&content, message["annotations"].as_array().expect("a list"));
            (content, list)
        };
        assert_eq!(got, r#"{"a":"▮ [1]","b":"▮"}"#);
        assert_eq!(list, pairs(&[("kept", "[1]"), ("all", &got)]), "{stream}");
    }
}

fn part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn the_parts_of_a_content_are_one_text() {
    let rules = usual();
    let text_of = |content: &Value| -> String {
        let parts = content.as_array().expect("parts").iter();
        parts.filter_map(|part| part["text"].as_str()).collect()
    };
    let parts =
        json!([part("a sec"), {"type": "thinking", "thinking": [part("x")]}, part("ret b"), part(" 禁")]);
    let got = whole(labelled(&rules, false), &json!({"content": parts, "annotations": [cite("t", 9, 10)]}));
    assert_eq!(text_of(&got["content"]), "[AI-generated] a ▮ b 禁");
    assert_eq!(
        cited(&text_of(&got["content"]), got["annotations"].as_array().unwrap()),
        pairs(&[("t", "b")])
    );
    let got = whole(labelled(&rules, false), &json!({"content": [part("go 绝"), part("密")]}));
    assert!(got["content"].as_str().is_some_and(|text| text.contains("Stopped here.")), "{got}");
    // A stream, as a string and in parts by turns: a word over both, and a tail that is held to the end.
    let frames = [
        delta(0, json!({"content": "a sec"})),
        delta(0, json!({"content": [part("r"), part("et b")]})),
        delta(0, json!({"content": [part(" sec")]})),
        finish(0, "stop"),
    ];
    let got = run(labelled(&rules, true), [sse(&frames).as_slice()]).map_err(|e| e.0).expect("an answer");
    let bytes = [got.out, got.tail].concat();
    let data = String::from_utf8(bytes).expect("utf-8");
    let mut said = String::new();
    for frame in data.split("\n\n").filter_map(|frame| frame.strip_prefix("data: ")) {
        let Ok(frame) = serde_json::from_str::<Value>(frame) else { continue };
        match &frame["choices"][0]["delta"]["content"] {
            Value::String(text) => said.push_str(text),
            content @ Value::Array(_) => said.push_str(&text_of(content)),
            _ => {}
        }
    }
    assert_eq!(said, "[AI-generated] a ▮ b sec");
    assert_eq!(got.summary.output.matches("sha256:").count(), 1, "{}", got.summary.output);
}

#[test]
fn any_citation_cites_what_is_left_of_its_words() {
    for config in configs(300) {
        proptest!(config, |(
            text in "[甲乙汉字 ]{1,20}",
            words in prop::collection::vec("[甲乙汉字]{1,3}", 1..3),
            spans in prop::collection::vec((0usize..21, 0usize..21), 1..6),
            cuts in prop::collection::vec(1usize..5, 1..20),
            when in 0usize..20,
        )| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let rules = set(vec![rule(Action::Redact, Granularity::Span, &words)]);
            let letters: Vec<char> = text.chars().collect();
            let spans: Vec<(usize, usize)> =
                spans.iter().map(|(a, b)| (*a.min(b), *a.max(b))).filter(|(a, b)| a < b && *b <= letters.len()).collect();
            let notes: Vec<Value> = spans.iter().enumerate().map(|(n, (a, b))| cite(&format!("{n}"), *a, *b)).collect();
            let mut frames = Vec::new();
            let (mut from, mut sizes) = (0, cuts.iter().cycle());
            while from < letters.len() {
                let to = (from + sizes.next().unwrap()).min(letters.len());
                frames.push(delta(0, json!({"content": letters[from..to].iter().collect::<String>()})));
                from = to;
            }
            frames.insert(when.min(frames.len()), delta(0, json!({"annotations": notes})));
            frames.push(finish(0, "stop"));
            let (got, list) = streamed(labelled(&rules, true), &frames);
            let message = whole(labelled(&rules, false), &json!({"content": text, "annotations": notes}));
            let mut by_whole = cited(&got, message["annotations"].as_array().unwrap());
            let (mut list, kept) = (list, kept(&rules, &words, &letters));
            list.sort();
            by_whole.sort();
            prop_assert_eq!(&list, &by_whole);
            for (n, (a, b)) in spans.iter().enumerate() {
                let left: String = (*a..*b).filter(|at| kept[*at]).map(|at| letters[at]).collect();
                let found = list.iter().find(|(title, _)| *title == n.to_string());
                prop_assert_eq!(found.map(|(_, words)| words.replace('▮', "")), Some(left).filter(|left| !left.is_empty()));
            }
        });
    }
}

/// Which characters no match covers; a lane of its own confirms it.
fn kept(rules: &Arc<RuleSet>, words: &[&str], letters: &[char]) -> Vec<bool> {
    let mut kept = vec![true; letters.len()];
    for word in words {
        let word: Vec<char> = word.chars().collect();
        for (at, window) in letters.windows(word.len()).enumerate() {
            if window == word {
                kept[at..at + word.len()].fill(false);
            }
        }
    }
    let text: String = letters.iter().collect();
    let plain: String = letters.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(c, _)| *c).collect();
    assert_eq!(answers::offline(rules, &text).0.replace('▮', ""), plain);
    kept
}
