//! One request in another's body: the same bytes at the relay alone, behind nginx and behind haproxy. No hidden
//! request is seen that the caller does not get an answer to, and nobody else gets that answer.
mod support;

use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::client::Client;
use support::front::{self, Front};
use support::relay::{self, Zone};
use support::tls;
use support::wait::SLOW;

/// Cases that are sent at the same time.
const AT_ONCE: usize = 8;
/// How long nothing has to come before an answer counts as whole.
const QUIET: Duration = Duration::from_millis(250);

#[test]
fn relay_process() {
    relay::process();
}

/// A case: its name, and its bytes. `HOST`, `OUTER`, `INNER` (a whole GET), `LEN` (its bytes) and `LEN5` stand in it.
type Case = (&'static str, String);

fn heads() -> Vec<Case> {
    let lengths = [
        ("both lengths", "content-length: LEN5\r\ntransfer-encoding: chunked\r\n"),
        ("both, the other way", "transfer-encoding: chunked\r\ncontent-length: LEN5\r\n"),
        ("two equal lengths", "content-length: 0\r\ncontent-length: 0\r\n"),
        ("two lengths", "content-length: 0\r\ncontent-length: LEN5\r\n"),
        ("two lengths, the longer first", "content-length: LEN5\r\ncontent-length: 0\r\n"),
        ("a list of lengths", "content-length: 0, LEN5\r\n"),
        ("a list of equal lengths", "content-length: 0, 0\r\n"),
        ("a signed length", "content-length: +0\r\n"),
        ("a negative length", "content-length: -1\r\n"),
        ("a length in hexadecimal", "content-length: 0x0\r\n"),
        ("a length with a space", "content-length: 0 0\r\n"),
        ("a length beyond 64 bits", "content-length: 18446744073709551616\r\n"),
        ("an empty length", "content-length:\r\n"),
        ("a length with an underscore", "content_length: LEN5\r\n"),
        ("a space before the colon", "content-length : LEN5\r\n"),
        ("a coding with a space before the colon", "transfer-encoding : chunked\r\ncontent-length: LEN5\r\n"),
        ("a coding nobody knows", "transfer-encoding: xchunked\r\ncontent-length: LEN5\r\n"),
        ("chunked and identity", "transfer-encoding: chunked, identity\r\n"),
        ("identity and chunked", "transfer-encoding: identity, chunked\r\ncontent-length: LEN5\r\n"),
        ("chunked twice", "transfer-encoding: chunked, chunked\r\ncontent-length: LEN5\r\n"),
        ("chunked in two fields", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        (
            "two codings in two fields",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\ncontent-length: LEN5\r\n",
        ),
        ("gzip and chunked", "transfer-encoding: gzip, chunked\r\n"),
        ("a quoted coding", "transfer-encoding: \"chunked\"\r\ncontent-length: LEN5\r\n"),
        ("a vertical tab before the coding", "transfer-encoding:\u{b}chunked\r\ncontent-length: LEN5\r\n"),
        ("a zero after the coding", "transfer-encoding: chunked\0\r\ncontent-length: LEN5\r\n"),
        ("a folded coding", "transfer-encoding:\r\n chunked\r\ncontent-length: LEN5\r\n"),
        ("a folded length", "x: y\r\n content-length: LEN5\r\ncontent-length: 0\r\n"),
        ("a coding after a bare LF", "x: y\ntransfer-encoding: chunked\r\ncontent-length: LEN5\r\n"),
        ("a coding after a bare CR", "x: y\rtransfer-encoding: chunked\r\ncontent-length: LEN5\r\n"),
        ("a length that the connection hides", "connection: content-length\r\ncontent-length: LEN5\r\n"),
        (
            "a coding that the connection hides",
            "connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n",
        ),
        (
            "h2c beside a length",
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAA\r\ncontent-length: LEN5\r\n",
        ),
        ("a second Host", "host: evil.example\r\ncontent-length: LEN5\r\n"),
        ("a field with no name", ": x\r\ncontent-length: LEN5\r\n"),
        ("a line that is no field", "rubbish\r\ncontent-length: LEN5\r\n"),
        ("an expectation", "expect: 100-continue\r\ncontent-length: LEN5\r\n"),
    ];
    lengths
        .into_iter()
        .map(|(what, fields)| {
            (what, format!("POST OUTER HTTP/1.1\r\nhost: HOST\r\n{fields}\r\n0\r\n\r\nINNER"))
        })
        .collect()
}

fn chunks() -> Vec<Case> {
    let bodies = [
        ("an extension", "0;x=1\r\n\r\nINNER"),
        ("an extension with a line's end", "0;x=\"\r\n\r\n\"\r\n\r\nINNER"),
        ("a size that ends with LF", "0\n\r\nINNER"),
        ("a last line that ends with LF", "0\r\n\nINNER"),
        ("LF alone", "0\n\nINNER"),
        ("a space after the size", "0 \r\n\r\nINNER"),
        ("a sign before the size", "+0\r\n\r\nINNER"),
        ("0x before the size", "0x0\r\n\r\nINNER"),
        ("an empty size", "\r\n\r\nINNER"),
        ("a size beyond 64 bits", "10000000000000000\r\n\r\nINNER"),
        ("many zeros", "00000000000000000000000\r\n\r\nINNER"),
        ("data longer than its size", "2\r\nabc\r\n0\r\n\r\nINNER"),
        ("data shorter than its size", "5\r\nab\r\n0\r\n\r\nINNER"),
        ("any two bytes for the end of a chunk", "2\r\nabXX0\r\n\r\nINNER"),
        ("no end of a chunk", "2\r\nab0\r\n\r\nINNER"),
        ("a bare CR for the end of a chunk", "2\r\nab\r0\r\n\r\nINNER"),
        ("a length in the trailers", "0\r\ncontent-length: LEN\r\n\r\nINNER"),
        ("a coding in the trailers", "0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nINNER"),
        ("a trailer that is no field", "0\r\nrubbish\r\n\r\nINNER"),
        ("a folded trailer", "0\r\nx: y\r\n z\r\n\r\nINNER"),
        ("a chunk that holds the rest", "LENHEX\r\nINNER\r\n0\r\n\r\n"),
    ];
    bodies
        .into_iter()
        .map(|(what, body)| {
            (what, format!("POST OUTER HTTP/1.1\r\nhost: HOST\r\ntransfer-encoding: chunked\r\n\r\n{body}"))
        })
        .collect()
}

fn lines() -> Vec<Case> {
    let own = [
        ("no version", "GET OUTER\r\n\r\nINNER"),
        ("two versions", "GET OUTER HTTP/1.1 HTTP/1.1\r\nhost: HOST\r\n\r\nINNER"),
        (
            "version 1.0 with chunks",
            "POST OUTER HTTP/1.0\r\nhost: HOST\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nINNER",
        ),
        ("version 1.2", "POST OUTER HTTP/1.2\r\nhost: HOST\r\ncontent-length: LEN\r\n\r\nINNER"),
        (
            "another host in the target",
            "POST http://evil.example/OUTER HTTP/1.1\r\nhost: HOST\r\ncontent-length: LEN\r\n\r\nINNER",
        ),
        ("no host", "POST OUTER HTTP/1.1\r\ncontent-length: LEN\r\n\r\nINNER"),
        (
            "a space before the first field",
            "POST OUTER HTTP/1.1\r\n host: HOST\r\ncontent-length: LEN\r\n\r\nINNER",
        ),
        ("LF for every line's end", "POST OUTER HTTP/1.1\nhost: HOST\ncontent-length: LEN\n\nINNER"),
        (
            "a tab in the request line",
            "POST\tOUTER\tHTTP/1.1\r\nhost: HOST\r\ncontent-length: LEN\r\n\r\nINNER",
        ),
        (
            "an empty line first",
            "\r\n\r\nPOST OUTER HTTP/1.1\r\nhost: HOST\r\ncontent-length: LEN\r\n\r\nINNER",
        ),
        ("a body of a GET", "GET OUTER HTTP/1.1\r\nhost: HOST\r\ncontent-length: LEN\r\n\r\nINNER"),
    ];
    own.into_iter().map(|(what, text)| (what, text.to_owned())).collect()
}

fn cases() -> Vec<Case> {
    [heads(), chunks(), lines()].concat()
}

/// In these the hidden bytes are a request of their own, by the letter of HTTP/1.1: not hidden at all.
const PLAIN: [&str; 5] = [
    "no version",
    "a coding that the connection hides",
    "a length in the trailers",
    "a coding in the trailers",
    "many zeros",
];

fn filled(text: &str, host: &str, n: usize) -> Vec<u8> {
    let inner = format!("GET /hidden-{n} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let length = inner.len();
    text.replace("OUTER", &format!("/outer-{n}"))
        .replace("HOST", host)
        .replace("LENHEX", &format!("{length:x}"))
        .replace("LEN5", &(length + 5).to_string())
        .replace("LEN", &length.to_string())
        .replace("INNER", &inner)
        .into_bytes()
}

/// How many requests of a case the pages saw, hidden ones apart.
fn seen(zone: &Zone, n: usize, name: &str) -> usize {
    let path = format!("/{name}-{n}");
    zone.control.0.seen.lock().unwrap().iter().filter(|s| s.path == path).count()
}

/// Final answers among what came: a 100 is none, and one of HTTP/0.9 is the page alone.
fn answers(text: &str) -> usize {
    if text.starts_with('{') {
        return 1;
    }
    let lines =
        text.match_indices("HTTP/1.").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse::<u16>().ok());
    lines.filter(|status| *status >= 200).count()
}

/// Sends a case.
fn sent(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(QUIET)).expect("a timeout");
    drop(stream.write_all(bytes));
    stream
}

/// Reads until nothing comes any more and as much as was seen is answered; how much was seen then.
fn read_on(zone: &Zone, stream: &mut TcpStream, text: &mut String, n: usize) -> (usize, usize) {
    let until = Instant::now() + SLOW;
    let mut piece = [0; 8192];
    loop {
        let ended = match stream.read(&mut piece) {
            Ok(0) => true,
            Ok(got) => {
                text.push_str(&String::from_utf8_lossy(&piece[..got]));
                continue;
            }
            Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
        };
        let now = (seen(zone, n, "outer"), seen(zone, n, "hidden"));
        if ended || answers(text) >= now.0 + now.1 || Instant::now() > until {
            return now;
        }
    }
}

/// Somebody else's request by the same way gets its own answer.
fn victim(port: u16, n: usize) -> Result<(), String> {
    let mut client = Client::open(port);
    let path = format!("/victim-{n}");
    client.send("GET", &path, "connection: close\r\n", "");
    let answer = client.read().map_err(|e| format!("no answer: {e}"))?;
    let got: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if got["path"] == path { Ok(()) } else { Err(format!("got {} {}", answer.status, answer.body)) }
}

/// Sends all cases by one way; what was wrong, and how many hidden requests were seen.
fn corpus(zone: &Zone, port: u16) -> (Vec<String>, Vec<&'static str>) {
    let cases = cases();
    let (next, wrong, hidden) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let host = format!("127.0.0.1:{}", zone.port);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    let Some((what, text)) = cases.get(n) else { return };
                    let (mut stream, mut got) = (sent(port, &filled(text, &host, n)), String::new());
                    read_on(zone, &mut stream, &mut got, n);
                    let other = victim(port, n);
                    // What was seen late is answered late.
                    let (outer, inner) = read_on(zone, &mut stream, &mut got, n);
                    let mut faults = String::new();
                    if outer > 1 || outer + inner > answers(&got) {
                        let _ = write!(faults, " {outer} + {inner} seen, answered: {got:?}");
                    }
                    if let Err(why) = other {
                        let _ = write!(faults, " another caller {why}");
                    }
                    if inner > 0 {
                        hidden.lock().unwrap().push(*what);
                    }
                    if !faults.is_empty() {
                        wrong.lock().unwrap().push(format!("{what}:{faults}"));
                    }
                }
            });
        }
    });
    (wrong.into_inner().unwrap(), hidden.into_inner().unwrap())
}

fn zone() -> Zone {
    Zone::start(&[], |config| {
        tls::public(config, None);
        config["edge"]["trusted_proxies"] = serde_json::json!(["127.0.0.1/32"]);
    })
}

fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

#[test]
fn the_relay_alone_sees_no_hidden_request() {
    let zone = zone();
    assert!(cases().len() >= 60, "{}", cases().len());
    let (wrong, hidden) = corpus(&zone, zone.port);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let odd: Vec<_> = hidden.iter().filter(|what| !PLAIN.contains(what)).collect();
    assert!(odd.is_empty(), "hidden requests were seen: {odd:?}");
}

#[test]
fn behind_nginx_nobody_gets_anothers_answer() {
    let Some(program) = front::program("nginx") else { return };
    let zone = zone();
    behind(&zone, &front::nginx(&program, port(), zone.port));
}

#[test]
fn behind_haproxy_nobody_gets_anothers_answer() {
    let Some(program) = front::program("haproxy") else { return };
    let zone = zone();
    behind(&zone, &front::haproxy(&program, port(), zone.port));
}

fn behind(zone: &Zone, front: &Front) {
    victim(front.port, 0).expect("the negative control: a plain request goes through");
    let (wrong, _) = corpus(zone, front.port);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The negative control of the corpus: a reader that takes what it can sees hidden requests in many cases.
#[test]
fn a_lenient_reader_is_caught_by_the_corpus() {
    let fooled: Vec<&str> = cases()
        .iter()
        .filter(|(what, text)| {
            !PLAIN.contains(what)
                && lenient(&filled(text, "127.0.0.1:1", 1)).contains(&"/hidden-1".to_owned())
        })
        .map(|(what, _)| *what)
        .collect();
    assert!(fooled.len() >= 15, "{fooled:?}");
}

/// The targets of the requests that a careless reader sees: LF ends lines, the first length counts, sizes are
/// read as far as they are digits.
fn lenient(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let (mut rest, mut targets) = (text.as_str(), Vec::new());
    while let Some((head, body)) = rest.trim_start().split_once("\n\n") {
        targets.push(head.split_whitespace().nth(1).unwrap_or("").to_owned());
        let field = |name: &str| {
            let lines = head.lines().filter_map(|l| l.split_once(':'));
            lines.filter(|(n, _)| n.trim() == name).map(|(_, v)| v.trim().to_owned()).next()
        };
        rest = if field("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
            body.split_once("0\n\n").map_or("", |(_, after)| after)
        } else {
            let length = field("content-length").unwrap_or_default();
            let digits: String =
                length.trim_start_matches('+').chars().take_while(char::is_ascii_digit).collect();
            body.get(digits.parse().unwrap_or(0)..).unwrap_or("")
        };
    }
    targets
}
