//! Step 6, one attempt at a time: the call, and its bytes through the scan into what may be handed on. Failover ends
//! with the first bytes that are handed on. It never ends a turn.
use super::asked::Asked;
use super::body::Out;
use super::open::{Open, Turn};
use super::running::{Ended, Running};
use crate::budget::worst;
use crate::config::Provider;
use crate::errors::ApiError;
use crate::limits;
use crate::metrics::count;
use crate::provider::conn::{Call, CallError};
use crate::provider::{self, Failed, Outgoing};
use crate::proxy::{self, Asker};
use dragoman_engine::answer::{AnswerError, Progress};
use http::HeaderMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

/// Why an answer broke off.
pub enum Broken {
    Call(CallError),
    Answer(AnswerError),
    /// The provider holds the request to be wrong; another would too.
    Request(u16),
    Ended(Ended),
    /// Recording or storing failed: the error that the caller reads.
    Inside(ApiError),
}

impl From<Ended> for Broken {
    fn from(why: Ended) -> Self {
        Self::Ended(why)
    }
}

impl From<ApiError> for Broken {
    fn from(e: ApiError) -> Self {
        Self::Inside(e)
    }
}

/// One attempt that answers: its call, its connection's pool, and whether the body is over already.
pub struct Attempt {
    /// None where the provider's error itself is the answer.
    pub call: Option<Call>,
    pub provider: Arc<Provider>,
    pub progress: Progress,
    pub over: bool,
}

/// Milliseconds that usage and the provider's own end may still take after the last finish reason.
const LAST_WORDS_MS: u64 = 2_000;
/// Client errors that are about us, not about the request: another attempt may do better.
const OURS: [u16; 3] = [401, 403, 404];

/// The first attempt that gives an answer, with what it gave so far in `out`.
pub async fn first_of(
    open: &mut Open,
    asked: &Asked,
    caller: &HeaderMap,
    out: &Out,
) -> Result<Attempt, Broken> {
    let called = Instant::now();
    let mut last = Broken::Call(CallError::Garbage("no attempt"));
    for number in 0..open.turn.plan.plan.attempts.len() {
        match begin(open, asked, caller, number, out).await {
            Ok(attempt) => {
                measure(&open.turn, called);
                return Ok(attempt);
            }
            Err(broken) => {
                count(&open.turn.worker.relay.metrics.attempts_failed);
                out.with(Vec::clear);
                log_attempt(open, number, &broken);
                if unused(&broken) {
                    open.account.spared(number);
                }
                let again = matches!(&broken, Broken::Call(_) | Broken::Answer(_));
                last = broken;
                if !again {
                    break;
                }
            }
        }
    }
    Err(last)
}

/// A failed attempt used nothing: it was never connected, or the provider answered with an error status.
fn unused(broken: &Broken) -> bool {
    matches!(
        broken,
        Broken::Request(_)
            | Broken::Call(CallError::Connect(_) | CallError::Status(_) | CallError::Timeout("connect"))
    )
}

fn measure(turn: &Turn, called: Instant) {
    let metrics = &turn.worker.relay.metrics;
    metrics.first_bytes.add_us(turn.started.elapsed().as_micros() as u64);
    metrics.before_call.add_us((called - turn.started).as_micros() as u64);
}

fn log_attempt(open: &Open, number: usize, broken: &Broken) {
    let provider = open.turn.plan.plan.attempts[number].provider.as_str();
    let why = match broken {
        Broken::Call(e) => e.to_string(),
        // The provider's words may be the user's own: only how many bytes there were.
        Broken::Answer(e) => match &e.detail {
            Some(detail) => format!("{}, {} bytes", e.code, detail.len()),
            None => e.code.to_owned(),
        },
        Broken::Request(status) => format!("status {status}"),
        Broken::Ended(why) => format!("{why:?}"),
        Broken::Inside(e) => e.code.to_string(),
    };
    let why: String = why.chars().take(limits::LOG_FIELD_BYTES / 4).collect();
    tracing::warn!(turn = %open.turn.id, provider, attempt = number, why, "an attempt failed");
}

/// Calls attempt `number` and reads on until something may be handed on.
async fn begin(
    open: &mut Open,
    asked: &Asked,
    caller: &HeaderMap,
    number: usize,
    out: &Out,
) -> Result<Attempt, Broken> {
    let (name, model) = {
        let attempt = &open.turn.plan.plan.attempts[number];
        (attempt.provider.clone(), attempt.model.clone())
    };
    let provider = open.turn.plan.config.providers.get(&name).cloned();
    let provider = provider.ok_or(Broken::Call(CallError::Garbage("not a registered provider")))?;
    if provider.closed {
        return Err(Broken::Call(CallError::Broken("its credential cannot be read")));
    }
    let planned = &open.turn.plan.plan;
    let most =
        worst::most_output(&planned.attempts[number], asked.request(), planned.limits.max_output_tokens);
    let body = asked.upstream(&model, most);
    open.scan = Some(asked.scan_out(open, &provider));
    open.attempt = Some((number as u64, name, model));
    let identity = if provider.is_control() { identity(&open.turn) } else { Vec::new() };
    let outgoing = Outgoing {
        path: open.turn.route.provider_path(),
        stream: open.turn.stream,
        body: &body,
        caller,
        identity: &identity,
    };
    let worker = Rc::clone(&open.turn.worker);
    let running = Rc::clone(&open.turn.running);
    open.account.called(number);
    match provider::attempt(&worker, &running, &provider, &outgoing).await {
        Ok(call) => {
            let progress = Progress { ended: false, closing: false };
            let mut live = Attempt { call: Some(call), provider, progress, over: false };
            first(open, &mut live, out).await.map_err(|broken| retried(&running, broken))?;
            Ok(live)
        }
        Err(Failed::Refused(status, body)) => vendor_refusal(open, status, &body, provider, out),
        Err(Failed::Attempt(e)) => Err(Broken::Call(e)),
        Err(Failed::Ended(why)) => Err(Broken::Ended(why)),
    }
}

/// Who asks, for control's own provider.
fn identity(turn: &Turn) -> Vec<(&'static str, String)> {
    let asker = Asker {
        principal: Some(&turn.who),
        lang: turn.lang,
        address: &turn.address,
        hide_credential: true,
        appeals_full: false,
    };
    let mut fields = proxy::identity(&asker);
    fields.push(("dragoman-turn", turn.id.clone()));
    fields
}

/// A deadline before the first delivered byte leaves the turn to the next attempt.
fn retried(running: &Running, broken: Broken) -> Broken {
    match broken {
        Broken::Ended(Ended::Timeout(what)) => {
            running.expired();
            Broken::Call(CallError::Timeout(what))
        }
        other => other,
    }
}

/// A client error of the provider: its own filter's block, or a request it does not take.
fn vendor_refusal(
    open: &mut Open,
    status: u16,
    body: &[u8],
    provider: Arc<Provider>,
    out: &Out,
) -> Result<Attempt, Broken> {
    if OURS.contains(&status) {
        return Err(Broken::Call(CallError::Status(status)));
    }
    let document: serde_json::Value = serde_json::from_slice(body).map_err(|_| Broken::Request(status))?;
    let document = document.to_string();
    let stream = open.turn.stream;
    let scan = open.scan.as_mut().ok_or(Broken::Request(status))?;
    let read = if stream {
        out.with(|out| scan.bytes(format!("data: {document}\n\n").as_bytes(), out))
    } else {
        scan.body(document.as_bytes())
    };
    match read {
        Ok(progress) if progress.ended => Ok(Attempt { call: None, provider, progress, over: true }),
        _ => Err(Broken::Request(status)),
    }
}

/// Reads until something may be handed on, or the answer is over.
async fn first(open: &mut Open, live: &mut Attempt, out: &Out) -> Result<(), Broken> {
    let media = live.call.as_ref().map_or("", |call| call.head.media.as_str());
    if open.turn.stream != (media == "text/event-stream") {
        return Err(Broken::Call(CallError::Garbage("media type")));
    }
    if !open.turn.stream {
        return read_whole(open, live).await;
    }
    while out.is_empty() && !live.over && !live.progress.ended {
        burst(open, live, out).await?;
    }
    Ok(())
}

/// Waits while there is no contact: nothing is read or released meanwhile.
pub async fn contact(turn: &Turn) -> Result<(), Ended> {
    while !turn.worker.relay.lease.fresh() {
        count(&turn.worker.relay.metrics.paused);
        turn.running.pause(turn.worker.now.get());
        turn.running.or_ended(turn.running.resumed()).await?;
    }
    Ok(())
}

/// Reads one burst and releases what the rules allow. Interventions are stored before their ids go on.
pub async fn burst(open: &mut Open, live: &mut Attempt, out: &Out) -> Result<(), Broken> {
    contact(&open.turn).await?;
    let Some(call) = live.call.as_mut() else { return Ok(()) };
    let (worker, running) = (&open.turn.worker, &open.turn.running);
    let patience = if live.progress.closing { LAST_WORDS_MS } else { live.provider.deadlines.idle };
    running.until(worker.now.get() + patience, "idle");
    let scan = open.scan.as_mut().ok_or(Broken::Call(CallError::Garbage("no scan")))?;
    // Where this burst starts in `out`: known only when it is written, for the client reads `out` while we wait.
    let mut before = usize::MAX;
    let read = poll_fn(|cx| {
        if let Poll::Ready(why) = running.poll_ended(cx) {
            return Poll::Ready(Err(Broken::Ended(why)));
        }
        let mut scratch = worker.scratch.borrow_mut();
        let step = match ready!(call.poll_body(cx, &mut scratch)) {
            Err(e) => Err(Broken::Call(e)),
            Ok(0) => Ok(None),
            Ok(n) => out.with(|out| {
                before = out.len();
                scan.bytes(&scratch[..n], out).map(Some).map_err(Broken::Answer)
            }),
        };
        Poll::Ready(step)
    })
    .await;
    match read {
        Ok(Some(progress)) => live.progress = progress,
        // What the end marker still waits for did not come: the answer itself is whole.
        Err(Broken::Ended(Ended::Timeout(_))) if live.progress.closing => live.over = true,
        Ok(None) => live.over = true,
        Err(broken) => {
            out.with(|out| out.truncate(before));
            return Err(broken);
        }
    }
    if call.bytes_read() > limits::PROVIDER_STREAM_BYTES {
        return Err(Broken::Call(CallError::Garbage("stream too long")));
    }
    let made = scan.interventions();
    if !made.is_empty() {
        let held = out.with(|out| out.split_off(before));
        open.disclose(&made, "out").await?;
        out.with(|out| out.extend_from_slice(&held));
    }
    open.note_held();
    Ok(())
}

/// Reads a whole answer and scans it. Nothing of it goes out before the result is recorded.
async fn read_whole(open: &mut Open, live: &mut Attempt) -> Result<(), Broken> {
    let Some(call) = live.call.as_mut() else { return Ok(()) };
    let (worker, running) = (&open.turn.worker, &open.turn.running);
    let mut whole = Vec::new();
    loop {
        contact(&open.turn).await?;
        running.until(worker.now.get() + live.provider.deadlines.idle, "idle");
        let got = poll_fn(|cx| {
            if let Poll::Ready(why) = running.poll_ended(cx) {
                return Poll::Ready(Err(Broken::Ended(why)));
            }
            let mut scratch = worker.scratch.borrow_mut();
            let got = ready!(call.poll_body(cx, &mut scratch)).map_err(Broken::Call)?;
            whole.extend_from_slice(&scratch[..got]);
            Poll::Ready(Ok(got))
        })
        .await?;
        if got == 0 {
            break;
        }
        if whole.len() > limits::PROVIDER_BODY_BYTES {
            return Err(Broken::Call(CallError::Garbage("answer too long")));
        }
    }
    let scan = open.scan.as_mut().ok_or(Broken::Call(CallError::Garbage("no scan")))?;
    live.progress = scan.body(&whole).map_err(Broken::Answer)?;
    live.over = true;
    Ok(())
}

/// Gives the connection back if the answer's last byte has come by now, and closes it if not: the provider
/// of an answer that a rule ended is not listened to any longer.
pub async fn over(turn: &Turn, mut call: Call, name: &Arc<str>) {
    let ended = poll_fn(|cx| {
        let mut scratch = turn.worker.scratch.borrow_mut();
        Poll::Ready(matches!(call.poll_body(cx, &mut scratch), Poll::Ready(Ok(0))))
    });
    if ended.await {
        provider::give_back(&turn.worker, name, call);
    }
}
