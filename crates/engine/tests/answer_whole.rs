//! Answers that are not streamed, and the ends of both kinds: refusals, vendors' blocks, stops, faults.

use dragoman_engine::answer::{
    AnswerScan, AnswerSpec, NoticeSpec, NoticeText, Origin, VendorBlock, notice_answer,
};
use dragoman_engine::request::Route;
use dragoman_engine::rules::{Action, Granularity, RuleSet};
use serde_json::{Value, json};

mod answers;
use answers::{Client, delta, finish, label, rule, run, set, spec, sse, texts, usage, usual};

fn whole(spec: AnswerSpec, body: &str) -> Result<(Value, dragoman_engine::answer::Summary), &'static str> {
    let mut scan = AnswerScan::new(spec);
    scan.body(body.as_bytes()).map_err(|error| error.code)?;
    let mut tail = Vec::new();
    let summary = scan.end(&mut tail).map_err(|error| error.code)?;
    Ok((serde_json::from_slice(&tail).expect("json"), summary))
}

fn chat_body(choices: &Value) -> String {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "up-1", "choices": choices,
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "note": "a secret"},
        "system_fingerprint": "fp_1", "vendor_note": "a secret"})
    .to_string()
}

fn blocks() -> Vec<VendorBlock> {
    let block = |pointer: &str, word: &str| VendorBlock {
        pointer: pointer.to_owned(),
        equals: vec![word.to_owned()],
    };
    vec![
        block("/choices/*/finish_reason", "content_filter"),
        block("/error/code", "content_filter"),
        block("/promptFeedback/blockReason", "SAFETY"),
    ]
}

#[test]
fn a_whole_answer_is_scanned_labelled_and_described() {
    let rules = usual();
    let body = chat_body(&json!([
        {"index": 0, "message": {"role": "assistant", "content": "a secret \u{7981}\u{8bcd}", "refusal": null,
            "reasoning_content": "secret", "tool_calls": [{"id": "call_1", "type": "function",
            "function": {"name": "secret", "arguments": "{\"q\":\"s\\u0065cret\"}"}}],
            "annotations": [{"type": "url_citation", "url_citation": {"title": "secret", "start_index": 1}}]},
         "logprobs": {"content": [{"token": "secret", "bytes": [115]}]}, "finish_reason": "stop"},
        {"index": 1, "message": {"role": "assistant", "content": "\u{7edd}\u{5bc6} and more"}, "finish_reason": "stop"},
    ]));
    let mut given = spec(Route::Chat, false, 2, &rules);
    given.labels = [label()].into();
    given.notices =
        [NoticeText { id: "n1".to_owned(), rule_id: "r".to_owned(), text: "A notice.".to_owned() }].into();
    let (got, summary) = whole(given, &body).expect("an answer");
    let message = &got["choices"][0]["message"];
    assert_eq!(message["content"], "[AI-generated] \nA notice.\n\na ▮ ▮");
    assert_eq!(message["reasoning_content"], "▮");
    assert_eq!(message["tool_calls"][0]["function"], json!({"name": "▮", "arguments": "{\"q\":\"▮\"}"}));
    assert_eq!(message["annotations"][0]["url_citation"], json!({"title": "▮", "start_index": 28}));
    assert_eq!(
        (&got["choices"][0]["logprobs"], &got["choices"][0]["finish_reason"]),
        (&json!(null), &json!("stop"))
    );
    assert_eq!(got["choices"][1]["finish_reason"], "content_filter");
    assert!(got["choices"][1]["message"]["content"].as_str().unwrap().contains("Stopped here."));
    assert_eq!((&got["model"], got.get("vendor_note")), (&json!("dragoman"), None));
    assert_eq!(got["usage"]["total_tokens"], 7);
    assert_eq!(got["dragoman"]["interventions"].as_array().unwrap().len(), summary.interventions.len());
    assert_eq!((summary.usage.input, summary.usage.output, summary.usage.known), (3, 4, true));
    assert!(summary.refused && !got.to_string().contains("secret"));
    let told = got["dragoman"]["interventions"].as_array().expect("a list");
    let first = told.iter().find(|one| one["action"] == "redact").expect("a redaction");
    let text = json!({"en": "Stopped here.", "zh": "Stopped here."});
    let source = json!({"title": "Operator's rules", "url": null});
    assert_eq!((&first["message"], &first["source"]), (&text, &source), "why, and which source");
    let id = first["id"].as_str().expect("an id");
    assert_eq!(first["appeal"], format!("/appeal/{id}"));
}

/// What was done to the request stands first, whether the answer has interventions of its own or not.
#[test]
fn the_request_s_interventions_are_told_with_the_answer() {
    let rules = usual();
    for (said, ids) in [("fine", vec!["int_in"]), ("a secret", vec!["int_in", "int_local_1"])] {
        let body = chat_body(&json!([
            {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"},
        ]));
        let mut given = spec(Route::Chat, false, 1, &rules);
        given.inward = json!({"id": "int_in"}).to_string();
        let (got, summary) = whole(given, &body).expect("an answer");
        let told = got["dragoman"]["interventions"].as_array().expect("a list");
        assert_eq!(told.iter().map(|one| one["id"].as_str().expect("an id")).collect::<Vec<_>>(), ids);
        assert_eq!(summary.interventions.len(), ids.len() - 1, "its own alone are the scan's");
    }
}

#[test]
fn a_whole_answer_equals_its_stream() {
    let rules = usual();
    for text in ["plain", "a secret b", "\u{7981}", "x \u{7edd}\u{5bc6} y", "", "\u{1f600} \"q\" \\ \n"] {
        let body = chat_body(&json!([{"index": 0, "message": {"role": "assistant", "content": text},
            "finish_reason": "stop"}]));
        let mut given = [true, false].map(|stream| spec(Route::Chat, stream, 1, &rules));
        for one in &mut given {
            one.labels = [label()].into();
        }
        let [streamed, at_once] = given;
        let (got, summary) = whole(at_once, &body).expect("whole");
        let mut frames: Vec<Value> =
            text.chars().flat_map(|c| texts(0, "content", &[c.to_string().as_str()])).collect();
        frames.extend([finish(0, "stop"), usage()]);
        let other = run(streamed, [sse(&frames).as_slice()]).map_err(|e| e.0).expect("stream");
        let client = Client::read(&[other.out, other.tail].concat());
        let said = got["choices"][0]["message"]["content"].as_str().unwrap();
        assert_eq!(client.lane("/choices/0/message/content"), said);
        assert_eq!(client.lane("finish/0"), got["choices"][0]["finish_reason"]);
        assert_eq!(summary.output, other.summary.output);
    }
}

#[test]
fn granularity_answer_shows_nothing_before_the_end() {
    let rules = set(vec![
        rule(Action::Refuse, Granularity::Answer, &["绝密"]),
        rule(Action::Redact, Granularity::Span, &["secret"]),
    ]);
    let mut frames = texts(0, "content", &["hello ", "w绝"]);
    frames.extend(texts(1, "content", &["other"]));
    frames.push(finish(1, "stop"));
    frames.extend(texts(0, "content", &["密 tail"]));
    frames.push(finish(0, "stop"));
    let got =
        run(spec(Route::Chat, true, 2, &rules), [sse(&frames).as_slice()]).map_err(|e| e.0).expect("runs");
    assert!(got.out.is_empty());
    let client = Client::read(&got.tail);
    for choice in ["0", "1"] {
        assert!(client.lane(&format!("/choices/{choice}/message/content")).starts_with("Stopped here."));
        assert_eq!(client.lane(&format!("finish/{choice}")), "content_filter");
    }
    assert_eq!(got.interventions.len(), 1);
    let clean = sse(&[texts(0, "content", &["a se", "cret"]), vec![finish(0, "stop")]].concat());
    let got = run(spec(Route::Chat, true, 1, &rules), [clean.as_slice()]).map_err(|e| e.0).expect("runs");
    assert!(got.out.is_empty());
    assert_eq!(Client::read(&got.tail).lane("/choices/0/message/content"), "a ▮");
    let body = chat_body(
        &json!([{"index": 0, "message": {"content": "ok"}}, {"index": 1, "message": {"content": "绝密"}}]),
    );
    let (got, _) = whole(spec(Route::Chat, false, 2, &rules), &body).expect("whole");
    assert!(
        !got["choices"].to_string().contains("\"ok")
            && got["choices"][0]["finish_reason"] == "content_filter"
    );
}

#[test]
fn a_vendors_own_block_is_told_as_the_vendors() {
    let rules = RuleSet::empty();
    let with = |stream| AnswerSpec { blocks: blocks(), ..spec(Route::Chat, stream, 1, &rules) };
    let frames = [texts(0, "content", &["begin "]), vec![finish(0, "content_filter"), usage()]].concat();
    let got = run(with(true), [sse(&frames).as_slice()]).map_err(|e| e.0).expect("runs");
    let client = Client::read(&[got.out, got.tail].concat());
    assert!(
        client.lane("/choices/0/message/content").starts_with("begin \n\nThe model provider's own filter")
    );
    assert_eq!((client.lane("finish/0"), got.interventions[0].origin), ("content_filter", Origin::Vendor));
    assert!(got.summary.vendor_blocked && got.interventions[0].vendor.as_deref() == Some("content_filter"));
    for body in [
        chat_body(&json!([{"index": 0, "message": {"content": "begin"}, "finish_reason": "content_filter"}])),
        json!({"error": {"code": "content_filter", "message": "blocked"}}).to_string(),
        json!({"promptFeedback": {"blockReason": "SAFETY"}}).to_string(),
    ] {
        let (got, summary) = whole(with(false), &body).expect("an answer");
        let said = got["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(said.contains("The model provider's own filter") && summary.vendor_blocked, "{said}");
    }
    let error = json!({"error": {"code": "content_filter"}});
    let got = run(with(true), [sse(&[error]).as_slice()]).map_err(|e| e.0).expect("runs");
    assert_eq!(Client::read(&[got.out, got.tail].concat()).lane("finish/0"), "content_filter");
}

#[test]
fn garbage_is_an_error_and_lets_nothing_out() {
    let rules = usual();
    let code = |body: &[u8]| {
        let mut scan = AnswerScan::new(spec(Route::Chat, false, 1, &rules));
        scan.body(body).expect_err("an error").code
    };
    assert_eq!(code(b"<html><body>502</body></html>"), "provider_garbage");
    assert_eq!(code(b"{\"choices\":[{\"index\":0,\"message\":{\"content\":\"x\"}}]"), "provider_garbage");
    assert_eq!(code(b"{\"choices\":[]}"), "provider_garbage");
    assert_eq!(code(b"{\"choices\":[{\"index\":0,\"message\":{\"content\":\"\xff\"}}]}"), "provider_garbage");
    assert_eq!(code(b"{\"error\":{\"message\":\"no\"}}"), "provider_error");
    let streamed = |bytes: &[u8]| {
        let Err((error, out)) = run(spec(Route::Chat, true, 1, &rules), [bytes]) else { panic!("no error") };
        assert!(!String::from_utf8(out).unwrap().contains("finish_reason\":\"s"));
        error.code
    };
    let begin = sse(&texts(0, "content", &["hello"]));
    assert_eq!(streamed(&begin), "provider_truncated");
    assert_eq!(streamed(b""), "provider_truncated");
    assert_eq!(streamed(b"data: [DONE]\n\n"), "provider_truncated");
    assert_eq!(streamed(b"data: <html>\n\n"), "provider_garbage");
    assert_eq!(streamed(b"<html>hello</html>\n\n"), "provider_truncated");
    assert_eq!(streamed(&vec![b'x'; 2 << 20]), "provider_frame_too_long");
    assert_eq!(streamed(&sse(&texts(1, "content", &["not asked for"]))), "provider_garbage");
    assert_eq!(streamed(b"data: {\"error\":{\"message\":\"overloaded\"}}\n\n"), "provider_error");
    let done = sse(&[texts(0, "content", &["x"]), vec![finish(0, "stop")]].concat());
    let cut = &done[..done.len() - b"data: [DONE]\n\n".len()];
    run(spec(Route::Chat, true, 1, &rules), [cut]).map_err(|e| e.0).expect("finished without [DONE]");
    let unterminated = &done[..done.len() - 2];
    run(spec(Route::Chat, true, 1, &rules), [unterminated])
        .map_err(|e| e.0)
        .expect("[DONE] without its blank line");
}

#[test]
fn an_abort_discards_what_is_held_and_ends_nothing() {
    let rules = usual();
    let mut scan = AnswerScan::new(spec(Route::Chat, true, 1, &rules));
    let mut out = Vec::new();
    scan.bytes(&sse(&texts(0, "content", &["a secret se", "cre"]))[..], &mut out).expect("frames");
    let summary = scan.abort("provider_timeout", "The provider was silent for too long.", &mut out);
    let client = Client::read(&out);
    assert_eq!(client.lane("/choices/0/message/content"), "a ▮ ");
    assert_eq!(client.errors[0]["code"], "provider_timeout");
    assert!(!client.done && !client.lanes.contains_key("finish/0") && client.dragoman.is_none());
    assert_eq!((summary.interventions.len(), summary.findings[0].n), (1, 1));
}

#[test]
fn a_stop_says_its_notice_and_ends() {
    let rules = usual();
    let mut scan = AnswerScan::new(spec(Route::Chat, true, 1, &rules));
    let (mut out, mut tail) = (Vec::new(), Vec::new());
    let bytes = sse(&[delta(0, json!({"role": "assistant", "content": "begin sec"}))]);
    scan.bytes(&bytes[..bytes.len() - 14], &mut out).expect("frames");
    let summary = scan.stop_with_notice("Your key was revoked.", &mut tail);
    let client = Client::read(&[out, tail].concat());
    assert_eq!(client.lane("/choices/0/message/content"), "begin \n\nYour key was revoked.");
    assert_eq!((client.lane("finish/0"), client.done), ("content_filter", true));
    assert_eq!(scan.interventions()[0].origin, Origin::Change);
    assert!(summary.refused);
    let mut scan = AnswerScan::new(spec(Route::Completions, false, 2, &rules));
    let mut tail = Vec::new();
    scan.stop_with_notice("Stop.", &mut tail);
    let body: Value = serde_json::from_slice(&tail).unwrap();
    assert_eq!((&body["choices"][1]["text"], &body["object"]), (&json!("Stop."), &json!("text_completion")));
}

#[test]
fn usage_of_any_shape_leaves_a_valid_answer() {
    let rules = usual();
    for usage in [json!(null), json!(5), json!("secret"), json!({}), json!({"a": {"b": null}}), json!([])] {
        let mut body: Value =
            serde_json::from_str(&chat_body(&json!([{"index": 0, "message": {"content": "x"}}]))).unwrap();
        body["usage"] = usage.clone();
        let (got, summary) =
            whole(spec(Route::Chat, false, 1, &rules), &body.to_string()).expect("an answer");
        assert!(!summary.usage.known && !got.to_string().contains("secret"), "{usage}");
        let mut last = finish(0, "stop");
        last["usage"] = usage;
        let frames = [texts(0, "content", &["x"]), vec![last]].concat();
        let got = run(spec(Route::Chat, true, 1, &rules), [sse(&frames).as_slice()])
            .map_err(|e| e.0)
            .expect("runs");
        assert_eq!(Client::read(&[got.out, got.tail].concat()).lane("finish/0"), "stop");
    }
}

#[test]
fn a_stop_after_the_last_finish_keeps_it() {
    let rules = usual();
    let mut scan = AnswerScan::new(spec(Route::Chat, true, 1, &rules));
    let (mut out, mut tail) = (Vec::new(), Vec::new());
    let bytes = sse(&[texts(0, "content", &["x"]), vec![finish(0, "length")]].concat());
    scan.bytes(&bytes[..bytes.len() - 14], &mut out).expect("frames");
    scan.stop_with_notice("Too late.", &mut tail);
    let client = Client::read(&[out, tail].concat());
    assert_eq!((client.lane("finish/0"), client.lane("/choices/0/message/content")), ("length", "x"));
}

#[test]
fn a_scan_moves_between_threads() {
    fn send<T: Send>(_: &T) {}
    send(&AnswerScan::new(spec(Route::Chat, true, 1, &usual())));
}

#[test]
fn a_notice_is_an_ordinary_answer() {
    let mut notice = NoticeSpec {
        route: Route::Chat,
        stream: false,
        include_usage: true,
        asked_model: "dragoman".to_owned(),
        n: 2,
        turn: "trn_1".to_owned(),
        decision: "dec_1".to_owned(),
        outcome: "DENY".to_owned(),
        reasons: "[{\"code\":\"X\"}]".to_owned(),
        interventions: "[]".to_owned(),
        text: "Not here.\n\"Why\"".to_owned(),
        created: 5,
        about: String::new(),
    };
    let whole: Value = serde_json::from_slice(&notice_answer(&notice)).unwrap();
    assert_eq!(whole["choices"][1]["message"]["content"], "Not here.\n\"Why\"");
    assert_eq!(
        (&whole["dragoman"]["outcome"], &whole["object"]),
        (&json!("DENY"), &json!("chat.completion"))
    );
    notice.stream = true;
    let client = Client::read(&notice_answer(&notice));
    assert_eq!(client.lane("/choices/1/message/content"), "Not here.\n\"Why\"");
    assert_eq!((client.lane("finish/0"), client.done), ("content_filter", true));
    assert_eq!(client.dragoman.unwrap()["reasons"][0]["code"], "X");
    notice.route = Route::Completions;
    assert_eq!(Client::read(&notice_answer(&notice)).lane("/choices/0/text"), "Not here.\n\"Why\"");
}

/// Each rule that changed an answer has a statement of reasons, however often it did.
#[test]
fn the_redactions_past_the_limit_have_one_intervention_for_each_rule() {
    let words: Vec<String> = (0..150).map(|n| format!("word{n:03}x")).collect();
    let mut rules: Vec<_> =
        words.iter().map(|word| rule(Action::Redact, Granularity::Span, &[word])).collect();
    for (n, one) in rules.iter_mut().enumerate() {
        one.id = format!("op.{n}");
    }
    let rules = set(rules);
    let content = format!("{}{}", "word000x ".repeat(250), words.join(" "));
    let body = chat_body(&json!([
        {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"},
    ]));
    let mut scan = AnswerScan::new(spec(Route::Chat, false, 1, &rules));
    scan.body(body.as_bytes()).expect("an answer");
    assert_eq!(scan.interventions().len(), 200);
    let mut tail = Vec::new();
    let summary = scan.end(&mut tail).expect("an end");
    let rest = scan.interventions();
    assert_eq!(rest.len(), 101, "a hundred rules, and one for all others");
    assert_eq!((rest[0].rule.as_deref(), rest[0].n), (Some("op.0"), 51));
    assert_eq!((rest[100].rule.as_deref(), rest[100].n), (None, 50));
    assert_eq!(summary.interventions.len(), 301);
    let got: Value = serde_json::from_slice(&tail).expect("json");
    let shown = got["dragoman"]["interventions"].as_array().expect("a list");
    let n: u64 = shown.iter().map(|one| one["n"].as_u64().unwrap_or(1)).sum();
    assert_eq!((shown.len(), n), (301, 400), "each redaction is told of");
}
