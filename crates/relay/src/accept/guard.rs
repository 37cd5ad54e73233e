//! A strict reader in front of hyper: it hands a request head on only when it is whole and plain, and
//! body bytes only as the head declared them. A head that is not gets an error answer, through a
//! head of our own that names the fault. It also lets the thread's clock end slow connections.
use crate::errors::{self, Code};
use crate::frame::{self, Bad, Length};
use crate::limits;
use bytes::{Buf, BytesMut};
use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The target of the head that stands for a head that was refused.
pub const FAULT_TARGET: &str = "/.fault";
const FAULT_HEAD: &[u8] = b"GET /.fault HTTP/1.1\r\nhost: fault\r\nconnection: close\r\n\r\n";
/// Bytes read from a client's socket at once.
const READ_BYTES: usize = 16 * 1024;

/// What the thread's clock sees and may do of one connection.
#[derive(Default)]
pub struct Vitals {
    /// Idling has no limit.
    keep: bool,
    /// Requests being answered.
    pub open: Cell<u32>,
    /// Boot milliseconds of the last step: a head's first byte, an answer's end.
    since: Cell<u64>,
    /// A head has begun and is not whole.
    head_begun: Cell<bool>,
    /// Boot milliseconds since which a write makes no progress; 0 when it does.
    write_stuck: Cell<u64>,
    fault: Cell<Option<&'static Code>>,
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Vitals {
    /// `idles` is false for a peer that may keep its connection for ever.
    pub fn new(now: u64, idles: bool) -> Self {
        let vitals = Self { keep: !idles, ..Self::default() };
        vitals.since.set(now);
        vitals
    }

    /// Why the head was refused, once.
    pub fn take_fault(&self) -> Option<&'static Code> {
        self.fault.take()
    }

    /// A request's answer is done; the connection idles from `now` on.
    pub fn answered(&self, now: u64) {
        self.open.set(self.open.get().saturating_sub(1));
        self.since.set(now);
    }

    /// Called by the thread's clock: ends heads, idling and writes that take too long.
    pub fn tick(&self, now: u64) {
        let stuck = self.write_stuck.get();
        let age = now.saturating_sub(self.since.get());
        if self.head_begun.get() && age > limits::HEAD_MS && self.fault.get().is_none() {
            self.fault.set(Some(&errors::HEAD_TIMEOUT));
        } else if (stuck != 0 && now.saturating_sub(stuck) > limits::WRITE_STALL_MS)
            || (!self.keep && self.open.get() == 0 && !self.head_begun.get() && age > limits::KEEP_ALIVE_MS)
        {
            self.closed.set(true);
        } else {
            return;
        }
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

enum State {
    Head,
    Body(Length),
    /// Nothing more is read: the head was refused.
    Ended,
}

/// A client's connection, as hyper reads and writes it.
pub struct Guard<S> {
    inner: S,
    vitals: Rc<Vitals>,
    now: Rc<Cell<u64>>,
    state: State,
    raw: BytesMut,
    /// Bytes at the front of `raw` that hyper may have.
    pass: usize,
    /// Bytes of `raw` already searched for the head's end.
    searched: usize,
}

impl<S> Guard<S> {
    pub fn new(inner: S, vitals: Rc<Vitals>, now: Rc<Cell<u64>>) -> Self {
        Self { inner, vitals, now, state: State::Head, raw: BytesMut::new(), pass: 0, searched: 0 }
    }

    /// Classifies what was read: afterwards `pass` says what hyper may have.
    fn classify(&mut self) {
        let outcome = match &mut self.state {
            State::Head => self.head(),
            State::Body(Length::Known(left)) => {
                self.pass = self.raw.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= self.pass as u64;
                if *left == 0 {
                    self.state = State::Head;
                }
                Ok(())
            }
            State::Body(Length::Chunked(chunked)) => chunked_span(chunked, &self.raw).map(|(span, ended)| {
                self.pass = span;
                if ended {
                    self.state = State::Head;
                }
            }),
            State::Body(Length::UntilClose) | State::Ended => {
                self.raw.clear();
                Ok(())
            }
        };
        if let Err(code) = outcome {
            self.refuse(code);
        }
    }

    fn head(&mut self) -> Result<(), &'static Code> {
        if !self.vitals.head_begun.replace(true) {
            self.vitals.since.set(self.now.get());
        }
        let end = frame::head_end(&self.raw, self.searched).map_err(|_| &errors::BAD_HEAD)?;
        self.searched = self.raw.len();
        let Some(end) = end else {
            return if self.raw.len() > limits::HEAD_BYTES { Err(&errors::HEAD_TOO_LARGE) } else { Ok(()) };
        };
        if end > limits::HEAD_BYTES {
            return Err(&errors::HEAD_TOO_LARGE);
        }
        let length = check_head(&self.raw[..end])?;
        self.vitals.head_begun.set(false);
        self.searched = 0;
        self.pass = end;
        if let Some(length) = length {
            self.state = State::Body(length);
        }
        Ok(())
    }

    fn refuse(&mut self, code: &'static Code) {
        self.vitals.head_begun.set(false);
        let in_body = matches!(self.state, State::Body(_));
        self.state = State::Ended;
        self.raw.clear();
        if in_body {
            // The request is being answered already: its body just ends, which hyper reports to it.
            self.vitals.closed.set(true);
            return;
        }
        self.vitals.fault.set(Some(code));
        self.raw.extend_from_slice(FAULT_HEAD);
        self.pass = self.raw.len();
    }
}

/// The whole chunks' span at the front of `raw`, and whether the body ends with it.
fn chunked_span(chunked: &mut frame::Chunked, raw: &[u8]) -> Result<(usize, bool), &'static Code> {
    let mut at = 0;
    while at < raw.len() && !chunked.ended() {
        let (skip, take) = chunked.piece(&raw[at..]).map_err(|Bad(_)| &errors::BAD_BODY)?;
        at += skip + take;
    }
    Ok((at, chunked.ended()))
}

/// Checks a whole head: one Host, one length, plain names, bounded target. Gives the body's length.
fn check_head(head: &[u8]) -> Result<Option<Length>, &'static Code> {
    let mut fields = [httparse::EMPTY_HEADER; limits::HEAD_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(&errors::HEAD_TOO_LARGE),
        _ => return Err(&errors::BAD_HEAD),
    }
    if request.path.unwrap_or("").len() > limits::TARGET_BYTES {
        return Err(&errors::TARGET_TOO_LONG);
    }
    let hosts = request.headers.iter().filter(|f| f.name.eq_ignore_ascii_case("host")).count();
    let plain = request.headers.iter().all(|f| !f.name.contains('_') && !f.value.contains(&b'\r'));
    if !plain || hosts > 1 || (hosts == 0 && request.version == Some(1)) {
        return Err(&errors::BAD_HEAD);
    }
    frame::declared(request.headers.iter().map(|f| (f.name, f.value))).map_err(|Bad(_)| &errors::BAD_HEAD)
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.vitals.closed.get() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if this.pass > 0 {
                let take = this.pass.min(out.remaining());
                out.put_slice(&this.raw[..take]);
                this.raw.advance(take);
                this.pass -= take;
                if this.raw.is_empty() {
                    this.raw = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            if let Some(code) = this.vitals.fault.get().filter(|_| !matches!(this.state, State::Ended)) {
                this.refuse(code);
                continue;
            }
            if matches!(this.state, State::Ended) {
                // The error's answer is on its way; whatever else the client sends is not read.
                return Poll::Pending;
            }
            if !this.raw.is_empty() && this.searched < this.raw.len() {
                this.classify();
                continue;
            }
            let mut waker = this.vitals.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            drop(waker);
            if ready!(fill(&mut this.inner, cx, &mut this.raw))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Reads once, through the stack: an idle connection keeps no buffer. Gives the bytes read; 0 is the end.
fn fill<S: AsyncRead + Unpin>(
    inner: &mut S,
    cx: &mut Context<'_>,
    raw: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let mut stack = [const { MaybeUninit::uninit() }; READ_BYTES];
    let mut read = ReadBuf::uninit(&mut stack);
    ready!(Pin::new(inner).poll_read(cx, &mut read))?;
    raw.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

impl<S: AsyncWrite + Unpin> Guard<S> {
    fn progress<T>(&self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.vitals.write_stuck.set(0);
            return result;
        }
        if self.vitals.closed.get() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if self.vitals.write_stuck.get() == 0 {
            self.vitals.write_stuck.set(self.now.get().max(1));
        }
        *self.vitals.waker.borrow_mut() = Some(cx.waker().clone());
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, data);
        self.progress(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, data);
        self.progress(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
