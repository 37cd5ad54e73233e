//! A turn from end to end against a fake control and a fake provider, over real sockets.
mod support;

use serde_json::json;
use support::provider::{self, Provider};
use support::relay::{self, Zone};

#[test]
fn relay_process() {
    relay::process();
}

fn ask(stream: bool) -> serde_json::Value {
    json!({"model": "dragoman", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
}

#[test]
fn a_plain_turn_is_answered_and_recorded() {
    let provider = Provider::start("hi there");
    let zone = Zone::start(&[&provider], |_| {});
    let answer = zone.client().chat(&ask(false));
    assert_eq!((answer.status, answer.text().as_str()), (200, "hi there"), "{answer:?}");
    let receipt = answer.header("dragoman-receipt").expect("a receipt");
    assert!(receipt.starts_with("v=1; turn=trn_local_"), "{receipt}");
    let intent = &zone.control.fed("intent", 1)[0];
    let result = &zone.control.fed("result", 1)[0];
    assert_eq!(result["status"], "finished");
    assert_eq!(result["turn"], intent["turn"]);
    assert_eq!(result["usage"], json!({"input": 3, "output": 2, "known": true}));
    assert_eq!(zone.control.fed("decision", 1).len(), 1);
    let seen = provider.seen.lock().unwrap()[0].clone();
    assert_eq!(seen.json()["model"], "m0");
    assert_eq!(seen.header("authorization"), Some("Bearer provider-secret"));
    let mut names: Vec<&str> = seen.headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    let sent = [
        "accept",
        "accept-encoding",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ];
    assert_eq!(names, sent);
}

#[test]
fn a_stream_is_answered_and_its_end_marker_is_last() {
    let provider = Provider::scripted(|_| provider::stream(&["你", "好", " there"], 20));
    let zone = Zone::start(&[&provider], |_| {});
    let answer = zone.client().chat(&ask(true));
    assert_eq!((answer.status, answer.text().as_str()), (200, "你好 there"), "{answer:?}");
    assert!(answer.whole);
    assert_eq!(answer.events().last().expect("an event"), "[DONE]");
    assert_eq!(zone.control.fed("result", 1)[0]["status"], "finished");
}

#[test]
fn the_local_provider_is_told_who_asks() {
    let zone = Zone::start(&[], |_| {});
    let answer = zone.client().chat(&ask(false));
    assert!(answer.text().starts_with("hello from ten_local_"), "{answer:?}");
}

#[test]
fn provider_connections_are_used_again() {
    let provider = Provider::start("again");
    let zone = Zone::start(&[&provider], |_| {});
    let mut client = zone.client();
    for stream in [false, true, false, true, true, true] {
        assert_eq!(client.chat(&ask(stream)).text(), "again");
    }
    assert_eq!(*provider.connections.lock().unwrap(), 1);
}

#[test]
fn the_decision_is_entered_once() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |_| {});
    let mut client = zone.client();
    for _ in 0..5 {
        client.chat(&ask(false));
    }
    zone.control.fed("result", 5);
    assert_eq!(zone.control.fed("decision", 1).len(), 1);
    assert_eq!(zone.control.asked("/plan"), 1);
    assert_eq!(zone.control.asked("/principal"), 1);
}
