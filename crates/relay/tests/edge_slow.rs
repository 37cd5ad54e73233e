//! Many connections that send or read as slowly as they can: others do not notice, and each is closed in time.
//! `DRAGOMAN_SLOW` sets how many; with `DRAGOMAN_EXACT=1` silent ones, readers and the times of others are tested too.
mod support;

use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use support::provider::{self, Provider, Step};
use support::relay::{self, Zone};
use support::wait::{eventually, within};

/// Of the slow connections, those that read nothing.
const READERS: usize = 40;
/// Requests of the others in a round, before and while; with exact times enough for a 99th percentile.
const OTHERS: usize = 200;
const OTHERS_EXACT: usize = 3_000;

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

/// The time that 99 of 100 turns stay below, in the best of three rounds: other work comes and goes.
fn p99(zone: &Zone) -> Duration {
    (0..if exact() { 3 } else { 1 }).map(|_| round(zone)).min().unwrap_or_default()
}

fn round(zone: &Zone) -> Duration {
    let mut client = zone.client();
    let body = json!({"model": "dragoman", "messages": [{"role": "user", "content": "hello"}]});
    let many = if exact() { OTHERS_EXACT } else { OTHERS };
    let mut times: Vec<Duration> = (0..many)
        .map(|_| {
            let at = Instant::now();
            let answer = client.chat(&body);
            assert_eq!(answer.status, 200, "{answer:?}");
            at.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[many * 99 / 100]
}

/// A head, two kinds of bodies, silence, and a few readers: a system takes megabytes in the place of each.
fn kind(n: usize) -> usize {
    match n % 5 {
        kind if !exact() => kind % 3,
        4 if n >= READERS * 5 => 3,
        kind => kind,
    }
}

/// What a slow connection sends at first, and each second after.
fn slow(zone: &Zone, n: usize) -> (TcpStream, &'static [u8]) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    // Little that the system takes in a reader's place.
    socket.set_recv_buffer_size(4096).expect("a buffer");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], zone.port)).into()).expect("a connection");
    let mut stream = TcpStream::from(socket);
    let host = format!("host: 127.0.0.1:{}\r\n", zone.port);
    let turn = "POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer k1\r\n";
    let stalled =
        json!({"model": "dragoman", "stream": true, "messages": [{"role": "user", "content": "long"}]});
    let stalled = stalled.to_string();
    let (first, each): (String, &[u8]) = match kind(n) {
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
    let zone = Zone::start(&[&provider], |config| {
        config["lease_ms"] = json!(30_000);
        for phase in ["connect", "first_byte", "idle", "total"] {
            config["providers"]["p0"]["deadlines_ms"][phase] = json!(120_000);
        }
    });
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
    let (readers, heads): (Vec<_>, Vec<_>) = (0..count()).partition(|n| kind(*n) == 4);
    let mut heads: Vec<_> = heads.into_iter().map(|n| slow(&zone, n)).collect();
    let all = heads.len() as f64;
    eventually("all are connected", || zone.metric("dragoman_connections_total ") >= all);
    let during = p99(&zone);
    // Filling what a system holds for a reader is work, which is not asked about here.
    let read_from = Instant::now();
    let readers: Vec<_> = readers.into_iter().map(|n| slow(&zone, n)).collect();
    let limit = within(30_000);
    let mut latest;
    loop {
        heads.retain(|(stream, _)| !closed(stream));
        latest = begun.elapsed();
        if heads.is_empty() {
            break;
        }
        assert!(latest < limit, "{} are still open", heads.len());
        for (stream, each) in &mut heads {
            drop(stream.write(each));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    // A reader has its time from where it is stuck, and is closed with what it has not read: seen at the relay.
    let held = |zone: &Zone| zone.metric("dragoman_open_turns ");
    while exact() && held(&zone) > 0.0 {
        assert!(read_from.elapsed() < limit, "{} turns are still open", held(&zone));
        std::thread::sleep(Duration::from_millis(500));
        latest = latest.max(read_from.elapsed());
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
        assert!(during.as_secs_f64() < before.as_secs_f64() * 1.1, "{before:?} {during:?}");
    }
    assert_eq!(zone.client().get("/readyz").status, 200);
}
