//! One HTTP/1.1 connection of the load generator: as little work per answer as possible, but every
//! byte is framed and every answer is read to its end.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::tls::{self, Stream};

/// Bytes asked of the kernel at once.
const READ_BYTES: usize = 64 * 1024;
/// A head longer than this is an error.
const MAX_HEAD: usize = 64 * 1024;

/// An open connection with its reusable buffers.
pub struct Connection {
    stream: Stream,
    raw: Vec<u8>,
    /// The decoded body of the last answer.
    pub body: Vec<u8>,
}

/// What was seen of one answer.
pub struct Seen {
    pub status: u16,
    /// The instant each batch of body bytes arrived.
    pub first_byte: Instant,
    pub first_token: Option<Instant>,
    pub done: Instant,
    pub keep: bool,
    /// The connection ended before the answer did.
    pub cut: bool,
    /// The head named a time after which to ask again.
    pub retry_after: bool,
    pub wire_bytes: usize,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

struct Head {
    status: u16,
    framing: Framing,
    keep: bool,
    retry_after: bool,
    length: usize,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn parse_head(bytes: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(bytes).map_err(|_| bad("head is not text"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok());
    let mut head = Head {
        status: status.ok_or_else(|| bad("no status"))?,
        framing: Framing::Close,
        keep: true,
        retry_after: false,
        length: bytes.len(),
    };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.framing = Framing::Length(value.parse().map_err(|_| bad("content-length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            head.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            head.keep = false;
        } else if name.eq_ignore_ascii_case("retry-after") {
            head.retry_after = value.parse::<u32>().is_ok();
        }
    }
    Ok(head)
}

/// Decodes what is complete of a chunked body from `raw[*at..]` into `body`; true at the last chunk.
fn chunked(raw: &[u8], at: &mut usize, body: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let rest = &raw[*at..];
        let Some(line) = memmem::find(rest, b"\r\n") else {
            return Ok(false);
        };
        let digits = rest[..line].split(|b| *b == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits)
            .ok()
            .and_then(|d| usize::from_str_radix(d.trim(), 16).ok())
            .ok_or_else(|| bad("chunk size"))?;
        let end = line + 2 + size;
        if rest.len() < end + 2 {
            return Ok(false);
        }
        body.extend_from_slice(&rest[line + 2..end]);
        *at += end + 2;
        if size == 0 {
            return Ok(true);
        }
    }
}

/// True when the bytes hold the first text of an answer: a non-empty string in a text field.
fn has_token(body: &[u8]) -> bool {
    [&b"\"content\":"[..], b"\"reasoning_content\":", b"\"arguments\":", b"\"text\":"].iter().any(|key| {
        memmem::find_iter(body, key).any(|at| {
            let value = body[at + key.len()..].trim_ascii_start();
            value.first() == Some(&b'"') && value.get(1).is_some_and(|b| *b != b'"')
        })
    })
}

impl Connection {
    /// # Errors
    /// As the operating system reports them.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = tls::connected(stream).await?;
        Ok(Self { stream, raw: Vec::new(), body: Vec::new() })
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.raw.reserve(READ_BYTES.min(self.raw.capacity().max(4096)));
        self.stream.read_buf(&mut self.raw).await
    }

    /// Sends one request and reads its answer; `gap` hears the time between arrivals of body bytes.
    ///
    /// # Errors
    /// A broken connection or framing; the connection must then be dropped.
    pub async fn exchange(&mut self, request: &[u8], mut gap: impl FnMut(Duration)) -> io::Result<Seen> {
        self.raw.clear();
        self.body.clear();
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let head = self.head().await?;
        let mut at = head.length;
        let mut seen = Seen {
            status: head.status,
            first_byte: Instant::now(),
            first_token: None,
            done: Instant::now(),
            keep: head.keep,
            cut: false,
            retry_after: head.retry_after,
            wire_bytes: 0,
        };
        let mut arrived: Option<Instant> = None;
        let mut looked = 0;
        loop {
            let had = self.body.len();
            let done = self.decode(head.framing, &mut at)?;
            if self.body.len() > had {
                let now = Instant::now();
                match arrived.replace(now) {
                    None => seen.first_byte = now,
                    Some(last) => gap(now - last),
                }
                if seen.first_token.is_none() {
                    if has_token(&self.body[looked..]) {
                        seen.first_token = Some(now);
                    }
                    // A frame may end in the next read: look again from the last frame's start.
                    looked = memmem::rfind(&self.body, b"\n\n").map_or(0, |i| i + 2);
                }
            }
            if done {
                break;
            }
            if self.more().await? == 0 {
                seen.keep = false;
                seen.cut = !matches!(head.framing, Framing::Close);
                break;
            }
        }
        seen.done = Instant::now();
        seen.wire_bytes = self.raw.len();
        Ok(seen)
    }

    async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(end) = memmem::find(&self.raw, b"\r\n\r\n") {
                return parse_head(&self.raw[..end + 4]);
            }
            if self.raw.len() > MAX_HEAD {
                return Err(bad("head too long"));
            }
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn decode(&mut self, framing: Framing, at: &mut usize) -> io::Result<bool> {
        if let Framing::Chunked = framing {
            return chunked(&self.raw, at, &mut self.body);
        }
        self.body.extend_from_slice(&self.raw[*at..]);
        *at = self.raw.len();
        match framing {
            Framing::Length(n) if self.body.len() > n => Err(bad("more than content-length")),
            Framing::Length(n) => Ok(self.body.len() == n),
            _ => Ok(false),
        }
    }
}
