//! Wrong frames, floods and bombs of HTTP/2: each ends its stream or its connection, none reaches a provider,
//! the relay stays small and goes on answering. `DRAGOMAN_FRAMES` sets how many frames a flood has.
mod support;

use serde_json::json;
use std::time::Instant;
use support::h2::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, End, H2, HEADERS, PADDED, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use support::provider::Provider;
use support::relay::{self, Zone};
use support::tls::{self, Pair};
use support::wait::within;

/// RSS that a relay may gain over all floods, KiB.
const GROWTH_KIB: u64 = 24 * 1024;

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

fn flood() -> usize {
    std::env::var("DRAGOMAN_FRAMES").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000)
}

fn rss_kib(zone: &Zone) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", zone.pid())).expect("a process");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB")
}

/// What a case may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Status(u16),
    Reset,
    /// GOAWAY with a fault, or the connection's end.
    Gone,
    /// Which is never right.
    Nothing,
    /// A reset or an end, as the server sees fit.
    ResetOrGone,
}

use Is::{Gone, Reset, ResetOrGone, Status};

fn comes_to(end: &End) -> Is {
    match end {
        End::Answer(status, _) => Status(*status),
        End::Reset(_) => Reset,
        End::GoAway(_) | End::Closed => Gone,
        End::Silent => Is::Nothing,
    }
}

fn agrees(end: &End, is: Is) -> bool {
    let got = comes_to(end);
    got == is || (is == ResetOrGone && matches!(got, Reset | Gone))
}

type Case = (&'static str, Vec<u8>, Is);

/// Bytes after preface and settings; what becomes of stream 1. `good` is a whole GET's header block.
fn frame_cases(good: &[u8]) -> Vec<Case> {
    let head = |flags: u8, stream: u32| h2::frame(HEADERS, flags, stream, good);
    let whole = || head(END_HEADERS | END_STREAM, 1);
    let then = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    let frame = h2::frame;
    let mut long = frame(DATA, 0, 1, b"");
    long[..3].copy_from_slice(&[0xff, 0xff, 0xff]);
    let mut long_settings = frame(SETTINGS, 0, 0, b"");
    long_settings[..3].copy_from_slice(&[0x00, 0x40, 0x06]);
    vec![
        ("the negative control", whole(), Status(200)),
        ("an unknown frame", then(frame(0x42, 0xff, 1, b"what"), whole()), Status(200)),
        ("a frame of PRIORITY", then(frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), whole()), Status(200)),
        (
            "a head in pieces",
            then(head_of(&good[..5], END_STREAM), tail(&good[5..], END_HEADERS)),
            Status(200),
        ),
        ("a padded head", padded(good, 5), Status(200)),
        (
            "padding longer than the frame",
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[200, 0, 0]),
            Gone,
        ),
        ("a stream of the server", head(END_HEADERS | END_STREAM, 2), Gone),
        ("a head on stream 0", head(END_HEADERS | END_STREAM, 0), Gone),
        ("a stream below the last", then(head(END_HEADERS | END_STREAM, 5), whole()), Gone),
        ("data before a head", frame(DATA, END_STREAM, 1, b"x"), Gone),
        ("data on stream 0", frame(DATA, 0, 0, b"x"), Gone),
        ("a frame longer than allowed", long, Gone),
        ("settings longer than allowed", long_settings, Gone),
        ("settings on a stream", frame(SETTINGS, 0, 1, b""), Gone),
        ("settings of half a setting", frame(SETTINGS, 0, 0, &[0, 1, 0]), Gone),
        ("a confirmation with content", frame(SETTINGS, 1, 0, &[0; 6]), Gone),
        ("push that is neither on nor off", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), Gone),
        ("a window beyond all bounds", frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]), Gone),
        ("frames smaller than allowed", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]), Gone),
        ("a ping on a stream", frame(PING, 0, 1, &[0; 8]), Gone),
        ("a ping of seven bytes", frame(PING, 0, 0, &[0; 7]), Gone),
        ("a reset of stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), Gone),
        ("a reset before a head", frame(RST_STREAM, 0, 1, &[0; 4]), Gone),
        ("a reset of three bytes", then(whole(), frame(RST_STREAM, 0, 1, &[0; 3])), Gone),
        ("a window that grows by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), Gone),
        (
            "a stream's window that grows by nothing",
            then(head(END_HEADERS, 1), frame(WINDOW_UPDATE, 0, 1, &[0; 4])),
            ResetOrGone,
        ),
        ("a window beyond 2^31", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), Gone),
        ("a window before a head", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), Gone),
        ("a window of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), Gone),
        ("a promise of the client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), Gone),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, good), Gone),
        ("a continuation after a whole head", then(whole(), tail(good, END_HEADERS)), Gone),
        (
            "a continuation of another stream",
            then(head_of(good, END_STREAM), frame(CONTINUATION, END_HEADERS, 3, b"")),
            Gone,
        ),
        ("a ping within a head", then(head_of(good, END_STREAM), frame(PING, 0, 0, &[0; 8])), Gone),
        ("data within a head", then(head_of(good, END_STREAM), frame(DATA, 0, 1, b"x")), Gone),
        (
            "a priority that depends on itself",
            then(frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 1]), whole()),
            ResetOrGone,
        ),
        ("a priority of four bytes", frame(PRIORITY, 0, 1, &[0; 4]), ResetOrGone),
        ("HTTP/1.1 after the preface", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), Gone),
        ("a second preface", PREFACE.to_vec(), Gone),
    ]
}

fn head_of(block: &[u8], flags: u8) -> Vec<u8> {
    h2::frame(HEADERS, flags, 1, block)
}

fn tail(block: &[u8], flags: u8) -> Vec<u8> {
    h2::frame(CONTINUATION, flags, 1, block)
}

fn padded(block: &[u8], by: u8) -> Vec<u8> {
    let payload = [&[by], block, &vec![0; usize::from(by)]].concat();
    h2::frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &payload)
}

/// Header blocks that no table can read.
fn table_cases() -> Vec<Case> {
    let raw = |block: Vec<u8>| h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    vec![
        ("an index of no table", raw(vec![0xff, 0xff, 0x01]), Gone),
        ("an index of 0", raw(vec![0x80]), Gone),
        (
            "a number without end",
            raw(vec![0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Gone,
        ),
        ("a length beyond the block", raw(vec![0x00, 0x7f, 0x00, b'a']), Gone),
        ("a table beyond what was agreed", raw(vec![0x3f, 0xe1, 0xff, 0xff, 0x07]), Gone),
        ("an empty block", raw(Vec::new()), ResetOrGone),
    ]
}

/// Fields that a head cannot hold, and bodies that are not as long as said.
fn block_cases(host: &str) -> Vec<Case> {
    let fields = |more: &[(&str, &str)]| {
        let mut all =
            vec![(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", "/healthz")];
        all.extend(more);
        h2::block(&all)
    };
    let raw = |block: Vec<u8>| h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    let of = |all: &[(&str, &str)]| raw(h2::block(all));
    let posted = |length: &str, body: &[u8]| {
        let post = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", host),
            (":path", "/v1/completions"),
            ("authorization", "Bearer k1"),
            ("content-length", length),
        ];
        [h2::frame(HEADERS, END_HEADERS, 1, &h2::block(&post)), h2::frame(DATA, END_STREAM, 1, body)].concat()
    };
    let twice = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", host),
        (":path", "/v1/completions"),
        ("authorization", "Bearer k1"),
        ("content-length", "2"),
        ("content-length", "2"),
    ];
    vec![
        ("a large name", raw(fields(&[("X-Large", "1")])), ResetOrGone),
        ("a space in a name", raw(fields(&[("x y", "1")])), ResetOrGone),
        ("an empty name", raw(fields(&[("", "1")])), ResetOrGone),
        ("a line's end in a value", raw(fields(&[("x", "1\r\nhost: evil")])), ResetOrGone),
        ("a zero in a value", raw(fields(&[("x", "1\0")])), ResetOrGone),
        ("a pseudo-field after a field", raw(fields(&[("x", "1"), (":path", "/other")])), Reset),
        ("a second path", raw(fields(&[(":path", "/other")])), Reset),
        ("an unknown pseudo-field", raw(fields(&[(":evil", "1")])), ResetOrGone),
        ("a status in a request", raw(fields(&[(":status", "200")])), Reset),
        ("no path", of(&[(":method", "GET"), (":scheme", "https"), (":authority", host)]), Reset),
        (
            "an empty path",
            of(&[(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", "")]),
            Reset,
        ),
        ("no method", of(&[(":scheme", "https"), (":authority", host), (":path", "/")]), Reset),
        ("no scheme", of(&[(":method", "GET"), (":authority", host), (":path", "/healthz")]), Reset),
        ("CONNECT", of(&[(":method", "CONNECT"), (":authority", host)]), Status(400)),
        (
            "a whole address as a path",
            of(&[
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", host),
                (":path", "https://evil/healthz"),
            ]),
            Reset,
        ),
        (
            "an asterisk",
            of(&[(":method", "OPTIONS"), (":scheme", "https"), (":authority", host), (":path", "*")]),
            Status(400),
        ),
        ("a long value", raw(fields(&[("x", &"a".repeat(12_000)), ("y", &"a".repeat(3_000))])), Status(200)),
        ("a shorter body than said", posted("9", b"{}"), ResetOrGone),
        ("a longer body than said", posted("1", b"{}"), ResetOrGone),
        ("a length that is no number", posted("+2", b"{}"), ResetOrGone),
        ("two lengths", [raw_of(&twice), h2::frame(DATA, END_STREAM, 1, b"{}")].concat(), Status(400)),
    ]
}

fn raw_of(fields: &[(&str, &str)]) -> Vec<u8> {
    h2::frame(HEADERS, END_HEADERS, 1, &h2::block(fields))
}

#[test]
fn every_wrong_frame_ends_its_stream_or_its_connection() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    let host = format!("127.0.0.1:{}", zone.port);
    let good =
        h2::block(&[(":method", "GET"), (":scheme", "https"), (":authority", &host), (":path", "/healthz")]);
    let cases = [frame_cases(&good), table_cases(), block_cases(&host)].concat();
    assert!(cases.len() >= 60, "{}", cases.len());
    let mut wrong = Vec::new();
    for (what, bytes, is) in cases {
        let mut client = H2::open(zone.port, &pair.der);
        client.send(&bytes);
        let end = client.end(1);
        if !agrees(&end, is) {
            wrong.push(format!("{what}: {end:?}, not {is:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(provider.calls(), 0, "nothing of this is asked of a provider");
    assert!(!zone.log().contains("panicked"), "{}", zone.log());
}

/// A flood on a connection of its own: how it ends, and after how many frames of `each` it was told.
fn flooded(zone: &Zone, pair: &Pair, first: &[u8], each: impl Fn(u32) -> Vec<u8>) -> End {
    let mut client = H2::open(zone.port, &pair.der);
    client.send(first);
    for n in 0..u32::try_from(flood()).expect("a count").div_ceil(50) {
        let bytes: Vec<u8> = (n * 50..(n + 1) * 50).flat_map(&each).collect();
        client.send(&bytes);
    }
    client.end(0x7fff_fffd)
}

#[test]
fn floods_end_their_connection_and_leave_no_trace() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    let mut steady = H2::open(zone.port, &pair.der);
    let chat = json!({"model": "dragoman", "messages": [{"role": "user", "content": "hello"}]});
    steady.chat(1, &chat);
    let End::Answer(200, _) = steady.end(1) else { panic!("no answer") };
    let host = format!("127.0.0.1:{}", zone.port);
    let field = |path: &str| {
        h2::block(&[(":method", "GET"), (":scheme", "https"), (":authority", &host), (":path", path)])
    };
    let page = field("/page");
    let open = |n: u32| h2::frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &page);
    let reset = |n: u32| [open(n), h2::frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes())].concat();
    // Makes the server do the resetting: a window that grows by nothing.
    let made = |n: u32| {
        [h2::frame(HEADERS, END_HEADERS, 2 * n + 1, &page), h2::frame(WINDOW_UPDATE, 0, 2 * n + 1, &[0; 4])]
            .concat()
    };
    let begun = h2::frame(HEADERS, END_STREAM, 1, &page);
    let post = h2::frame(
        HEADERS,
        END_HEADERS,
        1,
        &h2::block(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &host),
            (":path", "/v1/completions"),
            ("authorization", "Bearer k1"),
        ]),
    );
    let settings = |_: u32| h2::frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]);
    let before = rss_kib(&zone);
    let at = Instant::now();
    let cases: Vec<(&str, End)> = vec![
        ("rapid reset", flooded(&zone, &pair, &[], reset)),
        ("resets that the server is made to send", flooded(&zone, &pair, &[], made)),
        (
            "continuation",
            flooded(&zone, &pair, &begun, |_| h2::frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y'])),
        ),
        ("empty continuation", flooded(&zone, &pair, &begun, |_| h2::frame(CONTINUATION, 0, 1, &[]))),
        ("settings", flooded(&zone, &pair, &[], settings)),
        ("ping", flooded(&zone, &pair, &[], |_| h2::frame(PING, 0, 0, &[0; 8]))),
        ("priority", flooded(&zone, &pair, &[], |_| h2::frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]))),
        ("unknown frames", flooded(&zone, &pair, &[], |_| h2::frame(0x42, 0, 0, &[]))),
        ("empty data", flooded(&zone, &pair, &post, |_| h2::frame(DATA, 0, 1, &[]))),
        ("heads that decode to much", flooded(&zone, &pair, &[], bomb)),
    ];
    for (what, end) in &cases {
        assert_eq!(comes_to(end), Gone, "{what}: {end:?}");
    }
    let grown = rss_kib(&zone).saturating_sub(before);
    println!("{{\"frames\": {}, \"ms\": {}, \"grown_kib\": {grown}}}", flood(), at.elapsed().as_millis());
    assert!(grown < GROWTH_KIB, "{before} KiB + {grown} KiB");
    steady.chat(3, &chat);
    let End::Answer(200, _) = steady.end(3) else { panic!("others are answered all the while") };
    assert!(!zone.log().contains("panicked"));
}

/// A value of 3 KiB that goes into the table once, and is then referred to a thousand times.
fn bomb(n: u32) -> Vec<u8> {
    let block = if n == 0 {
        let value = vec![b'a'; 3_000];
        let mut block = vec![0x40, 1, b'x', 0x7f];
        block.extend([0xb9, 0x16]); // 3,000 - 127 in groups of seven bits
        block.extend(value);
        block
    } else {
        vec![0x80 | 0x3e; 1_000]
    };
    h2::frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &block)
}

/// The negative control of the floods: what a busy client does within the limits goes through.
#[test]
fn a_busy_client_within_the_limits_is_served() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    let mut client = H2::open(zone.port, &pair.der);
    let begun = Instant::now();
    for n in 0..90_u32 {
        client.get(2 * n + 1, "/healthz");
        client.send(&h2::frame(PING, 1, 0, &[0; 8]));
        client.send(&h2::frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes()));
    }
    client.get(1_001, "/healthz");
    assert_eq!(client.end(1_001), End::Answer(200, "alive\n".into()));
    assert!(begun.elapsed() < within(5_000));
}
