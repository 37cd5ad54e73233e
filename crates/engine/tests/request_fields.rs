//! Request bodies: what is accepted, what is refused and how it says so, what goes to the provider.

use std::sync::Arc;

use dragoman_engine::request::{BodyLimits, FieldError, FieldTable, Refused, Request, Route, Unknown};
use dragoman_engine::rules::{Action, Granularity, Locale, RuleSet};
use serde_json::{Value, json};

mod answers;
use answers::usual;

fn parse_as(route: Route, body: &Value, table: &FieldTable) -> Result<Request, FieldError> {
    Request::parse(route, body.to_string().into_bytes(), table, BodyLimits::default())
}

fn chat(extra: &Value) -> Result<Request, FieldError> {
    let mut body = json!({"model": "dragoman", "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    parse_as(Route::Chat, &body, &FieldTable::default())
}

fn legacy(extra: &Value) -> Result<Request, FieldError> {
    let mut body = json!({"model": "dragoman", "prompt": "hi"});
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    parse_as(Route::Completions, &body, &FieldTable::default())
}

fn refused(result: Result<Request, FieldError>, code: &str, param: &str) {
    let error = result.expect_err(param);
    assert_eq!((error.code, error.param.as_deref().unwrap_or("")), (code, param), "{error:?}");
    assert!(!error.message.en.is_empty() && !error.message.zh.is_empty());
}

#[test]
fn accepts_every_documented_field() {
    let full = json!({
        "frequency_penalty": -2, "presence_penalty": 2.0, "temperature": 0, "top_p": 1, "n": 128, "seed": -5,
        "logprobs": true, "top_logprobs": 20, "max_tokens": 1, "max_completion_tokens": 4096, "stop": ["a", "b"],
        "stream": true, "stream_options": {"include_usage": true, "include_obfuscation": false}, "user": "u-1",
        "logit_bias": {"50256": -100}, "metadata": {"k": "v"}, "modalities": ["text"], "store": false,
        "parallel_tool_calls": false, "reasoning_effort": "xhigh", "service_tier": "flex", "verbosity": "low",
        "prompt_cache_key": "k", "safety_identifier": "s", "tool_choice": "auto", "prompt_cache_retention": "in_memory",
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
            "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "r", "schema": {}, "strict": true}},
        "web_search_options": null, "audio": null, "function_call": null,
    });
    let request = chat(&full).expect("all known fields");
    assert!(request.stream() && request.include_usage() && request.is_json());
    assert_eq!((request.n(), request.model()), (128, "dragoman"));
    let request =
        legacy(&json!({"best_of": 2, "echo": true, "suffix": "x", "logprobs": 5, "max_tokens": 0, "n": 2,
        "prompt": ["a", "b", "c"]}))
        .expect("legacy");
    assert_eq!((request.choices(), request.is_json()), (6, false));
}

#[test]
fn messages_of_every_role_and_part() {
    let messages = json!([
        {"role": "developer", "content": "d"}, {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {"role": "user", "name": "n", "content": [
            {"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"filename": "f.txt", "file_data": "data:,x"}}]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "r"},
        {"role": "assistant", "refusal": "no"},
    ]);
    chat(&json!({"messages": messages})).expect("messages");
}

#[test]
fn wrong_values_name_the_field() {
    for (extra, code, param) in [
        (json!({"n": 0}), "invalid_value", "n"),
        (json!({"n": 1000}), "invalid_value", "n"),
        (json!({"n": 1.5}), "invalid_type", "n"),
        (json!({"n": "1"}), "invalid_type", "n"),
        (json!({"temperature": 2.1}), "invalid_value", "temperature"),
        (json!({"top_p": -0.1}), "invalid_value", "top_p"),
        (json!({"stream": "yes"}), "invalid_type", "stream"),
        (json!({"model": 5}), "invalid_type", "model"),
        (json!({"model": ""}), "invalid_value", "model"),
        (json!({"messages": []}), "invalid_value", "messages"),
        (json!({"messages": {}}), "invalid_type", "messages"),
        (json!({"messages": null}), "invalid_type", "messages"),
        (json!({"messages": ["x"]}), "invalid_type", "messages.0"),
        (json!({"messages": [{"content": "x"}]}), "missing_field", "messages.0.role"),
        (json!({"messages": [{"role": "boss", "content": "x"}]}), "invalid_value", "messages.0.role"),
        (json!({"messages": [{"role": "user"}]}), "missing_field", "messages.0.content"),
        (json!({"messages": [{"role": "user", "content": null}]}), "missing_field", "messages.0.content"),
        (json!({"messages": [{"role": "user", "content": 7}]}), "invalid_type", "messages.0.content"),
        (json!({"messages": [{"role": "user", "content": []}]}), "invalid_value", "messages.0.content"),
        (
            json!({"messages": [{"role": "user", "content": [{"text": "x"}]}]}),
            "missing_field",
            "messages.0.content.0.type",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "video"}]}]}),
            "invalid_value",
            "messages.0.content.0.type",
        ),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "missing_field", "messages.0.tool_call_id"),
        (
            json!({"messages": [{"role": "user", "content": "x", "nmae": "y"}]}),
            "unknown_field",
            "messages.0.nmae",
        ),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "invalid_value", "stop"),
        (json!({"stop": 1}), "invalid_type", "stop"),
        (json!({"tools": [{"function": {"name": "f"}}]}), "missing_field", "tools.0.type"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "a b"}}]}),
            "invalid_value",
            "tools.0.function.name",
        ),
        (json!({"tools": [{"type": "function", "function": {}}]}), "missing_field", "tools.0.function.name"),
        (json!({"tool_choice": "always"}), "invalid_value", "tool_choice"),
        (json!({"response_format": {"type": "xml"}}), "invalid_value", "response_format.type"),
        (json!({"response_format": {"type": "json_schema"}}), "missing_field", "response_format.json_schema"),
        (json!({"stream_options": {"include_usge": true}}), "unknown_field", "stream_options.include_usge"),
        (json!({"logit_bias": {"1": 101}}), "invalid_value", "logit_bias.1"),
        (json!({"metadata": {"k": 1}}), "invalid_type", "metadata"),
        (json!({"temprature": 1}), "unknown_field", "temprature"),
    ] {
        refused(chat(&extra), code, param);
    }
}

#[test]
fn half_of_a_surrogate_pair_is_refused_by_the_name_of_its_field() {
    let body = |field: &str| {
        let content =
            if field.contains("messages") { "" } else { r#""messages":[{"role":"user","content":"hi"}],"# };
        let model = if field.contains("model") { "" } else { r#""model":"m","# };
        let body = format!("{{{model}{content}{field}}}");
        let limits = BodyLimits::default();
        let table = FieldTable { unknown: Unknown::Pass, ..FieldTable::default() };
        Request::parse(Route::Chat, body.into_bytes(), &table, limits)
    };
    for (field, param) in [
        (r#""messages":[{"role":"user","content":"\ud800"}]"#, "messages.0.content"),
        (r#""messages":[{"role":"user","content":"\uDC00\ud83d\ude00"}]"#, "messages.0.content"),
        (r#""messages":[{"role":"user","content":"\ud83d\u0041"}]"#, "messages.0.content"),
        (r#""messages":[{"role":"user","content":"\ud83d x \ude00"}]"#, "messages.0.content"),
        (
            r#""messages":[{"role":"user","content":[{"type":"text","text":"\\\ud83d\ud83d\ude00"}]}]"#,
            "messages.0.content.0.text",
        ),
        (r#""model":"m\ud800""#, "model"),
        (r#""metadata":{"\udfff":"x"}"#, "metadata"),
        (r#""metadata":{"x":"\udfff"}"#, "metadata"),
        (r#""unheard":{"a":["\udfff"]}"#, "unheard"),
        (r#""\udfff":1"#, ""),
        (
            r#""tools":[{"type":"function","function":{"name":"f","description":"\udbff"}}]"#,
            "tools.0.function.description",
        ),
    ] {
        refused(body(field), "invalid_unicode", param);
    }
    for good in [r"\ud83d\ude00", r"\\ud800", r"\u00e9\n\\", r"\uD83D\uDE00\ud83d\ude00"] {
        body(&format!(r#""messages":[{{"role":"user","content":"{good}"}}]"#)).expect(good);
    }
}

#[test]
fn wrong_values_of_the_older_route_and_of_the_whole() {
    refused(legacy(&json!({"prompt": []})), "invalid_value", "prompt");
    refused(legacy(&json!({"prompt": ["a", 1]})), "invalid_value", "prompt");
    refused(legacy(&json!({"prompt": {}})), "invalid_type", "prompt");
    refused(legacy(&json!({"messages": []})), "unknown_field", "messages");
    refused(legacy(&json!({"n": 128, "prompt": vec!["x"; 20]})), "invalid_value", "n");
    refused(
        parse_as(Route::Chat, &json!({"messages": []}), &FieldTable::default()),
        "invalid_value",
        "messages",
    );
    refused(
        parse_as(Route::Chat, &json!({"model": "m"}), &FieldTable::default()),
        "missing_field",
        "messages",
    );
    refused(parse_as(Route::Chat, &json!([]), &FieldTable::default()), "invalid_json", "");
}

#[test]
fn an_unknown_field_suggests_the_nearest() {
    let error = chat(&json!({"temprature": 1})).expect_err("unknown");
    assert!(error.message.en.contains("'temperature'") && error.message.zh.contains("temperature"));
    let error = chat(&json!({"zzzzzzzzzz": 1})).expect_err("unknown");
    assert!(error.message.en.contains("Remove it"));
}

#[test]
fn what_runs_at_the_vendor_needs_a_grant() {
    for (extra, param) in [
        (json!({"web_search_options": {}}), "web_search_options"),
        (json!({"store": true}), "store"),
        (json!({"prompt_cache_retention": "24h"}), "prompt_cache_retention"),
        (json!({"tools": [{"type": "web_search"}]}), "tools.0.type"),
        (json!({"tools": [{"type": "mcp", "server_url": "x"}]}), "tools.0.type"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}),
            "messages.0.content.0.file.file_id",
        ),
    ] {
        refused(chat(&extra), "needs_grant", param);
    }
    let grants = ["web_search_options", "store", "web_search"].map(str::to_owned).to_vec();
    let table = FieldTable { grants, ..FieldTable::default() };
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "store": true,
        "web_search_options": {"a": 1}, "tools": [{"type": "web_search"}]});
    parse_as(Route::Chat, &body, &table).expect("granted");
}

#[test]
fn a_provider_may_take_more_or_anything() {
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "top_k": 3, "zz": "secret"});
    let mut table = FieldTable { extra: vec!["top_k".to_owned()], ..FieldTable::default() };
    refused(parse_as(Route::Chat, &body, &table), "unknown_field", "zz");
    table.unknown = Unknown::Pass;
    let mut request = parse_as(Route::Chat, &body, &table).expect("passes");
    assert_eq!(request.scan_in(&usual(), Locale::En, Refused::Dropped).unwrap().findings[0].lane, "/zz");
}

#[test]
fn broken_bodies() {
    let parse = |bytes: &[u8]| {
        Request::parse(Route::Chat, bytes.to_vec(), &FieldTable::default(), BodyLimits::default())
    };
    refused(parse(b"{\"model\":\"\xff\"}"), "invalid_json", "");
    refused(parse(b""), "invalid_json", "");
    refused(parse(b"{\"model\":\"m\""), "invalid_json", "");
    refused(parse(b"{\"model\":\"m\",\"model\":\"n\"}"), "duplicate_field", "model");
    refused(parse(b"{\"model\":\"m\",\"mo\\u0064el\":\"n\"}"), "duplicate_field", "mo\\u0064el");
    let deep = format!("{{\"model\":\"m\",\"prediction\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    refused(parse(deep.as_bytes()), "body_too_deep", "");
    let wide: Vec<String> = (0..10_001).map(|i| format!("\"{i}\":1")).collect();
    refused(parse(format!("{{\"logit_bias\":{{{}}}}}", wide.join(",")).as_bytes()), "body_too_complex", "");
    refused(parse(&vec![b' '; 11 << 20]), "body_too_large", "");
    let many = format!("{{\"prediction\":[{}\"\"]}}", "\"\",".repeat(100_001));
    refused(parse(many.as_bytes()), "body_too_complex", "");
}

#[test]
fn every_string_for_the_provider_is_scanned_and_redacted_in_place() {
    let body = r#"{ "model" : "dragoman", "user":"secret-1","messages":[{"role":"system","content":"a secret b"},
 {"role":"user","name":"secret","content":[{"type":"text","text":"\u7981\u8bcd \"q\" secre"},{"type":"text","text":"ok\n"}]},
 {"role":"assistant","tool_calls":[{"id":"call_secret","type":"function","function":{"name":"f","arguments":"{\"a\":\"secret\"}"}}]}],
 "tools":[{"type":"function","function":{"name":"secret","description":"secret",
   "parameters":{"type":"object","properties":{"secret":{"enum":["x","secret"]}}}}}],
 "stop":["secret"],"metadata":{"secret":"secret"}, "temperature":0.50 }"#;
    let mut request =
        Request::parse(Route::Chat, body.as_bytes().to_vec(), &FieldTable::default(), BodyLimits::default())
            .unwrap();
    let scan = request.scan_in(&usual(), Locale::En, Refused::Dropped).unwrap();
    assert_eq!(scan.refused, None);
    let up = String::from_utf8(request.upstream_body("up-\"1", false)).unwrap();
    let expected =
        body.replace("secret", "▮").replace(r"\u7981\u8bcd", "▮").replace("\"dragoman\"", r#""up-\"1""#);
    assert_eq!(up, expected);
    let lanes: Vec<&str> = scan.findings.iter().map(|finding| finding.lane.as_str()).collect();
    for lane in [
        "/user",
        "/messages/0/content",
        "/messages/1/name",
        "/messages/1/content/0/text",
        "/messages/2/tool_calls/0/id",
        "/messages/2/tool_calls/0/function/arguments",
        "/tools/0/function/name",
        "/tools/0/function/description",
        "/tools/0/function/parameters/properties/secret",
        "/tools/0/function/parameters/properties/secret/enum/1",
        "/stop/0",
        "/metadata/secret",
    ] {
        assert!(lanes.contains(&lane), "{lane} {lanes:?}");
    }
    assert_eq!(
        (scan.findings[1].offset, scan.findings[1].length, scan.findings[1].action),
        (2, 6, Action::Redact)
    );
}

#[test]
fn the_parts_of_a_message_are_read_as_one_text_too() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let image = json!({"type": "image_url", "image_url": {"url": "data:,"}});
    let spaced = answers::set(vec![
        answers::rule(Action::Redact, Granularity::Span, &["secret", "a heron"]),
        answers::rule(Action::Refuse, Granularity::Span, &["绝密"]),
    ]);
    let scan = |messages: Value| {
        let mut request = chat(&json!({"messages": messages})).unwrap();
        let scan = request.scan_in(&spaced, Locale::En, Refused::Dropped).unwrap();
        (scan, String::from_utf8(request.upstream_body("up", false)).unwrap())
    };
    let user = |parts: Vec<Value>| json!({"role": "user", "content": parts});
    for (parts, lane, offset) in [
        (vec![text("a sec"), text("ret b")], "/messages/0/content/0/text", 2),
        (
            vec![text("x"), text("a s"), text("ec"), text(""), image, text("ret")],
            "/messages/0/content/1/text",
            2,
        ),
        (vec![text("x a"), text("heron")], "/messages/0/content/0/text", 2),
        (vec![text("secret 绝"), text("密")], "/messages/0/content/0/text", 7),
    ] {
        let (scan, _) = scan(json!([user(parts)]));
        let last = scan.findings.last().expect("a finding");
        assert_eq!((last.lane.as_str(), last.offset, last.action), (lane, offset, Action::Refuse));
        assert_eq!(scan.refused, Some(last.rule));
    }
    // Within a part the placeholder stands as ever, and messages stay apart.
    let (within, up) = scan(json!([user(vec![text("a secret"), text("secret b")])]));
    assert_eq!((within.refused, within.findings.len()), (None, 2));
    assert!(up.contains("a ▮") && up.contains("▮ b"), "{up}");
    let (apart, up) = scan(json!([user(vec![text("x"), text("sec")]), user(vec![text("ret"), text("y")])]));
    assert_eq!((apart.refused, apart.findings.len()), (None, 0));
    assert!(up.contains("\"sec\"") && up.contains("\"ret\""), "{up}");
}

#[test]
fn a_name_that_no_table_lists_is_scanned_where_it_passes() {
    let body = json!({"model": "m", "secret": 1,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "a secret": {}}], "\u{7981}\u{8bcd}": 2}]});
    let table = FieldTable { unknown: Unknown::Pass, ..FieldTable::default() };
    let mut request = parse_as(Route::Chat, &body, &table).unwrap();
    assert_eq!(request.scan_in(&usual(), Locale::En, Refused::Dropped).unwrap().findings.len(), 3);
    let up = String::from_utf8(request.upstream_body("up", false)).unwrap();
    assert!(!up.contains("secret") && !up.contains("\u{7981}\u{8bcd}"), "{up}");
}

#[test]
fn a_refused_word_refuses_the_request() {
    let mut request =
        chat(&json!({"messages": [{"role": "user", "content": "say \u{7edd}\u{5bc6} now"}]})).unwrap();
    let rules = usual();
    let scan = request.scan_in(&rules, Locale::Zh, Refused::Dropped).unwrap();
    assert_eq!(rules.rule(scan.refused.unwrap()).action, Action::Refuse);
    let scan = request.scan_in(&RuleSet::empty(), Locale::Zh, Refused::Dropped).unwrap();
    assert_eq!(scan.refused, None);
}

#[test]
fn what_is_kept_of_a_refused_request_has_every_redaction() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let rules = answers::set(vec![
        answers::rule(Action::Redact, Granularity::Span, &["secret", "a heron"]),
        answers::rule(Action::Refuse, Granularity::Span, &["绝密"]),
    ]);
    let scan = |content: Value, refused: Refused| {
        let messages = json!([{"role": "user", "content": content}]);
        let mut request = chat(&json!({"messages": messages})).unwrap();
        let scan = request.scan_in(&rules, Locale::En, refused).unwrap();
        let body: Value = serde_json::from_slice(&request.upstream_body("up", false)).unwrap();
        (scan, body["messages"][0]["content"].clone())
    };
    for (content, kept, dropped, redacted) in [
        (json!("x 绝密 y"), json!("x 绝密 y"), json!("x 绝密 y"), 0),
        (json!("secret 绝密 secret 绝密"), json!("▮ 绝密 ▮ 绝密"), json!("secret 绝密 secret 绝密"), 2),
        (
            json!([text("a secret"), text("绝密"), text("a secret")]),
            json!([text("a ▮"), text("绝密"), text("a ▮")]),
            json!([text("a ▮"), text("绝密"), text("a secret")]),
            2,
        ),
        // No part holds what the placeholder stands for: it stands for the parts.
        (
            json!([text("绝密 sec"), text("ret b"), text("c")]),
            json!([text("▮"), text("▮"), text("c")]),
            json!([text("绝密 sec"), text("ret b"), text("c")]),
            0,
        ),
        (
            json!([text("a"), text("heron"), text("c")]),
            json!([text("▮"), text("▮"), text("c")]),
            json!([text("a"), text("heron"), text("c")]),
            0,
        ),
    ] {
        let (scanned, body) = scan(content.clone(), Refused::Kept);
        assert_eq!(body, kept, "{content}");
        let of = |action| scanned.findings.iter().filter(|found| found.action == action).count();
        assert_eq!((of(Action::Refuse), of(Action::Redact)), (1, redacted), "{content}");
        // The negative control: the scan that ends with the refusal leaves what follows it, and refuses by the same rule.
        let (ended, body) = scan(content.clone(), Refused::Dropped);
        assert_eq!((ended.refused, body), (scanned.refused, dropped), "{content}");
        assert!(scanned.refused.is_some());
    }
    let (allowed, body) = scan(json!("a secret"), Refused::Kept);
    assert_eq!((allowed.refused, body), (None, json!("a ▮")), "what no rule refuses is the same in both");
}

#[test]
fn token_prompts_pass_only_without_rules() {
    for prompt in [json!([1, 2, 3]), json!([[1, 2], [3]])] {
        let mut request = legacy(&json!({"prompt": prompt})).unwrap();
        assert_eq!(
            request.scan_in(&usual(), Locale::En, Refused::Dropped).unwrap_err().code,
            "unscannable_prompt"
        );
        request.scan_in(&RuleSet::empty(), Locale::En, Refused::Dropped).unwrap();
    }
}

#[test]
fn usage_is_asked_for_and_nothing_else_changes() {
    for (given, wanted) in [
        (
            r#"{"model":"a","messages":[{"role":"user","content":"x"}],"stream":true}"#,
            r#"{"model":"up","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream_options":{}, "stream":true,"messages":[{"role":"user","content":"x"}],"model":"a"}  "#,
            r#"{"stream_options":{"include_usage":true}, "stream":true,"messages":[{"role":"user","content":"x"}],"model":"up"}  "#,
        ),
        (
            r#"{"stream_options":{ "include_obfuscation":false },"stream":true,"messages":[{"role":"user","content":"x"}],"model":"a"}"#,
            r#"{"stream_options":{"include_usage":true, "include_obfuscation":false },"stream":true,"messages":[{"role":"user","content":"x"}],"model":"up"}"#,
        ),
        (
            r#"{"stream_options":{"include_usage": false},"stream":true,"messages":[{"role":"user","content":"x"}],"model":"a"}"#,
            r#"{"stream_options":{"include_usage": true},"stream":true,"messages":[{"role":"user","content":"x"}],"model":"up"}"#,
        ),
        (
            r#"{"stream_options":null,"stream":true,"messages":[{"role":"user","content":"x"}],"model":"a"}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true,"messages":[{"role":"user","content":"x"}],"model":"up"}"#,
        ),
        (
            r#"{"model":"a","messages":[{"role":"user","content":"x"}]}"#,
            r#"{"model":"up","messages":[{"role":"user","content":"x"}]}"#,
        ),
    ] {
        let request = Request::parse(
            Route::Chat,
            given.as_bytes().to_vec(),
            &FieldTable::default(),
            BodyLimits::default(),
        )
        .unwrap();
        assert!(!request.include_usage());
        assert_eq!(String::from_utf8(request.upstream_body("up", true)).unwrap(), wanted);
    }
}

#[test]
fn the_language_of_the_last_user() {
    for (text, locale) in [
        ("你好，请问 order 怎么退？", Some(Locale::Zh)),
        ("How do I return it?", Some(Locale::En)),
        ("123", None),
        ("これは日本語です", None),
    ] {
        let messages = json!([{"role": "user", "content": "first 你好"}, {"role": "user", "content": text}]);
        assert_eq!(chat(&json!({ "messages": messages })).unwrap().locale(), locale, "{text}");
    }
}

#[test]
fn whole_rule_sets_are_shared() {
    let rules: Arc<RuleSet> = usual();
    let before = Arc::strong_count(&rules);
    let mut request = chat(&json!({})).unwrap();
    request.scan_in(&rules, Locale::En, Refused::Dropped).unwrap();
    assert_eq!(Arc::strong_count(&rules), before);
}

/// A body of a stored turn, its members in the order given.
fn stored(body: &str) -> Result<Request, FieldError> {
    let table = FieldTable { stored: true, ..FieldTable::default() };
    Request::parse(Route::Chat, body.as_bytes().to_vec(), &table, BodyLimits::default())
}

#[test]
fn the_parent_of_a_stored_turn_is_read_and_goes_to_nobody() {
    let parts = [r#""model":"m""#, r#""messages":[{"role":"user","content":"hi"}]"#, r#""parent" : "trn_1""#];
    for order in [[0, 1, 2], [0, 2, 1], [2, 0, 1]] {
        for joint in [",", " , ", "\n,\t"] {
            let body = format!("{{ {} }}", order.map(|at| parts[at]).join(joint));
            let request = stored(&body).expect(&body);
            assert_eq!(request.parent(), Some("trn_1"), "{body}");
            let sent: Value = serde_json::from_slice(&request.upstream_body("up", true)).expect(&body);
            let names: Vec<&String> = sent.as_object().expect("an object").keys().collect();
            assert_eq!(names.len(), 2, "{body}: {sent}");
            assert_eq!(sent["model"], "up");
            assert_eq!(request.body(), body);
        }
    }
    let null =
        stored(r#"{"parent":null,"model":"m","messages":[{"role":"user","content":"hi"}]}"#).expect("null");
    assert_eq!(null.parent(), Some(""));
    let sent: Value = serde_json::from_slice(&null.upstream_body("m", false)).expect("JSON");
    assert!(sent.get("parent").is_none());
}

#[test]
fn a_stored_turn_is_one_new_message_of_a_user_answered_once() {
    let with = |more: &str| format!(r#"{{"model":"m"{more}}}"#);
    let user = r#","messages":[{"role":"user","content":"hi"}]"#;
    for (more, code, param) in [
        (String::new(), "missing_field", "messages"),
        (r#","messages":[]"#.to_owned(), "invalid_value", "messages"),
        (r#","messages":[{"role":"system","content":"s"}]"#.to_owned(), "invalid_value", "messages.0.role"),
        (
            r#","messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]"#.to_owned(),
            "invalid_value",
            "messages",
        ),
        (format!(r#"{user},"n":2"#), "invalid_value", "n"),
        (format!(r#"{user},"parent":1"#), "invalid_type", "parent"),
        (format!(r#"{user},"parent":"a/b""#), "invalid_value", "parent"),
        (format!(r#"{user},"parent":"{}""#, "x".repeat(129)), "invalid_value", "parent"),
    ] {
        refused(stored(&with(&more)), code, param);
    }
    assert!(stored(&with(&format!(r#"{user},"n":1,"parent":"root""#))).is_ok());
    refused(chat(&json!({"parent": "last"})), "unknown_field", "parent");
}
