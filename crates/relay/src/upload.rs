//! A request body on its way to pages, bounded in bytes and in the time its sender takes: the grace and the
//! least rate of `carry::intake`. Time that pages takes to read is not counted. It looks at no content.
use crate::errors::{self, ApiError};
use crate::limits;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{LengthLimitError, Limited};
use hyper::body::Incoming;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The sender was slower than the least rate.
#[derive(Debug)]
struct Late;

impl std::fmt::Display for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body did not arrive in time")
    }
}

impl Error for Late {}

/// The body of a request to pages.
pub struct Upload {
    body: Limited<Incoming>,
    taken: u64,
    /// Time that the sender has used up.
    waited: Duration,
    /// Since when the sender is waited for, and until when it is.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Upload {
    pub fn new(body: Incoming) -> Self {
        let body = Limited::new(body, limits::UPLOAD_BYTES as usize);
        Self { body, taken: 0, waited: Duration::ZERO, wait: None }
    }

    /// What may be waited for the next bytes.
    fn patience(&self) -> Duration {
        let allowed = limits::BODY_GRACE_MS + self.taken * 1000 / limits::BODY_LEAST_RATE;
        Duration::from_millis(allowed).saturating_sub(self.waited)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(got) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some((since, _)) = this.wait.take() {
                this.waited += since.elapsed();
            }
            if let Some(data) = got.as_ref().and_then(|got| got.as_ref().ok()?.data_ref()) {
                this.taken += data.len() as u64;
            }
            return Poll::Ready(got);
        }
        let patience = this.patience();
        let (_, sleep) =
            this.wait.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(patience))));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(Box::new(Late))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a request did not get to pages: its own body, or pages.
pub fn fault(error: &hyper::Error) -> ApiError {
    match error.source() {
        Some(cause) if cause.is::<Late>() => (&errors::HEAD_TIMEOUT).into(),
        Some(cause) if cause.is::<LengthLimitError>() => (&errors::BODY_TOO_LARGE).into(),
        _ => (&errors::UPSTREAM_PAGES).into(),
    }
}
