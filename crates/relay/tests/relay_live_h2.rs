//! The same over TLS and HTTP/2: a stream that is reset, or whose connection goes, ends no turn of a conversation, and
//! any later stream continues it. `DRAGOMAN_CASES` sets how many streams are left at every frame.
mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::h2::{self, DATA, END_HEADERS, END_STREAM, End, H2, HEADERS, RST_STREAM};
use support::provider::{self, Provider, Step};
use support::relay::{self, Zone};
use support::tls::{self, Pair};
use support::wait::eventually;

#[test]
fn relay_process() {
    relay::process();
}

/// RFC 9113 7: nobody wants it any longer.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

fn started(provider: &Provider, change: impl FnOnce(&mut Value)) -> (Zone, Pair, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let pair = tls::pair(dir.path());
    let zone = Zone::start(&[provider], |config| {
        tls::public(config, Some(&pair));
        change(config);
    });
    (zone, pair, dir)
}

/// Asks for a streamed turn of a conversation on a stream.
fn turn(client: &mut H2, stream: u32, conversation: &str, content: &str) {
    let path = format!("/v1/conversations/{conversation}/turns");
    let body =
        json!({"model": "dragoman", "stream": true, "messages": [{"role": "user", "content": content}]});
    let mut fields = client.fields("POST", &path);
    fields.extend([("authorization", "Bearer k1"), ("content-type", "application/json")]);
    let head = h2::frame(HEADERS, END_HEADERS, stream, &h2::block(&fields));
    let body = h2::frame(DATA, END_STREAM, stream, body.to_string().as_bytes());
    client.send(&[head, body].concat());
}

fn pieces(n: usize) -> Vec<String> {
    const PARTS: [&str; 6] = ["一", " two", "👩\u{200d}👩\u{200d}👧", "é", "\n", "z"];
    (0..3 + n % 6).map(|at| format!("{}{}", PARTS[(at * 5 + n) % PARTS.len()], n + at)).collect()
}

#[test]
fn a_stream_that_is_reset_at_any_frame_ends_nothing() {
    let streams: usize = std::env::var("DRAGOMAN_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let provider = Provider::scripted(|seen| {
        let number = seen.json()["messages"][0]["content"].as_str().and_then(|n| n.parse().ok());
        let pieces = pieces(number.expect("a number"));
        provider::stream(&pieces.iter().map(String::as_str).collect::<Vec<_>>(), 5)
    });
    let (zone, pair, _dir) = started(&provider, |_| {});
    let mut left = 0;
    for n in 0..streams {
        // Many turns on one connection, as a page or a gateway has them.
        let mut client = H2::open(zone.port, &pair.der);
        for frames in 0..=pieces(n).len() + 4 {
            let stream = 1 + 2 * u32::try_from(frames).expect("a stream");
            let before = zone.control.0.turns.all().len();
            turn(&mut client, stream, &format!("cnv_local_{left}"), &n.to_string());
            let mut seen = 0;
            while seen < frames {
                let frame = client.read_frame().expect("a frame");
                seen += usize::from(frame.stream == stream && matches!(frame.kind, DATA | HEADERS));
                if frame.stream == stream && frame.flags & END_STREAM != 0 {
                    break;
                }
            }
            eventually("the turn is opened", || zone.control.0.turns.all().len() > before);
            client.send(&h2::frame(RST_STREAM, 0, stream, &CANCEL));
            left += 1;
        }
    }
    for stored in zone.control.0.turns.wait("finished", left) {
        let number = stored.opening["input"]["messages"][0]["content"].as_str().and_then(|n| n.parse().ok());
        let text = pieces(number.expect("a number")).concat();
        assert_eq!(stored.record["choices"][0]["message"]["content"], text);
    }
    assert_eq!((zone.control.fed("result", left).len(), provider.calls()), (left, left));
    println!("{}", json!({"streams": streams, "left": left, "ended": 0}));
}

#[test]
fn another_connection_continues_what_a_lost_one_began() {
    let gate = Arc::<AtomicBool>::default();
    let opened = Arc::clone(&gate);
    let provider = Provider::scripted(move |_| {
        let mut steps = provider::stream(&["begun ", "and ended"], 0);
        steps.insert(3, Step::Gate(Arc::clone(&opened)));
        steps
    });
    let (zone, pair, _dir) = started(&provider, |config| {
        config["providers"]["p0"]["deadlines_ms"] =
            json!({"connect": 10_000, "first_byte": 120_000, "idle": 120_000, "total": 300_000});
    });
    let mut client = H2::open(zone.port, &pair.der);
    turn(&mut client, 1, "cnv_local_1", "hello");
    let mut text = String::new();
    while !text.contains("begun ") {
        let frame = client.read_frame().expect("a frame");
        if frame.kind == DATA {
            text.push_str(&String::from_utf8_lossy(&frame.payload));
        }
    }
    drop(client);
    let id = zone.control.0.turns.all()[0].opening["turn"].as_str().expect("an id").to_owned();
    let mut readers: Vec<H2> = (0..=6)
        .map(|after| {
            let mut reader = H2::open(zone.port, &pair.der);
            let path = format!("/v1/conversations/cnv_local_1/turns/{id}?after={after}");
            let mut fields = reader.fields("GET", &path);
            fields.push(("authorization", "Bearer k1"));
            let head = h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::block(&fields));
            reader.send(&head);
            // Its head says that it follows.
            while reader.read_frame().expect("a frame").kind != HEADERS {}
            reader
        })
        .collect();
    gate.store(true, Ordering::SeqCst);
    for (after, reader) in readers.iter_mut().enumerate() {
        let End::Answer(_, body) = reader.end(1) else { panic!("no answer after {after}") };
        let events = body.lines().filter_map(|line| line.strip_prefix("data: "));
        let events = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        let said: String =
            events.filter_map(|e| Some(e["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect();
        assert_eq!(said, &"begun and ended"[after..], "after {after}");
        assert!(body.ends_with("data: [DONE]\n\n"));
    }
}
