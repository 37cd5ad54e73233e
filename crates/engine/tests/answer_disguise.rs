//! Words that a provider splits over places which a client puts together again: parts of lists by `index`, ids that
//! clients append, names that some clients read without regard to case, frames of several data lines.

use dragoman_engine::answer::AnswerScan;
use dragoman_engine::request::Route;
use dragoman_engine::rules::{Action, Granularity};
use serde_json::{Value, json};

mod answers;
use answers::{Client, delta, finish, frame, rule, run, set, spec, sse, usual};

/// The lanes of a client that puts `frames` together, after the scan.
fn client(frames: &[Value]) -> Client {
    let bytes = sse(frames);
    let got =
        run(spec(Route::Chat, true, 1, &usual()), [bytes.as_slice()]).map_err(|e| e.0).expect("an answer");
    Client::read(&[got.out, got.tail].concat())
}

fn says(client: &Client, word: &str) -> bool {
    client.lanes.values().any(|text| text.contains(word))
}

/// Three parts of one kind, of which the first and the last belong together by their index.
fn interleaved(part: impl Fn(u32, &str) -> Value) -> Vec<Value> {
    let parts = [(0, "a sec"), (1, "x"), (0, "ret b")];
    let mut frames: Vec<Value> = parts.iter().map(|(index, text)| delta(0, part(*index, text))).collect();
    frames.push(finish(0, "stop"));
    frames
}

#[test]
fn list_parts_are_lanes_by_their_index() {
    let kinds: [fn(u32, &str) -> Value; 3] = [
        |index, text| json!({"reasoning_details": [{"index": index, "text": text}]}),
        |index, text| json!({"tool_calls": [{"extra": text, "index": index}]}),
        |index, text| json!({"tool_calls": [{"function": {"extra": text}, "index": index}]}),
    ];
    for part in kinds {
        let frames = interleaved(part);
        let before = Client::read(&sse(&frames));
        assert!(says(&before, "a secret b"), "the client joins the parts: {before:?}");
        let after = client(&frames);
        assert!(!says(&after, "secret"), "{after:?}");
        assert!(says(&after, "a \u{25ae} b"), "the rest is there: {after:?}");
    }
}

/// A function's name and a custom tool's are two texts to a client.
#[test]
fn function_and_custom_are_lanes_apart() {
    let kinds = [
        ("function", "custom", "name"),
        ("function", "custom", "arguments"),
        ("custom", "function", "input"),
    ];
    for (one, other, member) in kinds {
        let parts = [(one, "a sec"), (other, "x"), (one, "ret b")];
        let mut frames: Vec<Value> = parts
            .iter()
            .map(|(of, text)| delta(0, json!({"tool_calls": [{"index": 0, *of: {member: text}}]})))
            .collect();
        frames.push(finish(0, "tool_calls"));
        assert!(says(&Client::read(&sse(&frames)), "a secret b"), "the client joins the parts");
        let after = client(&frames);
        assert!(!says(&after, "secret"), "{one} {member}: {after:?}");
    }
    let frames =
        [delta(0, json!({"tool_calls": [{"index": 0, "custom": {"name": "a_se"}}]})), finish(0, "stop")];
    assert_eq!(client(&frames).lane("/choices/0/message/tool_calls/0/custom/name"), "a_se");
}

/// Notes and parts of content are scanned in the order in which they come: no index joins them in another one.
#[test]
fn notes_and_parts_have_no_index() {
    let kinds: [fn(u32, &str) -> Value; 2] = [
        |index, text| json!({"content": [{"index": index, "type": "text", "text": text}]}),
        |index, text| json!({"annotations": [{"url_citation": {"title": text}, "index": index}]}),
    ];
    for part in kinds {
        let bytes = sse(&interleaved(part));
        let got = run(spec(Route::Chat, true, 1, &usual()), [bytes.as_slice()])
            .map_err(|e| e.0)
            .expect("an answer");
        let out = String::from_utf8(got.out).expect("utf-8");
        assert_eq!(out.matches("\"index\"").count(), out.matches("\"choices\"").count(), "{out}");
    }
}

#[test]
fn two_parts_of_one_frame_with_one_index_are_one_lane() {
    let parts = json!({"details": [{"index": 0, "text": "sec"}, {"index": 0, "text": "ret"}]});
    let after = client(&[delta(0, parts), finish(0, "stop")]);
    assert!(!says(&after, "secret"), "{after:?}");
}

#[test]
fn the_tail_of_a_part_names_its_index() {
    let part = |text: &str| delta(0, json!({"details": [{"index": 3, "text": text}]}));
    let after = client(&[part("a se"), finish(0, "stop")]);
    assert_eq!(after.lane("/choices/0/message/details/3/text"), "a se");
}

/// A message in a stream is no delta: its tail must not join the delta's text.
#[test]
fn a_message_in_a_stream_adds_nothing_to_the_delta() {
    let rules = set(vec![rule(Action::Redact, Granularity::Span, &["badword", "wordy"])]);
    let frames = [
        frame(json!([{"index": 0, "delta": {"content": "bad"}, "message": {"content": "word"},
                      "finish_reason": null}])),
        finish(0, "stop"),
    ];
    let bytes = sse(&frames);
    let got =
        run(spec(Route::Chat, true, 1, &rules), [bytes.as_slice()]).map_err(|e| e.0).expect("an answer");
    let after = Client::read(&[got.out, got.tail].concat());
    assert_eq!(after.lane("/choices/0/message/content"), "bad");
}

/// Clients append the strings of an id too.
#[test]
fn ids_that_spell_a_word_together_do_not_pass() {
    let places: [fn(&str) -> Value; 3] = [
        |id| json!({"tool_calls": [{"index": 0, "id": id, "function": {"arguments": ""}}]}),
        |id| json!({"audio": {"id": id}}),
        |id| json!({"role": id}),
    ];
    for place in places {
        let frames = [delta(0, place("sec")), delta(0, place("ret")), finish(0, "stop")];
        let bytes = sse(&frames);
        let got = run(spec(Route::Chat, true, 1, &usual()), [bytes.as_slice()])
            .map_err(|e| e.0)
            .expect("an answer");
        let out = String::from_utf8([got.out, got.tail].concat()).expect("utf-8");
        let both = out.contains("\"sec\"") && out.contains("\"ret\"");
        assert!(!both, "{out}");
    }
}

/// A provider that repeats its call's id in each frame keeps it.
#[test]
fn an_id_that_is_repeated_passes() {
    let call = |text: &str| {
        delta(0, json!({"tool_calls": [{"index": 0, "id": "call_Abc1", "function": {"arguments": text}}]}))
    };
    let bytes = sse(&[call("{"), call("}"), call(""), finish(0, "tool_calls")]);
    let got =
        run(spec(Route::Chat, true, 1, &usual()), [bytes.as_slice()]).map_err(|e| e.0).expect("an answer");
    let out = String::from_utf8(got.out).expect("utf-8");
    assert_eq!(out.matches("\"call_Abc1\"").count(), 3, "{out}");
}

/// Some clients take `Content` for `content`.
#[test]
fn names_in_another_case_are_left_out() {
    for frames in [
        [delta(0, json!({"content": "a sec"})), delta(0, json!({"Content": "ret b"})), finish(0, "stop")],
        [
            delta(0, json!({"content": "a sec"})),
            frame(json!([{"index": 0, "Delta": {"content": "ret b"}, "finish_reason": null}])),
            finish(0, "stop"),
        ],
    ] {
        let bytes = sse(&frames);
        let got = run(spec(Route::Chat, true, 1, &usual()), [bytes.as_slice()])
            .map_err(|e| e.0)
            .expect("an answer");
        let out = String::from_utf8([got.out, got.tail].concat()).expect("utf-8");
        assert!(!out.contains("ret b"), "{out}");
    }
}

/// A number can spell what a rule looks for as well as a string.
#[test]
fn a_long_number_is_scanned_where_it_stands() {
    let rules = set(vec![rule(Action::Redact, Granularity::Span, &["13800138000"])]);
    let mut value = delta(0, json!({"content": "x"}));
    value["created"] = json!(13_800_138_000_u64);
    value["service_tier"] = json!(13_800_138_000_u64);
    value["choices"][0]["stop_reason"] = json!(13_800_138_000_u64);
    let bytes = sse(&[value, finish(0, "stop")]);
    let got =
        run(spec(Route::Chat, true, 1, &rules), [bytes.as_slice()]).map_err(|e| e.0).expect("an answer");
    let out = String::from_utf8([got.out, got.tail].concat()).expect("utf-8");
    assert!(!out.contains("13800138000"), "{out}");
}

/// An event of several data lines goes out as one line, or a reader would lose its end.
#[test]
fn a_frame_of_several_lines_becomes_one() {
    let mut bytes =
        b"data: {\"choices\":\ndata:\ndata: [{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n".to_vec();
    bytes.extend(sse(&[finish(0, "stop")]));
    let mut scan = AnswerScan::new(spec(Route::Chat, true, 1, &usual()));
    let mut out = Vec::new();
    scan.bytes(&bytes, &mut out).expect("read");
    assert_eq!(Client::read(&out).lane("/choices/0/message/content"), "hi");
}

/// What no answer can have used is not believed: it would not fit the ledger, nor a day's sum.
#[test]
fn absurd_usage_is_unknown() {
    for tokens in ["1000000001", "9007199254740993", "9223372036854775808", "18446744073709551615", "1e300"] {
        let body = format!(
            "{{\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"x\"}},\
             \"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":{tokens},\"completion_tokens\":{tokens}}}}}"
        );
        let mut scan = AnswerScan::new(spec(Route::Chat, false, 1, &usual()));
        scan.body(body.as_bytes()).expect("read");
        let summary = scan.end(&mut Vec::new()).expect("an answer");
        assert!(!summary.usage.known, "{tokens}");
        assert_eq!((summary.usage.input, summary.usage.output), (0, 0), "{tokens}");
    }
}
