//! HTTP/2 as it should be: the rules of HTTP/1.1 hold on streams, answers are flushed frame by frame, a slow
//! reader stops the source, and a reset stream ends its turn.
mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::h2::{self, DATA, END_HEADERS, END_STREAM, End, H2, HEADERS, RST_STREAM, WINDOW_UPDATE};
use support::provider::{self, Provider, Step};
use support::relay::{self, Zone};
use support::tls::{self, Pair};
use support::wait::{eventually, within};

#[test]
fn relay_process() {
    relay::process();
}

fn started(provider: &Provider) -> (Zone, Pair, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let pair = tls::pair(dir.path());
    let zone = Zone::start(&[provider], |config| tls::public(config, Some(&pair)));
    (zone, pair, dir)
}

fn ask(stream: bool) -> Value {
    json!({"model": "dragoman", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
}

/// A request with `change` made to its fields, on a connection of its own; the status and the error's code.
fn with(zone: &Zone, pair: &Pair, change: impl Fn(&mut Vec<(String, String)>)) -> (u16, String) {
    let mut client = H2::open(zone.port, &pair.der);
    let mut fields: Vec<(String, String)> =
        client.fields("GET", "/healthz").iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    change(&mut fields);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    client.send(&h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::block(&fields)));
    match client.end(1) {
        End::Answer(status, body) => {
            let error: Value = serde_json::from_str(&body).unwrap_or_default();
            (status, error["error"]["code"].as_str().unwrap_or("").to_owned())
        }
        End::Reset(_) => (0, "reset".to_owned()),
        other => panic!("{other:?}"),
    }
}

type Change<'a> = Box<dyn Fn(&mut Vec<(String, String)>) + 'a>;

#[test]
fn the_rules_of_the_head_hold_on_streams() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    let own = format!("127.0.0.1:{}", zone.port);
    let set = |name: &'static str, value: String| {
        move |fields: &mut Vec<(String, String)>| {
            let field = fields.iter_mut().find(|(n, _)| n == name).expect("a field");
            field.1.clone_from(&value);
        }
    };
    let add = |name: &'static str, value: String| {
        move |fields: &mut Vec<(String, String)>| fields.push((name.to_owned(), value.clone()))
    };
    assert_eq!(with(&zone, &pair, |_| {}), (200, String::new()), "the negative control");
    assert_eq!(with(&zone, &pair, add("host", own.clone())), (200, String::new()), "a Host that agrees");
    let without = |fields: &mut Vec<(String, String)>| fields.retain(|(n, _)| n != ":authority");
    let host_alone = |fields: &mut Vec<(String, String)>| {
        fields.retain(|(n, _)| n != ":authority");
        fields.push(("host".to_owned(), own.clone()));
    };
    assert_eq!(with(&zone, &pair, host_alone), (200, String::new()));
    let cases: Vec<(&str, Change, u16, &str)> = vec![
        ("another authority", Box::new(set(":authority", "evil.example".into())), 421, "wrong_host"),
        ("another Host", Box::new(add("host", "evil.example".into())), 400, "bad_request_head"),
        ("no authority", Box::new(without), 400, "bad_request_head"),
        ("an authority with a user", Box::new(set(":authority", format!("u@{own}"))), 421, "wrong_host"),
        ("no TLS, it says", Box::new(set(":scheme", "http".into())), 400, "bad_request_head"),
        ("a name with _", Box::new(add("content_length", "1".into())), 400, "bad_request_head"),
        ("proxy-authorization", Box::new(add("proxy-authorization", "x".into())), 400, "bad_request_head"),
        ("a trailer field", Box::new(add("trailer", "x".into())), 400, "bad_request_head"),
        ("a long target", Box::new(set(":path", format!("/{}", "a".repeat(9_000)))), 414, "target_too_long"),
        (
            "a proxy of this machine that nobody named",
            Box::new(add("x-forwarded-for", "203.0.113.9".into())),
            421,
            "forwarded_untrusted",
        ),
        ("no such route", Box::new(set(":path", "/v1/nothing".into())), 404, "not_found"),
        ("a dotted route", Box::new(set(":path", "/%2e%2e/plan".into())), 404, "not_found"),
        ("another method", Box::new(set(":method", "PUT".into())), 405, "method_not_allowed"),
        (
            "too many fields",
            Box::new(|fields: &mut Vec<(String, String)>| {
                fields.extend((0..101).map(|n| (format!("x-{n}"), String::new())));
            }),
            431,
            "request_head_too_large",
        ),
    ];
    for (what, change, status, code) in cases {
        assert_eq!(with(&zone, &pair, change), (status, code.to_owned()), "{what}");
    }
    // HTTP/2 has no field of one connection: hyper resets the stream.
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("keep-alive", "1"),
        ("te", "gzip"),
    ] {
        assert_eq!(with(&zone, &pair, add(name, value.into())), (0, "reset".into()), "{name}");
    }
    assert_eq!(provider.calls(), 0);
}

#[test]
fn cookies_and_our_own_fields_reach_pages_as_over_http_1() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    let mut client = H2::open(zone.port, &pair.der);
    let mut fields = client.fields("GET", "/page");
    fields.extend([
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-real-port", "1"),
        ("dragoman-tenant", "ten_local_forged"),
    ]);
    let head = h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::block(&fields));
    client.send(&head);
    let End::Answer(200, body) = client.end(1) else { panic!("no page") };
    let seen: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(seen["headers"]["cookie"], "a=1; b=2");
    assert_eq!(seen["headers"]["dragoman-tenant"], Value::Null);
    assert_eq!(seen["headers"]["host"], client.host.as_str());
    let address: Value =
        serde_json::from_str(seen["headers"]["dragoman-address"].as_str().expect("an address"))
            .expect("JSON");
    assert_eq!(address, json!({"country": null, "kind": "unknown", "peer": "remote"}));
}

/// Each piece arrives while the provider still waits to send the next.
#[test]
fn a_streamed_answer_is_flushed_frame_by_frame() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    let gates: Vec<Arc<AtomicBool>> = (0..4).map(|_| Arc::default()).collect();
    let shown = gates.clone();
    provider.play(move |_| {
        let mut steps = vec![Step::Send(provider::STREAM_HEAD.into())];
        for (frame, gate) in provider::frames(&["one", "two"]).iter().zip(&shown) {
            steps.extend([Step::Gate(Arc::clone(gate)), Step::Send(provider::chunk(frame))]);
        }
        steps.push(Step::Send(provider::chunk("data: [DONE]\n\n")));
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    });
    let mut client = H2::open(zone.port, &pair.der);
    client.chat(1, &ask(true));
    gates[0].store(true, Ordering::SeqCst);
    for (gate, piece) in [(1, "one"), (2, "two")] {
        gates[gate].store(true, Ordering::SeqCst);
        let mut text = String::new();
        while !text.contains(piece) {
            let frame = client.read_frame().expect("a frame before the next is sent");
            if frame.kind == DATA {
                text.push_str(&String::from_utf8_lossy(&frame.payload));
            }
        }
        assert!(!text.contains("[DONE]"));
    }
    gates[3].store(true, Ordering::SeqCst);
    let End::Answer(_, rest) = client.end(1) else { panic!("no end") };
    assert!(rest.contains("[DONE]"), "{rest}");
}

/// A reader that gives no window holds the provider back; with a window everything comes.
#[test]
fn a_stream_without_window_stops_the_source_and_others_go_on() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    let pieces: Vec<String> = (0..4_000).map(|n| format!("{n:05} {}", "word ".repeat(100))).collect();
    let total: usize = pieces.iter().map(String::len).sum();
    provider.play(move |_| {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        provider::stream(&pieces, 0)
    });
    let mut client = H2::open(zone.port, &pair.der);
    client.chat(1, &ask(true));
    let mut got = 0;
    while got < 65_535 {
        let frame = client.read_frame().expect("what fits the window");
        if frame.kind == DATA {
            got += frame.payload.len();
        }
    }
    // The window of the connection is used up too: only what is no flow of data is answered meanwhile.
    client.send(&h2::frame(h2::PING, 0, 0, b"12345678"));
    loop {
        let frame = client.read_frame().expect("the ping's answer");
        assert_ne!(frame.kind, DATA, "nothing beyond the window");
        if frame.kind == h2::PING {
            break;
        }
    }
    for stream in [0, 1] {
        client.send(&h2::frame(WINDOW_UPDATE, 0, stream, &0x3fff_0000_u32.to_be_bytes()));
    }
    let End::Answer(_, rest) = client.end(1) else { panic!("no end") };
    assert!(got + rest.len() > total && rest.contains("[DONE]"));
}

#[test]
fn a_reset_stream_ends_its_turn_and_leaves_the_others() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    provider.play(|seen| {
        if seen.json()["stream"] != true {
            return vec![Step::Hang];
        }
        let mut steps = vec![Step::Send(provider::STREAM_HEAD.into())];
        steps.extend(provider::frames(&["one"])[..2].iter().map(|f| Step::Send(provider::chunk(f))));
        steps.push(Step::Hang);
        steps
    });
    let mut client = H2::open(zone.port, &pair.der);
    client.chat(1, &ask(true));
    while client.read_frame().expect("a first frame").kind != DATA {}
    client.chat(3, &ask(false));
    eventually("both are asked", || provider.calls() == 2);
    let reset = Instant::now();
    client.send(&h2::frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
    eventually("the provider's connection is closed", || !provider.left.lock().unwrap().is_empty());
    let left = provider.left.lock().unwrap()[0];
    assert!(left.duration_since(reset) < within(1_000), "{:?}", left.duration_since(reset));
    client.send(&h2::frame(RST_STREAM, 0, 3, &8_u32.to_be_bytes()));
    eventually("one that has no answer yet as well", || provider.left.lock().unwrap().len() == 2);
    let entries = zone.control.fed("result", 2);
    assert!(entries.iter().all(|e| e["status"] == "cancelled"), "{entries:?}");
    client.get(5, "/healthz");
    assert_eq!(client.end(5), End::Answer(200, "alive\n".into()));
}

#[test]
fn a_slow_body_and_a_slow_head_end() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    let mut head = H2::open(zone.port, &pair.der);
    let mut silent = H2::silent(zone.port, &pair.der);
    let mut body = H2::open(zone.port, &pair.der);
    let block = h2::block(&head.fields("GET", "/healthz"));
    head.send(&h2::frame(HEADERS, END_STREAM, 1, &block));
    let mut fields = body.fields("POST", "/v1/chat/completions");
    fields.extend([("authorization", "Bearer k1"), ("content-length", "100")]);
    let first = h2::frame(HEADERS, END_HEADERS, 1, &h2::block(&fields));
    body.send(&[first, h2::frame(DATA, 0, 1, b"{")].concat());
    let begun = Instant::now();
    let End::Answer(408, _) = body.end(1) else { panic!("a slow body is refused") };
    let End::GoAway(_) = head.end(1) else { panic!("a head that does not end") };
    assert_eq!(silent.end(1), End::Closed, "no preface");
    assert!(begun.elapsed() > Duration::from_secs(8));
    assert!(begun.elapsed() < within(30_000));
    assert_eq!(provider.calls(), 0);
}

#[test]
fn a_relay_that_stops_lets_open_streams_end() {
    let provider = Provider::start("x");
    let (mut zone, pair, _dir) = started(&provider);
    let gate = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&gate);
    provider.play(move |_| {
        let mut steps = provider::stream(&["one", "two"], 0);
        steps.insert(2, Step::Gate(Arc::clone(&open)));
        steps
    });
    let mut client = H2::open(zone.port, &pair.der);
    client.chat(1, &ask(true));
    while client.read_frame().expect("a first frame").kind != DATA {}
    zone.signal(libc::SIGTERM);
    eventually("it says that it goes", || client.read_frame().expect("a frame").kind == h2::GOAWAY);
    gate.store(true, Ordering::SeqCst);
    let End::Answer(_, rest) = client.end(1) else { panic!("the stream was cut") };
    assert!(rest.contains("[DONE]"), "{rest}");
    assert_eq!(zone.wait(), 0);
}
