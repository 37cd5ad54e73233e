//! Many connections that send or read as slowly as they can: others do not notice, and each is closed in time.
//! `DRAGOMAN_SLOW` sets how many; with `DRAGOMAN_EXACT=1` silent ones, readers and the times of others are tested too.
mod support;

use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::provider::{self, Provider, Step};
use support::relay::{self, Zone};
use support::wait::within;

/// Requests of the others, before and while.
const OTHERS: usize = 400;

#[test]
fn relay_process() {
    relay::process();
}

fn count() -> usize {
    std::env::var("DRAGOMAN_SLOW").ok().and_then(|n| n.parse().ok()).unwrap_or(120)
}

fn exact() -> bool {
    std::env::var("DRAGOMAN_EXACT").is_ok_and(|v| v == "1")
}

/// The time that 99 of 100 turns stay below.
fn p99(zone: &Zone) -> Duration {
    let mut client = zone.client();
    let body = json!({"model": "dragoman", "messages": [{"role": "user", "content": "hello"}]});
    let mut times: Vec<Duration> = (0..OTHERS)
        .map(|_| {
            let at = Instant::now();
            assert_eq!(client.chat(&body).status, 200);
            at.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[OTHERS * 99 / 100]
}

/// What a slow connection sends at first, and each second after.
fn slow(zone: &Zone, n: usize) -> (TcpStream, &'static [u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", zone.port)).expect("a connection");
    let host = format!("host: 127.0.0.1:{}\r\n", zone.port);
    let turn = "POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer k1\r\n";
    let stalled =
        json!({"model": "dragoman", "stream": true, "messages": [{"role": "user", "content": "long"}]});
    let stalled = stalled.to_string();
    let (first, each): (String, &[u8]) = match n % if exact() { 5 } else { 3 } {
        0 => (format!("GET / HTTP/1.1\r\n{host}"), b"x: y\r\n"),
        1 => (format!("{turn}{host}content-length: 100000\r\n\r\n"), b"a"),
        2 => (format!("{turn}{host}transfer-encoding: chunked\r\n\r\n"), b"1\r\na\r\n"),
        3 => (String::new(), b""),
        _ => (format!("{turn}{host}content-length: {}\r\n\r\n{stalled}", stalled.len()), b""),
    };
    stream.write_all(first.as_bytes()).expect("sent");
    (stream, each)
}

/// Whether the relay has closed a connection, which reads nothing unless it is asked for an end.
fn closed(stream: &TcpStream) -> bool {
    let socket = socket2::SockRef::from(stream);
    let mut piece = [std::mem::MaybeUninit::uninit(); 1];
    stream.set_nonblocking(true).expect("nonblocking");
    match socket.peek(&mut piece) {
        Ok(0) => true,
        // An answer that says why; its end comes after it.
        Ok(_) => {
            let mut all = Vec::new();
            let mut reader = stream;
            !matches!(reader.read_to_end(&mut all), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
                || all.starts_with(b"HTTP/1.1 4")
        }
        Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn slow_connections_are_closed_and_nobody_waits_for_them() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |_| {});
    provider.play(|seen| {
        if seen.json()["stream"] == true {
            let piece = provider::chunk(&provider::frame(&json!({"content": "word ".repeat(2_000)}), None));
            let mut steps = vec![Step::Send(provider::STREAM_HEAD.into())];
            steps.extend((0..5_000).map(|_| Step::Send(piece.clone())));
            return steps;
        }
        provider::answer(200, "application/json", &provider::whole("x"))
    });
    p99(&zone);
    let before = p99(&zone);
    let begun = Instant::now();
    let (mut heads, readers): (Vec<_>, Vec<_>) =
        (0..count()).map(|n| (n, slow(&zone, n))).partition(|(n, _)| n % 5 != 4 || !exact());
    let during = p99(&zone);
    let limit = within(30_000);
    let mut latest = Duration::ZERO;
    while !heads.is_empty() {
        assert!(begun.elapsed() < limit, "{} are still open", heads.len());
        for (_, (stream, each)) in &mut heads {
            drop(stream.write(each));
        }
        heads.retain(|(_, (stream, _))| !closed(stream));
        latest = begun.elapsed();
        std::thread::sleep(Duration::from_millis(500));
    }
    // A reader is closed with what it has not read: seen at the relay.
    let held = |zone: &Zone| zone.metric("dragoman_open_turns ");
    while exact() && held(&zone) > 0.0 {
        assert!(begun.elapsed() < Duration::from_secs(35), "{} turns are still open", held(&zone));
        std::thread::sleep(Duration::from_millis(500));
        latest = begun.elapsed();
    }
    drop(readers);
    println!(
        "{{\"connections\": {}, \"closed_within_ms\": {}, \"p99_us_before\": {}, \"p99_us_during\": {}}}",
        count(),
        latest.as_millis(),
        before.as_micros(),
        during.as_micros()
    );
    if exact() {
        assert!(during.as_secs_f64() < before.as_secs_f64() * 1.1 + 0.0005, "{before:?} {during:?}");
    }
    assert_eq!(zone.client().get("/readyz").status, 200);
}
