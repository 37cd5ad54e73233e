//! A client that writes frames of HTTP/2 as a test gives them, right or wrong, and reads what comes back.
use super::tls::{self, Tls};
use super::wait::SLOW;
use rustls::pki_types::CertificateDer;
use std::io::{self, Read, Write};
use std::time::Duration;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it was read.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// A whole answer.
    Answer(u16, String),
    Reset(u32),
    GoAway(u32),
    Closed,
    /// Nothing came for as long as a test waits.
    Silent,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block: every field as a literal that no table keeps.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            number(text.len(), &mut out);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

fn number(mut n: usize, out: &mut Vec<u8>) {
    if n < 127 {
        return out.push(u8::try_from(n).expect("small"));
    }
    out.push(127);
    n -= 127;
    while n >= 128 {
        out.push(u8::try_from(n % 128 + 128).expect("a byte"));
        n /= 128;
    }
    out.push(u8::try_from(n).expect("small"));
}

/// An open connection, its preface and settings sent.
pub struct H2 {
    pub tls: Tls,
    pub host: String,
}

impl H2 {
    pub fn open(port: u16, trusted: &CertificateDer<'static>) -> Self {
        let mut h2 = Self::silent(port, trusted);
        // No table, so that a status is always spelt out.
        h2.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])].concat());
        h2
    }

    /// Without a preface.
    pub fn silent(port: u16, trusted: &CertificateDer<'static>) -> Self {
        let tls = tls::connect(port, trusted, &[b"h2"]).expect("a handshake");
        assert_eq!(tls.conn.alpn_protocol(), Some(&b"h2"[..]));
        Self { tls, host: format!("127.0.0.1:{port}") }
    }

    /// Sends bytes; a peer that is gone is seen when its answer is read.
    pub fn send(&mut self, bytes: &[u8]) {
        drop(self.tls.write_all(bytes).and_then(|()| self.tls.flush()));
    }

    /// The fields of a plain request.
    pub fn fields<'a>(&'a self, method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![(":method", method), (":scheme", "https"), (":authority", &self.host), (":path", path)]
    }

    /// A whole GET on a stream.
    pub fn get(&mut self, stream: u32, path: &str) {
        let block = block(&self.fields("GET", path));
        self.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
    }

    /// A turn with a key on a stream.
    pub fn chat(&mut self, stream: u32, body: &serde_json::Value) {
        let mut fields = self.fields("POST", "/v1/chat/completions");
        fields.extend([("authorization", "Bearer k1"), ("content-type", "application/json")]);
        let head = frame(HEADERS, END_HEADERS, stream, &block(&fields));
        let body = frame(DATA, END_STREAM, stream, body.to_string().as_bytes());
        self.send(&[head, body].concat());
    }

    pub fn read_frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.tls.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        self.tls.read_exact(&mut payload)?;
        if head[3] == PING && head[4] == 0 {
            self.send(&frame(PING, 1, 0, &payload));
        }
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The end of a stream, with everything of other streams passed over.
    pub fn end(&mut self, stream: u32) -> End {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let frame = match self.read_frame() {
                Ok(frame) => frame,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return End::Silent,
                Err(_) => return End::Closed,
            };
            match frame.kind {
                GOAWAY => {
                    let code = word(&frame.payload[4..]);
                    // A farewell without a fault lets open streams end.
                    if code != 0 {
                        return End::GoAway(code);
                    }
                }
                RST_STREAM if frame.stream == stream => return End::Reset(word(&frame.payload)),
                HEADERS if frame.stream == stream => status = status_of(&frame.payload),
                DATA if frame.stream == stream => body.extend_from_slice(&frame.payload),
                _ => {}
            }
            if frame.stream == stream && matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0
            {
                return End::Answer(status, String::from_utf8_lossy(&body).into_owned());
            }
        }
    }

    /// Waits at most so long for what is read.
    pub fn patience(&self, wait: Option<Duration>) {
        self.tls.sock.set_read_timeout(Some(wait.unwrap_or(SLOW))).expect("a timeout");
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_be_bytes(*b))
}

const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];

/// The status of a header block whose encoder keeps no table: indexed, or `:status` with a literal.
fn status_of(block: &[u8]) -> u16 {
    let mut at = 0;
    while block.get(at).is_some_and(|b| b & 0xe0 == 0x20) {
        at += 1;
    }
    match block.get(at) {
        Some(b @ 0x88..=0x8e) => INDEXED[usize::from(b - 0x88)],
        Some(0x08 | 0x18 | 0x48) => literal(&block[at + 1..]),
        other => panic!("no status: {other:?} in {block:?}"),
    }
}

fn literal(value: &[u8]) -> u16 {
    let length = usize::from(value[0] & 0x7f);
    let bytes = &value[1..=length];
    if value[0] & 0x80 == 0 {
        return String::from_utf8_lossy(bytes).parse().expect("digits");
    }
    // Huffman: 0, 1, 2 have five bits, the other digits six.
    let bits: Vec<u8> = bytes.iter().flat_map(|b| (0..8).rev().map(move |n| b >> n & 1)).collect();
    let take = |from: usize, n: usize| bits[from..from + n].iter().fold(0_u16, |v, b| v << 1 | u16::from(*b));
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let short = take(at, 5);
        let (digit, used) = if short < 3 { (short, 5) } else { (take(at, 6) - 0b01_1001 + 3, 6) };
        (at, number) = (at + used, number * 10 + digit);
    }
    number
}
