//! Step 6: the attempts of a plan, in order, on registered hosts only. A failure before the first delivered
//! byte goes on to the next attempt; after it the turn ends. Nothing of the caller's request but its body,
//! and the fields the provider's pack lists, goes out.
pub mod conn;
pub mod pool;

use crate::carry::running::{Ended, Running};
use crate::config::Provider;
use crate::limits;
use crate::metrics::count;
use crate::wire::WIRE;
use crate::worker::Worker;
use conn::{Call, CallError, Conn};
use http::HeaderMap;
use std::fmt::Write;
use std::future::poll_fn;
use std::sync::Arc;

/// How a provider is told what we take.
const USER_AGENT: &str = concat!("dragoman/", env!("CARGO_PKG_VERSION"));

/// What one attempt sends.
pub struct Outgoing<'a> {
    /// Path under the base URL.
    pub path: &'a str,
    pub stream: bool,
    pub body: &'a [u8],
    /// The caller's fields, of which those that the pack lists go out.
    pub caller: &'a HeaderMap,
    /// Identity for control's own provider; never sent elsewhere.
    pub identity: &'a [(&'static str, String)],
}

/// Why an attempt did not give an answer.
#[derive(Debug)]
pub enum Failed {
    /// The provider's fault: the next attempt may be tried.
    Attempt(CallError),
    /// The provider answered with a client error; its body may be a block.
    Refused(u16, Vec<u8>),
    /// The turn itself was ended.
    Ended(Ended),
}

impl From<CallError> for Failed {
    fn from(e: CallError) -> Self {
        Self::Attempt(e)
    }
}

/// Calls `provider` and reads the head of its answer, and the answer's body up to its first bytes.
pub async fn attempt(
    worker: &Worker,
    running: &Running,
    provider: &Provider,
    out: &Outgoing<'_>,
) -> Result<Call, Failed> {
    count(&worker.relay.metrics.attempts);
    let now = worker.now.get();
    running.total(now + provider.deadlines.total);
    running.until(now + provider.deadlines.connect, "connect");
    let head = head(provider, out);
    let mut conn = guarded(running, worker.providers.take(&provider.name, &provider.target)).await?;
    loop {
        running.until(worker.now.get() + provider.deadlines.first_byte, "first byte");
        let reused = conn.reused;
        let called = guarded(running, exchange(conn, &head, out.body)).await;
        match called {
            // Closed idle as we used it: no byte of an answer came, so a fresh connection may ask again.
            Err(Failed::Attempt(CallError::Broken(_))) if reused => {
                running.until(worker.now.get() + provider.deadlines.connect, "connect");
                conn = guarded(running, worker.providers.fresh(&provider.target)).await?;
            }
            Err(e) => return Err(e),
            Ok(call) => return answered(worker, running, call).await,
        }
    }
}

/// `future`, bounded by the deadlines and whatever else ends the turn.
async fn guarded<T>(
    running: &Running,
    future: impl Future<Output = Result<T, CallError>>,
) -> Result<T, Failed> {
    match running.or_ended(future).await {
        Ok(result) => result.map_err(Failed::Attempt),
        Err(Ended::Timeout(what)) => {
            running.expired();
            Err(Failed::Attempt(CallError::Timeout(what)))
        }
        Err(why) => Err(Failed::Ended(why)),
    }
}

async fn exchange(mut conn: Conn, head: &[u8], body: &[u8]) -> Result<Call, CallError> {
    conn.send(head, body).await?;
    Call::answered(conn).await
}

/// Sorts the statuses: success, a client error with its body, or a failure.
async fn answered(worker: &Worker, running: &Running, mut call: Call) -> Result<Call, Failed> {
    let status = call.head.status;
    if status.is_success() {
        return Ok(call);
    }
    if status.is_client_error() && status.as_u16() != 429 && status.as_u16() != 408 {
        let body = guarded(running, error_body(worker, &mut call)).await?;
        return Err(Failed::Refused(status.as_u16(), body));
    }
    // A redirect is an error too: only registered hosts are called.
    Err(Failed::Attempt(CallError::Status(status.as_u16())))
}

async fn error_body(worker: &Worker, call: &mut Call) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    loop {
        let got = poll_fn(|cx| {
            let mut scratch = worker.scratch.borrow_mut();
            call.poll_body(cx, &mut scratch).map_ok(|n| {
                body.extend_from_slice(&scratch[..n]);
                n
            })
        })
        .await?;
        if got == 0 || body.len() >= limits::PROVIDER_ERROR_BYTES {
            body.truncate(limits::PROVIDER_ERROR_BYTES);
            return Ok(body);
        }
    }
}

fn head(provider: &Provider, out: &Outgoing<'_>) -> Vec<u8> {
    let mut head = String::with_capacity(512);
    let accept = if out.stream { "text/event-stream" } else { "application/json" };
    let _ = write!(
        head,
        "POST {}{} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: {accept}\r\n\
         accept-encoding: identity\r\nuser-agent: {USER_AGENT}\r\ncontent-length: {}\r\n",
        provider.base_path,
        out.path,
        provider.authority,
        out.body.len()
    );
    if provider.is_control() {
        let _ = write!(head, "dragoman-wire: {WIRE}\r\n");
        for (name, value) in out.identity {
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    let mut head = head.into_bytes();
    let listed =
        provider.pass_headers.iter().filter_map(|name| out.caller.get(name).map(|value| (name, value)));
    for (name, value) in listed.chain(provider.credential.iter().map(|(name, value)| (name, value))) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Gives the connection back for the next call, when the answer was read to its end.
pub fn give_back(worker: &Worker, name: &Arc<str>, call: Call) {
    if let Some(conn) = call.into_reusable() {
        worker.providers.give(name, conn, worker.now.get());
    }
}
