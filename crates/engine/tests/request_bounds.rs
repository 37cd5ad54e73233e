//! What bounds an answer and a request: the caller's members, the operator's bound written into the body, the input.
use dragoman_engine::limits::{TEMPLATE_MESSAGE_TOKENS, TEMPLATE_TOKENS};
use dragoman_engine::request::{BodyLimits, FieldTable, MostOutput, Request, Route};
use serde_json::{Value, json};
use std::fmt::Write as _;

fn chat(more: &Value) -> Request {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    parsed(Route::Chat, &body.to_string())
}

fn parsed(route: Route, body: &str) -> Request {
    Request::parse(route, body.as_bytes().to_vec(), &FieldTable::default(), BodyLimits::default()).unwrap()
}

fn sent(request: &Request, field: &str, tokens: u64) -> Value {
    serde_json::from_slice(&request.bounded_body("up", true, Some(MostOutput { field, tokens }))).unwrap()
}

#[test]
fn one_member_says_the_bound_and_it_is_the_providers_own() {
    for (asked, wanted) in [
        (json!({}), json!({"max_tokens": 9})),
        (json!({"max_tokens": 50}), json!({"max_tokens": 9})),
        (json!({"max_tokens": 5}), json!({"max_tokens": 5})),
        (json!({"max_tokens": null}), json!({"max_tokens": 9})),
        (json!({"max_completion_tokens": 50}), json!({"max_tokens": 9})),
        (json!({"max_completion_tokens": 5}), json!({"max_tokens": 5})),
        (json!({"max_completion_tokens": 50, "max_tokens": 3}), json!({"max_tokens": 3})),
        (json!({"max_tokens": 50, "max_completion_tokens": 3}), json!({"max_tokens": 3})),
        (json!({"max_completion_tokens": null, "max_tokens": 3}), json!({"max_tokens": 3})),
        (json!({"max_completion_tokens": null, "max_tokens": null}), json!({"max_tokens": 9})),
    ] {
        let up = sent(&chat(&asked), "max_tokens", 9);
        let named: Vec<_> = ["max_completion_tokens", "max_tokens"]
            .into_iter()
            .filter_map(|f| up.get(f).map(|v| (f, v.clone())))
            .collect();
        let expected: Vec<_> =
            wanted.as_object().unwrap().iter().map(|(f, v)| (f.as_str(), v.clone())).collect();
        assert_eq!(named, expected, "{asked}");
    }
}

#[test]
fn the_bound_goes_into_the_field_the_provider_takes_beside_all_else() {
    let up = sent(&chat(&json!({"stream": true})), "max_completion_tokens", 7);
    assert_eq!(
        (&up["max_completion_tokens"], &up["stream_options"]["include_usage"], &up["model"]),
        (&json!(7), &json!(true), &json!("up"))
    );
    let request =
        parsed(Route::Completions, "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"n\":2,\"best_of\":5 } ");
    assert_eq!(sent(&request, "max_tokens", 7)["max_tokens"], json!(7));
    assert_eq!((request.choices(), request.written()), (4, 10));
    assert!(
        chat(&json!({})).upstream_body("up", false).ends_with(b"}"),
        "the control: nothing is written without a bound"
    );
}

#[test]
fn an_input_is_bounded_by_its_bytes_and_the_template() {
    let plain = chat(&json!({}));
    assert_eq!(plain.input_bound(), plain.body().len() as u64 + TEMPLATE_TOKENS + TEMPLATE_MESSAGE_TOKENS);
    // Escaped or not, the JSON form of a text has at least as many bytes as the text.
    let text = "禁\u{1F600}\n\"x".repeat(50);
    for body in [
        json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string(),
        format!(
            "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}",
            text.chars().fold(String::new(), |mut all, c| {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(all, "\\u{unit:04x}").unwrap();
                }
                all
            })
        ),
    ] {
        assert!(parsed(Route::Chat, &body).input_bound() >= text.len() as u64);
    }
}

#[test]
fn more_than_text_is_noticed() {
    let part = |part: Value| chat(&json!({"messages": [{"role": "user", "content": [part]}]})).has_media();
    assert!(part(json!({"type": "image_url", "image_url": {"url": "https://h.example/a.png"}})));
    assert!(part(json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}})));
    assert!(part(json!({"type": "file", "file": {"file_data": "AA"}})));
    assert!(!part(json!({"type": "text", "text": "a"})), "the negative control");
}
