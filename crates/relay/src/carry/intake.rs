//! Taking a turn in: a place among the open ones, and the request's body, bounded in bytes and rate.
use crate::errors::{self, ApiError};
use crate::limits;
use crate::metrics::count;
use crate::plan::Ready;
use crate::worker::Worker;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// A place among the open turns, until it is dropped.
pub struct Place {
    worker: std::rc::Rc<Worker>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.relay.metrics.open_turns.fetch_sub(1, Ordering::Relaxed);
        self.worker.places.add_permits(1);
    }
}

/// A place, at once or within `limits::PLACE_MS`. None while the thread is behind with what it has.
pub async fn place(worker: &std::rc::Rc<Worker>) -> Result<Place, ApiError> {
    if worker.relay.is_stopping() {
        return Err((&errors::STOPPING).into());
    }
    if worker.pace.is_behind() {
        return Err(shed(worker));
    }
    match worker.places.try_acquire() {
        Ok(permit) => permit.forget(),
        Err(_) => queued(worker).await?,
    }
    worker.relay.metrics.open_turns.fetch_add(1, Ordering::Relaxed);
    Ok(Place { worker: std::rc::Rc::clone(worker) })
}

fn shed(worker: &Worker) -> ApiError {
    count(&worker.relay.metrics.shed);
    (&errors::OVERLOADED).into()
}

async fn queued(worker: &Worker) -> Result<(), ApiError> {
    if worker.waiting.get() >= limits::QUEUE_PER_THREAD {
        return Err(shed(worker));
    }
    worker.waiting.set(worker.waiting.get() + 1);
    let waiting = Waiting(worker);
    let wait = Duration::from_millis(limits::PLACE_MS);
    let permit = tokio::time::timeout(wait, worker.places.acquire()).await;
    drop(waiting);
    permit.ok().and_then(Result::ok).ok_or_else(|| shed(worker))?.forget();
    Ok(())
}

/// A place among the turns that control answers itself, where that is whom the plan asks first. Control answers one after
/// the other: what waits there waits for all before it.
pub async fn seat(worker: &Worker, plan: &Ready) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
    let first = plan.plan.attempts.first().and_then(|attempt| plan.config.providers.get(&attempt.provider));
    if !first.is_some_and(|provider| provider.is_control()) {
        return Ok(None);
    }
    let wait = Duration::from_millis(limits::PLACE_MS);
    let seat = tokio::time::timeout(wait, Arc::clone(&worker.seats).acquire_owned()).await;
    seat.ok().and_then(Result::ok).map(Some).ok_or_else(|| shed(worker))
}

/// Counts a waiting turn, also when its client leaves.
struct Waiting<'a>(&'a Worker);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

/// The whole body of a JSON request.
pub async fn body(headers: &HeaderMap, incoming: Incoming) -> Result<Bytes, ApiError> {
    check_type(headers)?;
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|n| n > limits::BODY_BYTES) {
        return Err((&errors::BODY_TOO_LARGE).into());
    }
    let arrived = Cell::new(false);
    let mut read = pin!(collect(incoming, declared.unwrap_or(0), &arrived));
    // Mostly the body is here with its head: no timer for that.
    if let Poll::Ready(done) = read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return done;
    }
    // The rate counts from the first byte; that one has the grace alone.
    let grace = Duration::from_millis(limits::BODY_GRACE_MS);
    match tokio::time::timeout(grace, read.as_mut()).await {
        Ok(done) => return done,
        Err(_) if !arrived.get() => return Err((&errors::HEAD_TIMEOUT).into()),
        Err(_) => {}
    }
    let most = limits::BODY_BYTES as u64 * 1000 / limits::BODY_LEAST_RATE;
    tokio::time::timeout(Duration::from_millis(most), read)
        .await
        .unwrap_or_else(|_| Err((&errors::HEAD_TIMEOUT).into()))
}

/// Takes the body of a request that was refused by its head, and forgets it: a client that is still sending when its
/// connection closes may never read why. Who sends more, or slower, finds it closed.
pub async fn discard(headers: &HeaderMap, mut incoming: Incoming) {
    // Who asked first has sent nothing yet.
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let all = async {
        let mut left = limits::DISCARD_BYTES;
        while let Some(Ok(frame)) = incoming.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
            left = rest;
        }
    };
    // In vain or not: the answer is the same.
    drop(tokio::time::timeout(Duration::from_millis(limits::DISCARD_MS), all).await);
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let field = |name| headers.get(name).map(|v: &http::HeaderValue| v.to_str().unwrap_or("?"));
    let media =
        field(header::CONTENT_TYPE).map(|v| v.split(';').next().unwrap_or("").trim().to_ascii_lowercase());
    if media.is_some_and(|m| m != "application/json") {
        return Err((&errors::UNSUPPORTED_TYPE).into());
    }
    match field(header::CONTENT_ENCODING) {
        None | Some("identity") => Ok(()),
        Some(_) => Err((&errors::UNSUPPORTED_ENCODING).into()),
    }
}

async fn collect(mut incoming: Incoming, declared: usize, arrived: &Cell<bool>) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::new();
    let mut began: Option<Instant> = None;
    loop {
        let frame = match began {
            None => incoming.frame().await,
            Some(began) => {
                let due = limits::BODY_GRACE_MS + whole.len() as u64 * 1000 / limits::BODY_LEAST_RATE;
                let due = began + Duration::from_millis(due);
                tokio::time::timeout_at(due, incoming.frame()).await.map_err(|_| &errors::HEAD_TIMEOUT)?
            }
        };
        let Some(frame) = frame else { return Ok(whole.freeze()) };
        let Ok(data) = frame.map_err(|_| &errors::BAD_BODY)?.into_data() else { continue };
        if whole.is_empty() && data.len() == declared {
            // The whole body in one piece: no copy.
            return Ok(data);
        }
        if whole.len() + data.len() > limits::BODY_BYTES {
            return Err((&errors::BODY_TOO_LARGE).into());
        }
        began.get_or_insert_with(Instant::now);
        arrived.set(true);
        whole.extend_from_slice(&data);
    }
}
