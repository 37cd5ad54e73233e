//! The answer record: what was released, without labels and notices. Fed through a fresh scan of the same rules it
//! gives the same text, streamed or whole, and it never holds what a rule suppressed.

use dragoman_engine::answer::{AnswerScan, AnswerSpec, Label, NoticeText, record_events};
use dragoman_engine::request::Route;
use dragoman_engine::rules::{Action, Granularity};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

mod answers;
mod seeds;
use answers::{Client, delta, finish, label, recorded, rule, run, set, spec, sse, sse_escaped, usual};
use seeds::configs;

fn with_label(spec: AnswerSpec) -> AnswerSpec {
    let notice = NoticeText { id: "n1".to_owned(), rule_id: "r1".to_owned(), text: "Mind this.".to_owned() };
    AnswerSpec { labels: [label()].into(), notices: [notice].into(), ..spec }
}

/// What a client has of a whole body, by the same pointers as of a stream.
fn whole(body: &Value) -> Client {
    let mut frame = body.clone();
    for choice in frame["choices"].as_array_mut().expect("choices") {
        if let Some(message) = choice.as_object_mut().and_then(|c| c.remove("message")) {
            choice["delta"] = message;
        }
    }
    Client::read(format!("data: {frame}\n\n").as_bytes())
}

fn replayed(record: &str, route: Route, n: u32) -> (Client, Client) {
    let value: Value = serde_json::from_str(record).expect("a record is JSON");
    let events = record_events(&value).expect("a record is a body");
    let streamed =
        run(spec(route, true, n, &usual()), [events.as_slice()]).map_err(|e| e.0).expect("streams");
    let mut scan = AnswerScan::new(spec(route, false, n, &usual()));
    scan.body(record.as_bytes()).expect("a body");
    let mut tail = Vec::new();
    scan.end(&mut tail).expect("an end");
    let body: Value = serde_json::from_slice(&tail).expect("JSON");
    (Client::read(&[streamed.out, streamed.tail].concat()), whole(&body))
}

/// The texts of a client that a record has: strings of no known name are not kept.
fn texts(client: &Client) -> Vec<(&String, &String)> {
    let known = |lane: &str| !lane.contains("details") && !lane.contains("content_filter_results");
    client.lanes.iter().filter(|(lane, text)| known(lane) && !text.is_empty()).collect()
}

#[test]
fn a_record_is_what_was_released_and_replays_as_it_was() {
    for (name, route, n, frames) in recorded() {
        let bytes = sse(&frames);
        for size in [1, 3, 7, 4096] {
            let got = run(spec(route, true, n, &usual()), bytes.chunks(size)).map_err(|e| e.0).expect(name);
            let labelled = run(with_label(spec(route, true, n, &usual())), bytes.chunks(size));
            let labelled = labelled.map_err(|e| e.0).expect(name);
            assert_eq!(got.record, labelled.record, "{name}: labels are not in the record");
            for word in ["secret", "禁词", "绝密"] {
                assert!(!got.record.contains(word), "{name}: {}", got.record);
            }
            let (streamed, body) = replayed(&got.record, route, n);
            assert_eq!(texts(&streamed), texts(&body), "{name}: streamed and whole");
            let client = Client::read(&[got.out, got.tail].concat());
            for (lane, text) in texts(&client) {
                assert_eq!(text, streamed.lane(lane), "{name} {lane}");
            }
        }
    }
}

#[test]
fn a_whole_answer_leaves_the_same_record_as_its_stream() {
    let frames = [
        delta(0, json!({"role": "assistant", "content": "a secret "})),
        delta(0, json!({"content": "word", "reasoning": "so 禁词", "refusal": null})),
        delta(
            0,
            json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
            "function": {"name": "find", "arguments": "{\"q\":\"secret\"}"}}]}),
        ),
        finish(0, "tool_calls"),
    ];
    let streamed = run(spec(Route::Chat, true, 1, &usual()), [sse(&frames).as_slice()]);
    let streamed = streamed.map_err(|e| e.0).expect("streams").record;
    let body = json!({"id": "chatcmpl-Abc123", "object": "chat.completion", "created": 1_790_000_000_u64, "model": "up-1",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant",
            "content": "a secret word", "reasoning": "so 禁词", "refusal": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{\"q\":\"secret\"}"}}]}}]});
    let mut scan = AnswerScan::new(with_label(spec(Route::Chat, false, 1, &usual())));
    scan.body(body.to_string().as_bytes()).expect("a body");
    scan.end(&mut Vec::new()).expect("an end");
    assert_eq!(scan.record(), streamed);
    let record: Value = serde_json::from_str(&streamed).expect("JSON");
    let message = &record["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning"]), (&json!("a ▮ word"), &json!("so ▮")));
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], "{\"q\":\"▮\"}");
}

#[test]
fn what_a_refusal_may_still_take_back_is_in_no_record() {
    let rules = set(vec![rule(Action::Refuse, Granularity::Answer, &["绝密"])]);
    let bytes = sse(&[delta(0, json!({"role": "assistant", "content": "so far "}))]);
    let cut = bytes.len() - "data: [DONE]\n\n".len();
    let mut scan = AnswerScan::new(spec(Route::Chat, true, 1, &rules));
    let mut out = Vec::new();
    scan.bytes(&bytes[..cut], &mut out).expect("reads");
    scan.abort("client_gone", "", &mut out);
    assert!(!scan.record().contains("so far"), "{}", scan.record());
    // Ended by who asked, what was said stands: no refusal can come any more.
    let mut scan = AnswerScan::new(spec(Route::Chat, true, 1, &rules));
    scan.bytes(&bytes[..cut], &mut Vec::new()).expect("reads");
    let mut tail = Vec::new();
    scan.end_early(&mut tail);
    assert!(scan.record().contains("so far"));
    assert_eq!(Client::read(&tail).lane("/choices/0/message/content"), "so far ");
}

#[test]
fn an_answer_that_its_reader_ends_is_a_proper_answer_without_what_was_held() {
    for (name, route, n, frames) in recorded() {
        let bytes = sse(&frames);
        for cut in (0..bytes.len()).step_by(5) {
            let mut scan = AnswerScan::new(spec(route, true, n, &usual()));
            let mut out = Vec::new();
            if scan.bytes(&bytes[..cut], &mut out).expect(name).ended {
                break;
            }
            scan.end_early(&mut out);
            let client = Client::read(&out);
            assert!(client.done, "{name} at {cut}");
            assert_eq!(client.dragoman.as_ref().expect("metadata")["ended"], "stopped");
            for index in 0..n {
                assert!(client.lanes.contains_key(&format!("finish/{index}")), "{name} at {cut}");
            }
            let text = String::from_utf8(out).expect("utf-8");
            for word in ["secret", "禁词", "绝密"] {
                assert!(!text.contains(word) && !scan.record().contains(word), "{name} at {cut}: {text}");
            }
        }
    }
    let mut scan = AnswerScan::new(spec(Route::Chat, false, 1, &usual()));
    let mut body = Vec::new();
    scan.end_early(&mut body);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(
        (&body["choices"][0]["finish_reason"], &body["dragoman"]["ended"]),
        (&json!("stop"), &json!("stopped"))
    );
}

/// Pieces that make matches, halves of them and their surroundings.
fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    let piece = prop::sample::select(vec![
        "se",
        "cret",
        "secret",
        "禁",
        "词",
        "禁词",
        "绝",
        "密",
        "a",
        " ",
        "▮",
        "\n",
        "é",
        "👩‍👩‍👧",
        "s",
        "\"",
    ]);
    prop::collection::vec(piece, 0..24)
}

#[test]
fn any_record_scanned_again_is_the_same() {
    for config in configs(300) {
        let cases = (pieces(), pieces(), 1usize..40, any::<bool>());
        TestRunner::new(config)
            .run(&cases, |(content, thought, cut, escaped)| {
                let mut frames = vec![delta(0, json!({"role": "assistant"}))];
                frames.extend(content.iter().map(|part| delta(0, json!({ "content": part }))));
                frames.extend(thought.iter().map(|part| delta(0, json!({ "reasoning": part }))));
                frames.push(finish(0, "stop"));
                let bytes = if escaped { sse_escaped(&frames) } else { sse(&frames) };
                let got = run(spec(Route::Chat, true, 1, &usual()), bytes.chunks(cut)).map_err(|e| e.0);
                let got = got.expect("runs");
                let record: Value = serde_json::from_str(&got.record).expect("JSON");
                let (streamed, _) = replayed(&got.record, Route::Chat, 1);
                for lane in ["content", "reasoning"] {
                    let text = record["choices"][0]["message"][lane].as_str().unwrap_or("");
                    let clean = ["secret", "禁词", "绝密"].iter().all(|word| !text.contains(word));
                    prop_assert!(clean, "{}", text);
                    prop_assert_eq!(streamed.lane(&format!("/choices/0/message/{lane}")), text);
                }
                Ok(())
            })
            .expect("holds");
    }
}

#[test]
fn labels_are_in_the_answer_and_not_in_its_record() {
    let frames = [delta(0, json!({"role": "assistant", "content": "hi"})), finish(0, "stop")];
    let spec = with_label(spec(Route::Chat, true, 1, &usual()));
    let Label { visible, .. } = label();
    let got = run(spec, [sse(&frames).as_slice()]).map_err(|e| e.0).expect("runs");
    assert!(
        String::from_utf8([got.out, got.tail].concat()).expect("utf-8").contains(&visible.expect("a label"))
    );
    assert!(!got.record.contains("AI-generated") && got.record.contains("\"hi\""), "{}", got.record);
}

#[test]
fn a_citation_in_a_record_cites_the_same_words_of_its_text() {
    let note = json!({"type": "url_citation", "url_citation": {"title": "T", "url": "https://x.example/",
        "start_index": 9, "end_index": 13}});
    let frames = [
        delta(0, json!({"role": "assistant", "content": "a secret word"})),
        delta(0, json!({"content": ".", "annotations": [note]})),
        finish(0, "stop"),
    ];
    let got = run(with_label(spec(Route::Chat, true, 1, &usual())), [sse(&frames).as_slice()]);
    let record: Value = serde_json::from_str(&got.map_err(|e| e.0).expect("runs").record).expect("JSON");
    let message = &record["choices"][0]["message"];
    let cited = &message["annotations"][0]["url_citation"];
    let at = |name: &str| cited[name].as_u64().expect("an offset") as usize;
    let text: Vec<char> = message["content"].as_str().expect("text").chars().collect();
    let words: String = text[at("start_index")..at("end_index")].iter().collect();
    assert_eq!((words.as_str(), cited["title"].as_str()), ("word", Some("T")));
}
