//! A strict reader in front of hyper: what came is handed on only as the version's `Rules` allow (`heads`,
//! `frames`); in place of what they refuse hyper reads bytes of our own that make it answer with the fault.
//! It also lets the thread's clock end slow connections.
use crate::errors::{self, Code};
use crate::limits;
use bytes::{Buf, BytesMut};
use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read from a client's socket at once.
const READ_BYTES: usize = 16 * 1024;

/// What the thread's clock sees and may do of one connection.
#[derive(Default)]
pub struct Vitals {
    /// Idling has no limit.
    keep: bool,
    /// Requests being answered.
    pub open: Cell<u32>,
    /// Boot milliseconds of the last step: a whole head, an answer's end.
    since: Cell<u64>,
    /// Boot milliseconds of the first byte of what is not whole yet.
    begun: Cell<u64>,
    /// A head has begun and is not whole.
    head_begun: Cell<bool>,
    /// A request has begun once.
    spoke: Cell<bool>,
    /// Boot milliseconds since which a write makes no progress; 0 when it does.
    write_stuck: Cell<u64>,
    fault: Cell<Option<&'static Code>>,
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    streams: RefCell<Vec<Weak<Stall>>>,
}

/// One stream of a connection of HTTP/2: since when its reader takes nothing, and the end of it.
#[derive(Default)]
pub struct Stall {
    /// Boot milliseconds since which something waits to be taken; 0 where nothing does.
    since: Cell<u64>,
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Stall {
    /// Something was handed over: until it is asked for more, the reader is waited for.
    pub fn handed(&self, now: u64) {
        self.since.set(now.max(1));
    }

    /// Nothing is there to be read.
    pub fn drained(&self) {
        self.since.set(0);
    }

    /// Whether the stream has to end; keeps the waker for when it has.
    pub fn is_cut(&self, cx: &Context<'_>) -> bool {
        if !self.cut.get() {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
        }
        self.cut.get()
    }

    fn tick(&self, now: u64) {
        if self.since.get() != 0 && now.saturating_sub(self.since.get()) > limits::WRITE_STALL_MS {
            self.cut.set(true);
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
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

    /// The first byte of a head, or of a frame, came, unless it had.
    pub fn head_begins(&self, now: u64) {
        if !self.head_begun.replace(true) {
            self.begun.set(now);
        }
    }

    /// What began is whole.
    pub fn whole(&self) {
        self.head_begun.set(false);
    }

    /// A request begins, so that the connection does not idle.
    pub fn spoken(&self, now: u64) {
        self.spoke.set(true);
        self.since.set(now);
    }

    /// Watches a stream of this connection.
    pub fn watch(&self, stall: &Rc<Stall>) {
        self.streams.borrow_mut().push(Rc::downgrade(stall));
    }

    /// Called by the thread's clock: ends heads, idling and writes that take too long.
    pub fn tick(&self, now: u64) {
        self.streams.borrow_mut().retain(|stream| {
            stream.upgrade().is_some_and(|stall| {
                stall.tick(now);
                true
            })
        });
        let stuck = self.write_stuck.get();
        let idle = if self.spoke.get() { limits::KEEP_ALIVE_MS } else { limits::FIRST_BYTE_MS };
        let age = now.saturating_sub(self.since.get());
        let late = self.head_begun.get() && now.saturating_sub(self.begun.get()) > limits::HEAD_MS;
        if late && self.fault.get().is_none() {
            self.fault.set(Some(&errors::HEAD_TIMEOUT));
        } else if (stuck != 0 && now.saturating_sub(stuck) > limits::WRITE_STALL_MS)
            || (!self.keep && self.open.get() == 0 && !self.head_begun.get() && age > idle)
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

/// How one version of HTTP is read: what hyper may have of the bytes that came.
pub trait Rules: Unpin {
    /// How many bytes at the front of `raw` hyper may have; 0 where more have to come first.
    fn classify(&mut self, raw: &[u8], vitals: &Vitals, now: u64) -> Result<usize, &'static Code>;

    /// What hyper reads in place of what was refused, or nothing where the connection has to be cut.
    fn instead(&self) -> Option<&'static [u8]>;
}

/// A client's connection, as hyper reads and writes it.
pub struct Guard<S, R> {
    inner: S,
    rules: R,
    vitals: Rc<Vitals>,
    now: Rc<Cell<u64>>,
    raw: BytesMut,
    /// Bytes at the front of `raw` that hyper may have.
    pass: usize,
    /// Bytes of `raw` that were classified without being whole.
    seen: usize,
    /// Nothing more is read: what came was refused.
    ended: bool,
}

impl<S, R: Rules> Guard<S, R> {
    pub fn new(inner: S, rules: R, vitals: Rc<Vitals>, now: Rc<Cell<u64>>) -> Self {
        Self { inner, rules, vitals, now, raw: BytesMut::new(), pass: 0, seen: 0, ended: false }
    }

    fn classify(&mut self) {
        match self.rules.classify(&self.raw, &self.vitals, self.now.get()) {
            Ok(0) => self.seen = self.raw.len(),
            Ok(pass) => (self.pass, self.seen) = (pass, 0),
            Err(code) => self.refuse(code),
        }
    }

    fn refuse(&mut self, code: &'static Code) {
        self.vitals.head_begun.set(false);
        self.ended = true;
        self.raw.clear();
        match self.rules.instead() {
            Some(instead) => {
                self.vitals.fault.set(Some(code));
                self.raw.extend_from_slice(instead);
                self.pass = self.raw.len();
            }
            // What was refused is within a request that is being answered: it just ends, which hyper reports to it.
            None => self.vitals.closed.set(true),
        }
    }
}

impl<S: AsyncRead + Unpin, R: Rules> AsyncRead for Guard<S, R> {
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
            if let Some(code) = this.vitals.fault.get().filter(|_| !this.ended) {
                this.refuse(code);
                continue;
            }
            if this.ended {
                // The error's answer is on its way; whatever else the client sends is not read.
                return Poll::Pending;
            }
            if this.seen < this.raw.len() {
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

impl<S: AsyncWrite + Unpin, R> Guard<S, R> {
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

impl<S: AsyncWrite + Unpin, R: Rules> AsyncWrite for Guard<S, R> {
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

#[cfg(test)]
mod tests;
