//! The body a fake provider sends: ready at once or paced, and metered.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// The provider's own count of what it did, independent of anyone else's.
#[derive(Default)]
pub struct Meter {
    pub requests: AtomicU64,
    pub refused: AtomicU64,
    pub answered: AtomicU64,
    pub cancelled: AtomicU64,
    pub open: AtomicU64,
    pub tokens_out: AtomicU64,
    pub bytes_in: AtomicU64,
}

impl Meter {
    /// The counts as JSON; `open` is the number of answers not ended yet.
    pub fn json(&self) -> String {
        serde_json::json!({
            "requests": self.requests.load(Relaxed), "refused": self.refused.load(Relaxed),
            "answered": self.answered.load(Relaxed), "cancelled": self.cancelled.load(Relaxed),
            "open": self.open.load(Relaxed), "tokens_out": self.tokens_out.load(Relaxed),
            "bytes_in": self.bytes_in.load(Relaxed),
        })
        .to_string()
    }
}

/// The prepared frames of an answer; a whole body is one frame.
pub struct Prepared {
    pub frames: Vec<Bytes>,
    pub tokens: u64,
    pub first: Duration,
    pub gap: Duration,
    pub stream: bool,
}

/// An answer on its way. Dropped before its last frame it counts as cancelled.
pub struct Answer {
    prepared: Arc<Prepared>,
    next: usize,
    due: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    meter: Option<&'static Meter>,
}

impl Answer {
    /// Starts an answer now and counts it as open.
    pub fn new(prepared: Arc<Prepared>, meter: &'static Meter) -> Self {
        meter.open.fetch_add(1, Relaxed);
        let due = Instant::now() + prepared.first;
        let timer = (!prepared.first.is_zero()).then(|| Box::pin(sleep_until(due)));
        Self { prepared, next: 0, due, timer, meter: Some(meter) }
    }

    /// A small body outside the meter (errors, models, the meter itself).
    pub fn plain(body: impl Into<Bytes>) -> Self {
        let prepared = Prepared {
            frames: vec![body.into()],
            tokens: 0,
            first: Duration::ZERO,
            gap: Duration::ZERO,
            stream: false,
        };
        Self { prepared: Arc::new(prepared), next: 0, due: Instant::now(), timer: None, meter: None }
    }

    fn pace(&mut self) {
        if self.prepared.gap.is_zero() || self.next >= self.prepared.frames.len() {
            return;
        }
        // From the due time, not from now: late wake-ups do not stretch the stream.
        self.due += self.prepared.gap;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(self.due),
            None => self.timer = Some(Box::pin(sleep_until(self.due))),
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.next >= this.prepared.frames.len() {
            return Poll::Ready(None);
        }
        if let Some(timer) = &mut this.timer {
            ready!(timer.as_mut().poll(cx));
        }
        let frame = this.prepared.frames[this.next].clone();
        this.next += 1;
        this.pace();
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.prepared.frames.len()
    }

    fn size_hint(&self) -> SizeHint {
        if self.prepared.stream {
            return SizeHint::new();
        }
        SizeHint::with_exact(self.prepared.frames[self.next..].iter().map(|f| f.len() as u64).sum())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Some(meter) = self.meter else { return };
        meter.open.fetch_sub(1, Relaxed);
        if self.next >= self.prepared.frames.len() {
            meter.answered.fetch_add(1, Relaxed);
            meter.tokens_out.fetch_add(self.prepared.tokens, Relaxed);
        } else {
            meter.cancelled.fetch_add(1, Relaxed);
        }
    }
}
