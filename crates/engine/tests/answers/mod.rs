//! Recorded-shaped provider streams, a scan over chunks, and a client that puts the lanes together.
#![allow(dead_code)] // each test binary uses its own part
#![allow(clippy::needless_pass_by_value)] // `json!` values read best in place

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use dragoman_engine::answer::{
    AnswerError, AnswerScan, AnswerSpec, InterventionRecord, Label, Links, Summary,
};
use dragoman_engine::request::Route;
use dragoman_engine::rules::{
    Action, Direction, Edges, Granularity, Limits, Locale, Origin, RuleSet, RuleSetSource, RuleSource, Text,
};
use dragoman_engine::stream::hold::Lane;
use serde_json::{Value, json};

pub const LIMITS: Limits =
    Limits { rules_max: 20_000, words_max: 200_000, word_symbols_min: 1, hold_max: 2304, lane_max: 2304 };

pub fn rule(action: Action, granularity: Granularity, words: &[&str]) -> RuleSource {
    let text = |text: &str| Some(Text { en: text.to_owned(), zh: text.to_owned() });
    RuleSource {
        // Names the word without saying it.
        id: format!("op.{action:?}.{:x}", words.concat().chars().map(u64::from).sum::<u64>()).to_lowercase(),
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        view: "A".to_owned(),
        direction: vec![Direction::In, Direction::Out],
        action,
        granularity,
        edges: Edges::default(),
        exempts: Vec::new(),
        message: text("Stopped here."),
        placeholder: text("▮"),
        source: Some(Origin { title: "Operator's rules".to_owned(), url: None }),
        reason_code: Some("OPERATOR_RULE".to_owned()),
    }
}

pub fn set(rules: Vec<RuleSource>) -> Arc<RuleSet> {
    Arc::new(RuleSet::compile(&RuleSetSource { v: 1, rules }, LIMITS).expect("rules compile"))
}

/// Redacts `secret` and `禁词`, refuses `绝密`.
pub fn usual() -> Arc<RuleSet> {
    static USUAL: OnceLock<Arc<RuleSet>> = OnceLock::new();
    let make = || {
        set(vec![
            rule(Action::Redact, Granularity::Span, &["secret", "禁词"]),
            rule(Action::Refuse, Granularity::Span, &["绝密"]),
        ])
    };
    Arc::clone(USUAL.get_or_init(make))
}

pub fn spec(route: Route, stream: bool, n: u32, rules: &Arc<RuleSet>) -> AnswerSpec {
    let mut next = 0;
    AnswerSpec {
        route,
        stream,
        include_usage: true,
        asked_model: "dragoman".to_owned(),
        n,
        locale: Locale::En,
        rules: Arc::clone(rules),
        rules_digest: "sha256:0".to_owned(),
        labels: [].into(),
        notices: [].into(),
        json_lanes: false,
        blocks: Vec::new(),
        turn: "trn_local_1".to_owned(),
        decision: "dec_1".to_owned(),
        links: Links { reasons: "/v1/interventions/".to_owned(), appeal: "/appeal/".to_owned() },
        inward: String::new(),
        created: 7,
        new_id: Box::new(move || {
            next += 1;
            format!("int_local_{next}")
        }),
        keep: true,
        about: String::new(),
    }
}

pub fn label() -> Label {
    Label {
        kind: "label.visible".to_owned(),
        rule_id: "operator.label_always".to_owned(),
        visible: Some("AI-generated".to_owned()),
        machine: None,
    }
}

pub struct Got {
    /// Before the end, and from the end marker on.
    pub out: Vec<u8>,
    pub tail: Vec<u8>,
    pub summary: Summary,
    pub interventions: Vec<InterventionRecord>,
    pub record: String,
}

pub fn run<'c>(
    spec: AnswerSpec,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Got, (AnswerError, Vec<u8>)> {
    let mut scan = AnswerScan::new(spec);
    let mut out = Vec::new();
    for chunk in chunks {
        match scan.bytes(chunk, &mut out) {
            Err(error) => return Err((error, out)),
            Ok(progress) if progress.ended => break,
            Ok(_) => {}
        }
    }
    let mut tail = Vec::new();
    match scan.end(&mut tail) {
        Ok(summary) => {
            let record = scan.record();
            Ok(Got { out, tail, summary, interventions: scan.interventions(), record })
        }
        Err(error) => Err((error, out)),
    }
}

/// What a client has after `bytes`: by lane pointer, its text; finish reasons under `finish/<index>`.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Client {
    pub lanes: BTreeMap<String, String>,
    pub done: bool,
    pub usage: Option<Value>,
    pub dragoman: Option<Value>,
    pub errors: Vec<Value>,
}

impl Client {
    pub fn read(bytes: &[u8]) -> Self {
        let mut client = Self::default();
        for frame in std::str::from_utf8(bytes).expect("utf-8").split("\n\n") {
            let Some(data) = frame.strip_prefix("data: ") else { continue };
            assert!(!client.done, "text after [DONE]");
            if data == "[DONE]" {
                client.done = true;
                continue;
            }
            let value: Value = serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}"));
            client.frame(&value);
        }
        client
    }

    fn frame(&mut self, value: &Value) {
        self.errors.extend(value.get("error").cloned());
        if let Some(usage) = value.get("usage").filter(|usage| !usage.is_null()) {
            self.usage = Some(usage.clone());
        }
        if let Some(dragoman) = value.get("dragoman") {
            self.dragoman = Some(dragoman.clone());
        }
        for choice in value["choices"].as_array().into_iter().flatten() {
            let index = choice["index"].as_u64().expect("index");
            assert!(!self.lanes.contains_key(&format!("finish/{index}")), "text after the finish reason");
            for (key, part) in choice.as_object().expect("choice") {
                match key.as_str() {
                    "index" | "logprobs" => {}
                    "finish_reason" => {
                        if let Some(reason) = part.as_str() {
                            self.lanes.insert(format!("finish/{index}"), reason.to_owned());
                        }
                    }
                    "delta" => self.add(&format!("/choices/{index}/message"), part),
                    key => self.add(&format!("/choices/{index}/{key}"), part),
                }
            }
        }
    }

    fn add(&mut self, path: &str, value: &Value) {
        match value {
            Value::String(text) => self.lanes.entry(path.to_owned()).or_default().push_str(text),
            Value::Object(members) => {
                for (key, member) in members {
                    if !matches!(key.as_str(), "role" | "type" | "id" | "index") {
                        self.add(&format!("{path}/{key}"), member);
                    }
                }
            }
            Value::Array(elements) => {
                for (position, element) in elements.iter().enumerate() {
                    let index = element["index"].as_u64().unwrap_or(position as u64);
                    self.add(&format!("{path}/{index}"), element);
                }
            }
            _ => {}
        }
    }

    pub fn lane(&self, pointer: &str) -> &str {
        self.lanes.get(pointer).map_or("", String::as_str)
    }
}

/// The offline result of a text: what one lane releases of it, and whether it was refused.
pub fn offline(rules: &Arc<RuleSet>, text: &str) -> (String, bool) {
    let mut lane = Lane::new(Arc::clone(rules), Direction::Out, Locale::En);
    let (mut out, mut findings) = (String::new(), Vec::new());
    let stop = lane.push(text, &mut out, &mut findings).or_else(|| lane.finish(&mut out, &mut findings));
    (out, stop.is_some())
}

pub fn frame(choices: Value) -> Value {
    json!({"id": "chatcmpl-Abc123", "object": "chat.completion.chunk", "created": 1_790_000_000_u64,
           "model": "up-1", "system_fingerprint": "fp_44709d6fcb", "choices": choices})
}

pub fn delta(index: u32, delta: Value) -> Value {
    frame(json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": null}]))
}

pub fn finish(index: u32, reason: &str) -> Value {
    frame(json!([{"index": index, "delta": {}, "logprobs": null, "finish_reason": reason}]))
}

pub fn usage() -> Value {
    let mut value = frame(json!([]));
    value["usage"] = json!({"prompt_tokens": 11, "completion_tokens": 22, "total_tokens": 33,
        "completion_tokens_details": {"reasoning_tokens": 4}});
    value
}

pub fn sse(frames: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        out.extend_from_slice(format!("data: {frame}\n\n").as_bytes());
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
    out
}

/// The same frames with every non-ASCII character as an escape, and CRLF line ends.
pub fn sse_escaped(frames: &[Value]) -> Vec<u8> {
    let mut out = String::new();
    for frame in frames {
        out.push_str("data:");
        for c in frame.to_string().chars() {
            if c.is_ascii() {
                out.push(c);
            } else {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04X}").expect("a string takes all");
                }
            }
        }
        out.push_str("\r\n\r\n");
    }
    out.push_str("data: [DONE]\r\n\r\n");
    out.into_bytes()
}

pub fn texts(index: u32, key: &str, parts: &[&str]) -> Vec<Value> {
    parts.iter().map(|part| delta(index, json!({ key: part }))).collect()
}

/// Name, choices and frames of the streams that the tests cut.
pub fn recorded() -> Vec<(&'static str, Route, u32, Vec<Value>)> {
    let role = |index| delta(index, json!({"role": "assistant", "content": "", "refusal": null}));
    let mut chat = vec![role(0)];
    chat.extend(texts(0, "content", &["Hello", " s", "ecr", "et wor", "ld 禁", "词 end se"]));
    chat.extend([finish(0, "stop"), usage()]);
    let mut refused = vec![role(0)];
    refused.extend(texts(0, "content", &["go 禁", "词 on 绝", "密 never", " seen"]));
    refused.push(finish(0, "stop"));
    let mut two = vec![role(0), role(1)];
    for (a, b) in [("A sec", "B 绝"), ("ret", "密 x"), (" a s", "more"), ("ecre", "y")] {
        two.extend([delta(0, json!({"content": a})), delta(1, json!({"content": b}))]);
    }
    two.extend([finish(1, "length"), finish(0, "stop"), usage()]);
    let mut reasoning = vec![role(0)];
    reasoning.extend(texts(0, "reasoning_content", &["think se", "cret th", "禁"]));
    reasoning.extend(texts(0, "reasoning", &["alt sec", "ret"]));
    reasoning.extend(texts(0, "content", &["词 so", " s"]));
    reasoning.extend(texts(0, "refusal", &["no sec", "ret"]));
    reasoning.push(finish(0, "stop"));
    let mut unknown = vec![role(0)];
    for part in ["deep sec", "ret", " 禁"] {
        unknown.push(delta(0, json!({"reasoning_details": [{"type": "reasoning.text", "text": part}]})));
    }
    unknown.push(delta(
        0,
        json!({"annotations": [{"type": "url_citation",
        "url_citation": {"title": "A secret page", "url": "https://x.example/secret"}}]}),
    ));
    unknown.push(finish(0, "stop"));
    vec![
        ("chat", Route::Chat, 1, chat),
        ("refused", Route::Chat, 1, refused),
        ("n=2", Route::Chat, 2, two),
        ("reasoning", Route::Chat, 1, reasoning),
        ("unknown", Route::Chat, 1, unknown),
        ("tools", Route::Chat, 1, tools()),
        ("legacy", Route::Completions, 2, legacy()),
        ("azure", Route::Chat, 1, azure()),
    ]
}

fn tools() -> Vec<Value> {
    let call =
        |index: u32, part: Value| delta(0, json!({"tool_calls": [{"index": index, "function": part}]}));
    vec![
        delta(
            0,
            json!({"role": "assistant", "content": null, "tool_calls": [
            {"index": 0, "id": "call_Abc1", "type": "function", "function": {"name": "look_", "arguments": ""}}]}),
        ),
        call(0, json!({"arguments": "{\"q\":\"a sec"})),
        call(0, json!({"arguments": "ret\",\"n\":1"})),
        call(0, json!({"arguments": "}"})),
        delta(
            0,
            json!({"tool_calls": [{"index": 1, "id": "call_Abc2", "type": "function",
            "function": {"name": "find", "arguments": "{\"w\":\""}}]}),
        ),
        call(1, json!({"arguments": "禁"})),
        call(1, json!({"arguments": "词 s\"}"})),
        finish(0, "tool_calls"),
    ]
}

fn legacy() -> Vec<Value> {
    let piece = |index: u32, text: &str, reason: Option<&str>| {
        json!({"id": "cmpl-7", "object": "text_completion", "created": 1, "model": "up-1",
               "choices": [{"text": text, "index": index, "logprobs": null, "finish_reason": reason}]})
    };
    vec![
        piece(0, "one sec", None),
        piece(1, "two 禁", None),
        piece(0, "ret x", None),
        piece(1, "词", Some("length")),
        piece(0, " s", Some("stop")),
    ]
}

fn azure() -> Vec<Value> {
    let verdict = json!({"hate": {"filtered": false, "severity": "safe"}});
    let mut first = frame(json!([]));
    first["id"] = json!("");
    first["prompt_filter_results"] = json!([{"prompt_index": 0, "content_filter_results": verdict}]);
    let piece = |text: &str| {
        frame(json!([{"index": 0, "content_filter_results": verdict, "delta": {"content": text},
                      "finish_reason": null}]))
    };
    vec![first, piece("it is sec"), piece("ret"), finish(0, "stop"), usage()]
}

/// The lanes of frames before any rule, by pointer.
pub fn said(frames: &[Value]) -> BTreeMap<String, String> {
    Client::read(&sse(frames)).lanes
}
