//! `Idempotency-Key`: a request and its twins, in every state of the first, across crashes of the relay at every step.
//! Never two calls of a model for one key, and equal answers.
mod support;

use serde_json::{Value, json};
use support::client::{Answer, Client};
use support::provider::{self, Provider, Step};
use support::relay::{self, Zone};
use support::turns::Fault;
use support::wait::eventually;

#[test]
fn relay_process() {
    relay::process();
}

const CHAT: &str = "/v1/chat/completions";
const TURNS: &str = "/v1/conversations/cnv_local_1/turns";
const ROUTES: [&str; 3] = [CHAT, "/v1/completions", TURNS];

fn ask(path: &str, stream: bool) -> Value {
    if path == "/v1/completions" {
        return json!({"model": "dragoman", "stream": stream, "prompt": "hello"});
    }
    json!({"model": "dragoman", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
}

fn post(client: &mut Client, path: &str, key: &str, body: &Value) -> Answer {
    sent(client, path, key, body);
    client.read().expect("an answer")
}

fn sent(client: &mut Client, path: &str, key: &str, body: &Value) {
    let head = format!("authorization: Bearer k1\r\nidempotency-key: {key}\r\n");
    client.send("POST", path, &head, &body.to_string());
}

/// The text of an answer of any route.
fn text(answer: &Answer) -> String {
    let said = |choice: &Value| {
        let places = [&choice["delta"]["content"], &choice["message"]["content"], &choice["text"]];
        places.iter().find_map(|place| place.as_str()).unwrap_or("").to_owned()
    };
    if answer.body.starts_with('{') {
        return said(&answer.json()["choices"][0]);
    }
    answer.events().iter().map(|event| said(&event["choices"][0])).collect()
}

fn words() -> Provider {
    Provider::scripted(|seen| {
        let body = seen.json();
        let stream = body["stream"] == true;
        if seen.path.ends_with("/chat/completions") {
            return if stream {
                provider::stream(&["some", " text"], 0)
            } else {
                whole(&provider::whole("some text"))
            };
        }
        let choice = |text: &str, end: Value| {
            json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
                   "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": end}]})
        };
        if !stream {
            return whole(&choice("some text", json!("stop")).to_string());
        }
        let mut steps = vec![Step::Send(provider::STREAM_HEAD.into())];
        for (text, end) in [("some", Value::Null), (" text", Value::Null), ("", json!("stop"))] {
            steps.push(Step::Send(provider::chunk(&format!("data: {}\n\n", choice(text, end)))));
        }
        steps.push(Step::Send(provider::chunk("data: [DONE]\n\n")));
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    })
}

fn whole(body: &str) -> Vec<Step> {
    provider::answer(200, "application/json", body)
}

#[test]
fn a_finished_twin_gets_the_same_answer_streamed_or_whole_and_no_model_is_called() {
    for path in ROUTES {
        let provider = words();
        let zone = Zone::start(&[&provider], |_| {});
        let mut client = zone.client();
        let first = post(&mut client, path, "k-1", &ask(path, true));
        assert_eq!((first.status, text(&first).as_str()), (200, "some text"), "{path}: {first:?}");
        assert_eq!(first.header("dragoman-replayed"), None);
        let again = post(&mut client, path, "k-1", &ask(path, true));
        assert_eq!((again.status, text(&again)), (200, text(&first)), "{path}: {again:?}");
        assert!(again.is_complete());
        assert_eq!(again.header("dragoman-replayed"), Some("true"));
        assert_eq!(provider.calls(), 1);
        let results = zone.control.fed("result", 2);
        assert_eq!(results[1]["replays"], results[0]["turn"]);
        assert_ne!(results[1]["turn"], results[0]["turn"]);
        assert_eq!(results[1]["usage"], json!({"input": 0, "output": 0, "known": true}));
        assert_eq!(results[1]["output"].as_str().map(str::len), Some(71));
        assert_eq!(zone.control.fed("intent", 1).len(), 1, "a twin has no intent");
        // As a whole body, under another key, so that both forms are first once.
        let whole = post(&mut client, path, "k-2", &ask(path, false));
        let twin = post(&mut client, path, "k-2", &ask(path, false));
        assert_eq!((text(&whole), text(&twin)), ("some text".to_owned(), "some text".to_owned()), "{path}");
        assert_eq!(twin.json()["choices"][0]["finish_reason"], "stop");
        assert_eq!(provider.calls(), 2);
    }
}

#[test]
fn another_body_or_route_under_a_key_is_refused_and_a_wrong_key_named() {
    let provider = words();
    let zone = Zone::start(&[&provider], |_| {});
    let mut client = zone.client();
    assert_eq!(post(&mut client, CHAT, "k", &ask(CHAT, false)).status, 200);
    let mut other = ask(CHAT, false);
    other["messages"][0]["content"] = json!("something else");
    for (path, body) in [(CHAT, &other), (CHAT, &ask(CHAT, true)), (TURNS, &ask(TURNS, false))] {
        let answer = post(&mut client, path, "k", body);
        assert_eq!((answer.status, answer.code().as_str()), (422, "idempotency_mismatch"), "{path}");
    }
    assert_eq!(provider.calls(), 1);
    for key in ["", "a b", "\u{e4}", &"k".repeat(256)] {
        let answer = post(&mut zone.client(), CHAT, key, &ask(CHAT, false));
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_idempotency_key"), "{key:?}");
    }
    sent(&mut client, CHAT, "a\r\nidempotency-key: b", &ask(CHAT, false));
    assert_eq!(client.read().expect("an answer").code(), "invalid_idempotency_key");
    assert_eq!(post(&mut client, CHAT, &"k".repeat(255), &ask(CHAT, false)).status, 200);
}

#[test]
fn a_running_twin_is_told_so_and_gets_the_answer_later() {
    for path in ROUTES {
        let provider = Provider::scripted(|_| vec![Step::Hang]);
        let zone = Zone::start(&[&provider], |config| {
            config["providers"]["p0"]["deadlines_ms"] =
                json!({"connect": 5000, "first_byte": 60000, "idle": 60000, "total": 120_000});
        });
        let mut first = zone.client();
        sent(&mut first, path, "k", &ask(path, false));
        eventually("the provider is called", || provider.calls() == 1);
        let twin = post(&mut zone.client(), path, "k", &ask(path, false));
        assert_eq!((twin.status, twin.code().as_str()), (409, "turn_running"), "{path}");
        drop(first);
    }
}

#[test]
fn a_failed_twin_gets_the_same_error() {
    for path in ROUTES {
        let provider = Provider::scripted(|_| provider::answer(500, "application/json", "{}"));
        let zone = Zone::start(&[&provider], |_| {});
        let mut client = zone.client();
        let first = post(&mut client, path, "k", &ask(path, false));
        let twin = post(&mut client, path, "k", &ask(path, false));
        assert_eq!((first.status, first.code().as_str()), (502, "provider_failed"), "{path}");
        assert_eq!((twin.status, twin.code()), (first.status, first.code()), "{path}");
        assert_eq!(twin.header("dragoman-replayed"), Some("true"));
        assert_eq!(provider.calls(), 1);
    }
}

#[test]
fn a_replay_goes_through_the_rules_and_labels_of_today() {
    let provider = words();
    let zone = Zone::start(&[&provider], |_| {});
    let mut client = zone.client();
    assert_eq!(post(&mut client, CHAT, "k", &ask(CHAT, true)).status, 200);
    let rule = json!({"id": "op.x", "words": ["text"], "view": "A", "direction": ["out"], "action": "redact",
        "granularity": "span", "edges": {"left": false, "right": false}, "exempts": [],
        "message": {"en": "m", "zh": "m"}, "placeholder": {"en": "[x]", "zh": "[x]"},
        "source": {"title": "Operator", "url": null}, "reason_code": "OPERATOR_RULE"});
    let mut plan = zone.control.0.plan.lock().unwrap().clone().expect("a plan");
    plan["rules_out"] = zone.control.add_rules(&json!([rule])).into();
    plan["labels"] = json!([{"kind": "label.visible", "rule_id": "r", "text": {"en": "AI", "zh": "AI"}}]);
    zone.control.set_plan(plan);
    zone.control.change(&["packs"], "drop", &Value::Null);
    eventually("the change arrives", || {
        let twin = post(&mut client, CHAT, "k", &ask(CHAT, true));
        assert_eq!(twin.status, 200, "{twin:?}");
        text(&twin) == "[AI] some [x]"
    });
    assert_eq!(provider.calls(), 1);
    assert_eq!(zone.control.0.interventions.lock().unwrap()[0]["direction"], "out");
}

#[test]
fn what_never_went_to_a_provider_leaves_its_key_free() {
    let provider = words();
    let mut zone = Zone::start(&[&provider], |_| {});
    // A lost answer of control: the same turn is opened again and gets what it got.
    zone.control.0.turns.fault("open", Some(Fault::Lost));
    let control = zone.control.clone();
    let heal = std::thread::spawn(move || {
        eventually("the turn is opened", || !control.0.turns.all().is_empty());
        control.0.turns.fault("open", None);
    });
    let answer = post(&mut zone.client(), CHAT, "k", &ask(CHAT, false));
    heal.join().expect("healed");
    assert_eq!((answer.status, provider.calls()), (200, 1), "{answer:?}");
    // A client that leaves while control opens its turn: given back.
    zone.control.0.turns.fault("open", Some(Fault::Hangs));
    let mut client = zone.client();
    let calls = provider.calls();
    sent(&mut client, CHAT, "k2", &ask(CHAT, false));
    eventually("control is asked", || zone.control.asked("/turns") >= 2);
    drop(client);
    zone.control.0.turns.fault("open", None);
    eventually("the claim is given back", || {
        zone.control.0.turns.all().iter().all(|turn| turn.opening["idempotency"]["key"] != "k2")
            && zone.control.0.seen.lock().unwrap().iter().any(|s| s.path.ends_with("/outcome"))
    });
    assert_eq!(provider.calls(), calls);
    assert_eq!(post(&mut zone.client(), CHAT, "k2", &ask(CHAT, false)).status, 200);
    zone.signal(libc::SIGTERM);
    assert_eq!(zone.wait(), 0);
}
