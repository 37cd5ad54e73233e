use super::*;
use dragoman_engine::request::{BodyLimits, FieldTable, Route};
use serde_json::json;

fn request(more: &serde_json::Value) -> Request {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Request::parse(Route::Chat, body.to_string().into_bytes(), &FieldTable::default(), BodyLimits::default())
        .unwrap()
}

fn attempt(output: Option<u64>, input: Option<u64>, price: Option<Price>) -> Attempt {
    Attempt {
        provider: "p".into(),
        model: "m".into(),
        max_output_tokens: output,
        max_input_tokens: input,
        output_field: "max_tokens".into(),
        price,
    }
}

fn euro(input: u64, cached: u64, output: u64) -> Price {
    Price { currency: Some("EUR".into()), input, cached, output }
}

#[test]
fn the_least_bound_of_an_answer_counts_for_each_choice() {
    let asked = request(&json!({"max_tokens": 50, "n": 3}));
    let call = |output, most| Call::of(&attempt(output, None, None), &asked, most).worst.unwrap().output;
    assert_eq!(call(Some(100), None), 150);
    assert_eq!(call(Some(20), None), 60);
    assert_eq!(call(Some(20), Some(5)), 15);
    assert_eq!(call(None, None), 150);
    assert!(Call::of(&attempt(None, None, None), &request(&json!({})), None).worst.is_none());
}

#[test]
fn all_attempts_are_reserved_and_those_called_are_spent() {
    let asked = request(&json!({"max_tokens": 10}));
    let ways =
        [attempt(None, Some(100), Some(euro(1_000_000, 500_000, 2_000_000))), attempt(None, Some(100), None)];
    let mut calls: Vec<Call> = ways.iter().map(|way| Call::of(way, &asked, None)).collect();
    assert_eq!(reserve(&calls, Unit::Requests, None), Ok(1));
    assert_eq!(reserve(&calls, Unit::Tokens, None), Ok(220));
    assert_eq!(reserve(&calls, Unit::Money, Some("EUR")), Err(Unbounded::Price));
    calls.pop();
    assert_eq!(reserve(&calls, Unit::Money, Some("EUR")), Ok(120));
    assert_eq!(reserve(&calls, Unit::Money, Some("USD")), Err(Unbounded::Price));
    assert_eq!(
        (spent(&calls, Unit::Tokens, None), cost(&calls, false)),
        (0, Some(Cost { amount: 0, currency: String::new() }))
    );
    calls[0].called = Called::Sent;
    assert_eq!((spent(&calls, Unit::Tokens, None), spent(&calls, Unit::Money, Some("EUR"))), (110, 120));
    calls[0].called = Called::Stated(Tokens { input: 10, cached: 4, output: 3 });
    assert_eq!((spent(&calls, Unit::Tokens, None), spent(&calls, Unit::Money, Some("EUR"))), (13, 14));
    assert_eq!(cost(&calls, false), Some(Cost { amount: 14, currency: "EUR".into() }));
}

#[test]
fn money_is_rounded_up_and_what_costs_nothing_has_no_currency() {
    assert_eq!(euro(1, 1, 1).of(Tokens { input: 1, cached: 0, output: 0 }), 1);
    assert_eq!(euro(250_000, 0, 0).of(Tokens { input: 9, cached: 0, output: 0 }), 3);
    assert_eq!(euro(u64::MAX, 0, u64::MAX).of(Tokens { input: u64::MAX, cached: 0, output: 9 }), u64::MAX);
    let free = Price { currency: None, input: 0, cached: 0, output: 0 };
    let asked = request(&json!({"max_tokens": 10}));
    let calls = [Call::of(&attempt(None, None, Some(free)), &asked, None)];
    assert_eq!(reserve(&calls, Unit::Money, Some("USD")), Ok(0));
}

#[test]
fn what_is_not_text_needs_the_models_context() {
    let image = request(&json!({"max_tokens": 5, "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://h.example/a.png"}}]}]}));
    let way = attempt(None, None, None);
    let calls = [Call::of(&way, &image, None)];
    assert_eq!(reserve(&calls, Unit::Tokens, None), Err(Unbounded::Price));
    assert_eq!(why_unbounded(&calls, &image, &[way], None), Unbounded::Input);
    assert_eq!(Call::of(&attempt(None, Some(4_096), None), &image, None).worst.unwrap().input, 4_096);
    let open = attempt(None, None, None);
    let none = request(&json!({}));
    assert_eq!(
        why_unbounded(&[Call::of(&open, &none, None)], &none, std::slice::from_ref(&open), None),
        Unbounded::Output
    );
}

#[test]
fn what_has_a_price_of_its_own_is_not_counted_at_the_ordinary_one() {
    let way = attempt(None, Some(100), Some(euro(1_000_000, 500_000, 2_000_000)));
    let said = |more: serde_json::Value| {
        let mut body = json!({"max_tokens": 10});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let asked = request(&body);
        let calls = [Call::of(&way, &asked, None)];
        let due = reserve(&calls, Unit::Money, Some("EUR"));
        let why = why_unbounded(&calls, &asked, std::slice::from_ref(&way), None);
        (due.is_ok(), why, asked.dearer().map(str::to_owned), cost(&calls, true).is_some())
    };
    for (more, field) in [
        (json!({"service_tier": "priority"}), "service_tier"),
        (json!({"service_tier": "flex"}), "service_tier"),
        (json!({"modalities": ["text", "audio"]}), "modalities.1"),
        (json!({"audio": {"voice": "v", "format": "mp3"}}), "audio"),
        (
            json!({"messages": [{"role": "user", "content": [
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]}]}),
            "messages.0.content.0.input_audio",
        ),
    ] {
        assert_eq!(said(more), (false, Unbounded::Dearer, Some(field.to_owned()), false));
    }
    for more in [json!({}), json!({"service_tier": "auto", "modalities": ["text"], "audio": null})] {
        assert_eq!(said(more), (true, Unbounded::Price, None, true));
    }
    let free = attempt(None, Some(100), Some(Price { currency: None, input: 0, cached: 0, output: 0 }));
    let asked = request(&json!({"max_tokens": 10, "service_tier": "priority"}));
    assert_eq!(reserve(&[Call::of(&free, &asked, None)], Unit::Money, Some("EUR")), Ok(0));
}

#[test]
fn usage_on_the_way_is_not_believed() {
    let mut usage = Usage::default();
    (usage.input, usage.output, usage.known) = (3, 4, true);
    assert_eq!(Tokens::of(&usage), None);
    usage.complete = true;
    assert_eq!(Tokens::of(&usage), Some(Tokens { input: 3, cached: 0, output: 4 }));
}
