//! What an answer's body is made of: bytes, a proxied stream, or a turn that writes as it goes.
use crate::accept::guard::{Stall, Vitals};
use crate::address::crowd::Counted;
use crate::carry::TurnBody;
use crate::carry::live::Reader;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// The body's source.
pub enum Source {
    Bytes(Option<Bytes>),
    Pages(Incoming),
    Turn(Box<TurnBody>),
    /// A turn that runs on its own.
    Live(Reader),
}

impl From<Bytes> for Source {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes((!bytes.is_empty()).then_some(bytes))
    }
}

/// Counts a request as being answered until it is dropped.
pub struct Answering {
    vitals: Rc<Vitals>,
    now: Rc<Cell<u64>>,
    /// Watches the reader of a stream of HTTP/2; a connection of HTTP/1.1 has one reader, whom its guard watches.
    stall: Option<Rc<Stall>>,
    /// The request under its client's address, where a proxy brought it.
    pub counted: Option<Counted>,
}

impl Answering {
    pub fn begin(vitals: &Rc<Vitals>, now: &Rc<Cell<u64>>, stall: Option<Rc<Stall>>) -> Self {
        vitals.open.set(vitals.open.get() + 1);
        Self { vitals: Rc::clone(vitals), now: Rc::clone(now), stall, counted: None }
    }

    /// Something was given to hyper, or there is nothing to give.
    fn note(&self, handed: bool) {
        match &self.stall {
            Some(stall) if handed => stall.handed(self.now.get()),
            Some(stall) => stall.drained(),
            None => {}
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.vitals.answered(self.now.get());
    }
}

/// A body as hyper polls it. Nothing is read from the source before hyper has room to write.
pub struct RelayBody {
    source: Source,
    answering: Answering,
}

impl RelayBody {
    pub fn new(source: Source, answering: Answering) -> Self {
        Self { source, answering }
    }
}

impl RelayBody {
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.source {
            Source::Bytes(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Source::Turn(turn) => turn.poll(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b)))),
            Source::Live(reader) => reader.poll(cx).map(|bytes| bytes.map(|b| b.map(Frame::data))),
            Source::Pages(body) => loop {
                match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        // Trailers of pages end here: they were not asked for.
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                    }
                    Some(Err(e)) => return Poll::Ready(Some(Err(io::Error::other(e)))),
                    None => return Poll::Ready(None),
                }
            },
        }
    }
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let polled = self.poll_source(cx);
        self.answering.note(matches!(polled, Poll::Ready(Some(Ok(_)))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Bytes(bytes) => bytes.is_none(),
            Source::Turn(turn) => turn.ended(),
            Source::Live(_) => false,
            Source::Pages(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Bytes(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Source::Turn(_) | Source::Live(_) => SizeHint::new(),
            Source::Pages(body) => body.size_hint(),
        }
    }
}
