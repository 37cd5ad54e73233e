//! One HTTP/1.1 connection to a registered provider: connect, write a request, read its answer's
//! head and body. Reading happens in the task of the turn, one system call per burst; dropping the
//! connection cancels the call. It follows no redirect and decodes no compression.
use crate::config::Target;
use crate::frame::{self, Bad, Length};
use crate::limits;
use http::StatusCode;
use rustls::pki_types::ServerName;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Why a call failed, before anything of it was delivered or after.
#[derive(Debug)]
pub enum CallError {
    Connect(io::Error),
    /// Reset, or closed before the answer was whole.
    Broken(&'static str),
    Timeout(&'static str),
    /// Something that is not HTTP/1.1, or not an answer that may be passed on.
    Garbage(&'static str),
    /// The provider's own error status.
    Status(u16),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(e) => write!(f, "connect: {}", e.kind()),
            Self::Broken(why) => write!(f, "broken: {why}"),
            Self::Timeout(what) => write!(f, "timeout: {what}"),
            Self::Garbage(what) => write!(f, "invalid: {what}"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

impl From<Bad> for CallError {
    fn from(bad: Bad) -> Self {
        Self::Garbage(bad.0)
    }
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// An open connection, between calls or in one.
pub struct Conn {
    stream: Stream,
    /// Answered at least one call: a reset before the first byte may only mean that it was closed idle.
    pub reused: bool,
    /// Boot milliseconds since which it idles in the pool.
    pub idle_since: u64,
}

impl Conn {
    /// Connects; a name is resolved by the system, every address tried in its order.
    pub async fn open(target: &Target, tls: &Arc<rustls::ClientConfig>) -> Result<Self, CallError> {
        let stream = match target {
            Target::Unix(path) => Stream::Unix(UnixStream::connect(path).await.map_err(CallError::Connect)?),
            Target::Tcp { host, port, tls: wanted } => {
                let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(CallError::Connect)?;
                tcp.set_nodelay(true).map_err(CallError::Connect)?;
                if *wanted {
                    let name =
                        ServerName::try_from(host.clone()).map_err(|_| CallError::Garbage("host name"))?;
                    let connector = TlsConnector::from(Arc::clone(tls));
                    Stream::Tls(Box::new(connector.connect(name, tcp).await.map_err(CallError::Connect)?))
                } else {
                    Stream::Tcp(tcp)
                }
            }
        };
        Ok(Self { stream, reused: false, idle_since: 0 })
    }

    /// Whether the peer left the connection open and silent while it idled.
    pub fn still_open(&mut self, cx: &mut Context<'_>) -> bool {
        let mut probe = [0; 1];
        self.poll_read(cx, &mut probe).is_pending()
    }

    /// Writes head and body, in one system call where they fit.
    pub async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<(), CallError> {
        let mut slices = [IoSlice::new(head), IoSlice::new(body)];
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let wrote =
                poll_fn(|cx| self.poll_write(cx, left)).await.map_err(|_| CallError::Broken("writing"))?;
            if wrote == 0 {
                return Err(CallError::Broken("writing"));
            }
            IoSlice::advance_slices(&mut left, wrote);
        }
        if let Stream::Tls(s) = &mut self.stream {
            s.flush().await.map_err(|_| CallError::Broken("writing"))?;
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(s) => Pin::new(s).poll_write_vectored(cx, data),
            Stream::Tls(s) => Pin::new(s).poll_write_vectored(cx, data),
            Stream::Unix(s) => Pin::new(s).poll_write_vectored(cx, data),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(into);
        ready!(match &mut self.stream {
            Stream::Tcp(s) => Pin::new(s).poll_read(cx, &mut buf),
            Stream::Tls(s) => Pin::new(s).poll_read(cx, &mut buf),
            Stream::Unix(s) => Pin::new(s).poll_read(cx, &mut buf),
        })?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

/// What the head of an answer says.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    /// Media type, without parameters, in lower case.
    pub media: String,
    pub keep_alive: bool,
}

/// A call whose head was read; its body is read as it comes.
pub struct Call {
    conn: Conn,
    pub head: Head,
    length: Length,
    /// Body bytes that were read with the head.
    early: Vec<u8>,
    done: bool,
    read: u64,
}

impl Call {
    /// Reads the answer's head, interim 1xx heads skipped.
    pub async fn answered(mut conn: Conn) -> Result<Self, CallError> {
        let mut raw: Vec<u8> = Vec::with_capacity(2048);
        loop {
            let mut searched = raw.len();
            poll_fn(|cx| fill(&mut conn, cx, &mut raw)).await?;
            while let Some(end) = frame::head_end(&raw, searched)? {
                let (head, length) = parse_head(&raw[..end])?;
                let rest = raw.split_off(end);
                if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
                    (raw, searched) = (rest, 0);
                    continue;
                }
                let done = matches!(length, Length::Known(0));
                return Ok(Self { conn, head, length, early: rest, done, read: 0 });
            }
            if raw.len() > limits::PROVIDER_HEAD_BYTES {
                return Err(CallError::Garbage("head too long"));
            }
        }
    }

    /// Reads a burst of the body into `scratch`, framing removed. 0 is the end of the body.
    pub fn poll_body(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Result<usize, CallError>> {
        while !self.done {
            let got = if self.early.is_empty() {
                match ready!(self.conn.poll_read(cx, scratch)) {
                    Ok(0) if matches!(self.length, Length::UntilClose) => {
                        self.done = true;
                        break;
                    }
                    Ok(0) => return Poll::Ready(Err(CallError::Broken("closed within the body"))),
                    Ok(n) => n,
                    Err(_) => return Poll::Ready(Err(CallError::Broken("reset within the body"))),
                }
            } else {
                let take = self.early.len().min(scratch.len());
                scratch[..take].copy_from_slice(&self.early[..take]);
                self.early.drain(..take);
                take
            };
            let payload = self.decode(scratch, got)?;
            if payload > 0 {
                self.read += payload as u64;
                return Poll::Ready(Ok(payload));
            }
        }
        Poll::Ready(Ok(0))
    }

    fn decode(&mut self, scratch: &mut [u8], got: usize) -> Result<usize, CallError> {
        let (payload, over) = match &mut self.length {
            Length::UntilClose => (got, 0),
            Length::Known(left) => {
                let take = got.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= take as u64;
                self.done = *left == 0;
                (take, got - take)
            }
            Length::Chunked(chunked) => {
                let (payload, over) = chunked.compact(scratch, got)?;
                self.done = chunked.ended();
                (payload, over)
            }
        };
        if over > 0 {
            // Bytes after the answer: the connection is not used again.
            self.head.keep_alive = false;
        }
        Ok(payload)
    }

    /// Bytes of the body so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The connection, for the next call, when the answer was read to its end.
    pub fn into_reusable(mut self) -> Option<Conn> {
        let whole = self.done && self.early.is_empty() && self.head.keep_alive;
        self.conn.reused = true;
        (whole && !matches!(self.length, Length::UntilClose)).then_some(self.conn)
    }
}

fn fill(conn: &mut Conn, cx: &mut Context<'_>, raw: &mut Vec<u8>) -> Poll<Result<(), CallError>> {
    let mut stack = [0; 4096];
    match ready!(conn.poll_read(cx, &mut stack)) {
        Ok(0) => Poll::Ready(Err(CallError::Broken("closed before the head"))),
        Ok(n) => {
            raw.extend_from_slice(&stack[..n]);
            Poll::Ready(Ok(()))
        }
        Err(_) => Poll::Ready(Err(CallError::Broken("reset before the head"))),
    }
}

fn parse_head(bytes: &[u8]) -> Result<(Head, Length), CallError> {
    let mut fields = [httparse::EMPTY_HEADER; limits::HEAD_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    if !matches!(response.parse(bytes), Ok(httparse::Status::Complete(_))) {
        return Err(CallError::Garbage("head"));
    }
    let status =
        response.code.and_then(|c| StatusCode::from_u16(c).ok()).ok_or(CallError::Garbage("status"))?;
    let (mut media, mut keep_alive) = (String::new(), response.version == Some(1));
    for field in response.headers.iter() {
        let value = std::str::from_utf8(field.value).unwrap_or("").trim();
        if field.name.eq_ignore_ascii_case("content-type") {
            value.split(';').next().unwrap_or("").trim().to_ascii_lowercase().clone_into(&mut media);
        } else if field.name.eq_ignore_ascii_case("connection") {
            keep_alive = keep_alive && !value.to_ascii_lowercase().contains("close");
        } else if field.name.eq_ignore_ascii_case("content-encoding")
            && !value.eq_ignore_ascii_case("identity")
        {
            return Err(CallError::Garbage("a compressed answer, which was not asked for"));
        }
    }
    let bodiless =
        status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let declared = frame::declared(response.headers.iter().map(|f| (f.name, f.value)))?;
    let length = if bodiless { Length::Known(0) } else { declared.unwrap_or(Length::UntilClose) };
    Ok((Head { status, media, keep_alive }, length))
}
