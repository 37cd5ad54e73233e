//! A turn's answer as hyper polls it: the turn runs inside the body, in the task of its connection. What
//! one burst of the provider releases leaves in one frame; a reader that does not read stops the turn.
use super::live::{LiveTurn, TooLong};
use crate::errors;
use crate::limits;
use crate::metrics::{Metrics, count};
use crate::wire::Lang;
use bytes::Bytes;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What is released and not yet taken by the connection, or not yet handed to the readers of a turn that runs on its
/// own.
#[derive(Default)]
pub struct Out {
    bytes: RefCell<Vec<u8>>,
    live: Option<Arc<LiveTurn>>,
}

impl Out {
    /// Of a turn that runs on its own.
    pub fn live(live: &Arc<LiveTurn>) -> Self {
        Self { bytes: RefCell::default(), live: Some(Arc::clone(live)) }
    }

    /// Hands what is released to the readers of a turn that runs on its own.
    pub fn flush(&self) -> Result<(), TooLong> {
        let Some(live) = &self.live else { return Ok(()) };
        live.deliver(self.with(std::mem::take))
    }

    /// Adds released bytes through `write`; gives what it gives.
    pub fn with<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        write(&mut self.bytes.borrow_mut())
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.borrow().is_empty()
    }

    /// Waits until the connection took what is too much. It is polled again by the body, which needs no waker; a
    /// turn that runs on its own is woken by its readers.
    pub async fn room(&self) {
        poll_fn(|cx| match &self.live {
            Some(live) => live.poll_room(cx),
            None if self.bytes.borrow().len() < limits::OUT_BYTES => Poll::Ready(()),
            None => Poll::Pending,
        })
        .await;
    }
}

/// The body of a streamed answer.
pub struct TurnBody {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    out: Rc<Out>,
    metrics: Arc<Metrics>,
    lang: Lang,
}

impl TurnBody {
    pub fn new(
        future: impl Future<Output = ()> + 'static,
        out: Rc<Out>,
        metrics: Arc<Metrics>,
        lang: Lang,
    ) -> Self {
        Self { future: Some(Box::pin(future)), out, metrics, lang }
    }

    pub fn ended(&self) -> bool {
        self.future.is_none() && self.out.is_empty()
    }

    /// The next frame; nothing when the answer is over.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(future) = &mut self.future {
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(())) => self.future = None,
                Err(_) => self.panicked(),
            }
        }
        if !self.out.is_empty() {
            return Poll::Ready(Some(self.out.with(std::mem::take).into()));
        }
        if self.future.is_some() { Poll::Pending } else { Poll::Ready(None) }
    }

    /// What was not yet sent is dropped with the turn, and the caller is told.
    fn panicked(&mut self) {
        count(&self.metrics.panics);
        self.future = None;
        let body = errors::ApiError::from(&errors::INTERNAL).body(self.lang);
        self.out.with(|out| {
            out.clear();
            error_event(&body, out);
        });
    }
}

/// An error as an event of a stream; no end marker follows it.
pub fn error_event(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(body);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;
