//! Steps 6 to 9 of a turn: call, scan out and label, record the result, end. Failover ends with the first
//! bytes that are handed on; the end marker waits for the result entry.
use super::asked::Asked;
use super::body::{Out, TurnBody, error_event};
use super::open::{End, Open, Turn};
use super::running::Ended;
use crate::body::Source;
use crate::config::Provider;
use crate::errors::{self, ApiError, Code};
use crate::limits;
use crate::metrics::count;
use crate::plan::HTTP_FORMAT;
use crate::provider::conn::{Call, CallError};
use crate::provider::{self, Failed, Outgoing};
use crate::proxy::{self, Asker};
use bytes::Bytes;
use dragoman_engine::answer::{AnswerError, Progress, Summary};
use http::{HeaderMap, HeaderValue, Response, header};
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
struct Live {
    /// None where the provider's error itself is the answer.
    call: Option<Call>,
    provider: Arc<Provider>,
    progress: Progress,
    over: bool,
}

/// Milliseconds that usage and the provider's own end may still take after the last finish reason.
const LAST_WORDS_MS: u64 = 2_000;
/// Client errors that are about us, not about the request: another attempt may do better.
const OURS: [u16; 3] = [401, 403, 404];

/// The answer of the first attempt that gives one.
pub async fn answer(
    mut open: Box<Open>,
    asked: &Asked,
    caller: &HeaderMap,
) -> Result<Response<Source>, ApiError> {
    let out = Rc::new(Out::default());
    let called = Instant::now();
    let mut last = Broken::Call(CallError::Garbage("no attempt"));
    for number in 0..open.turn.plan.plan.attempts.len() {
        match begin(&mut open, asked, caller, number, &out).await {
            Ok(live) => {
                measure(&open.turn, called);
                return if open.turn.stream {
                    Ok(streamed(open, live, out))
                } else {
                    whole(open, live).await
                };
            }
            Err(broken) => {
                count(&open.turn.worker.relay.metrics.attempts_failed);
                out.with(Vec::clear);
                log_attempt(&open, number, &broken);
                let again = matches!(&broken, Broken::Call(_) | Broken::Answer(_));
                last = broken;
                if !again {
                    break;
                }
            }
        }
    }
    failed(&mut open, last).await
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
) -> Result<Live, Broken> {
    let (name, model) = {
        let attempt = &open.turn.plan.plan.attempts[number];
        (attempt.provider.clone(), attempt.model.clone())
    };
    let provider = open.turn.plan.config.providers.get(&name).cloned();
    let provider = provider.ok_or(Broken::Call(CallError::Garbage("not a registered provider")))?;
    if provider.closed {
        return Err(Broken::Call(CallError::Broken("its credential cannot be read")));
    }
    let body = asked.upstream(&model);
    open.scan = Some(asked.scan_out(&open.turn, &provider));
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
    match provider::attempt(&worker, &running, &provider, &outgoing).await {
        Ok(call) => {
            let progress = Progress { ended: false, closing: false };
            let mut live = Live { call: Some(call), provider, progress, over: false };
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
    let asker =
        Asker { principal: Some(&turn.who), lang: turn.lang, address: &turn.address, hide_credential: true };
    let mut fields = proxy::identity(&asker);
    fields.push(("dragoman-turn", turn.id.clone()));
    fields
}

/// A deadline before the first delivered byte leaves the turn to the next attempt.
fn retried(running: &super::running::Running, broken: Broken) -> Broken {
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
) -> Result<Live, Broken> {
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
        Ok(progress) if progress.ended => Ok(Live { call: None, provider, progress, over: true }),
        _ => Err(Broken::Request(status)),
    }
}

/// Reads until something may be handed on, or the answer is over.
async fn first(open: &mut Open, live: &mut Live, out: &Out) -> Result<(), Broken> {
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
async fn contact(turn: &Turn) -> Result<(), Ended> {
    while !turn.worker.relay.lease.fresh() {
        count(&turn.worker.relay.metrics.paused);
        turn.running.pause(turn.worker.now.get());
        turn.running.or_ended(turn.running.resumed()).await?;
    }
    Ok(())
}

/// Reads one burst and releases what the rules allow. Interventions are stored before their ids go on.
async fn burst(open: &mut Open, live: &mut Live, out: &Out) -> Result<(), Broken> {
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
async fn read_whole(open: &mut Open, live: &mut Live) -> Result<(), Broken> {
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

/// The head of an answer: its receipt lets the caller prove the turn later.
pub fn response(open: &Open, index: Option<u64>, source: Source) -> Response<Source> {
    let turn = &open.turn;
    let mut response = Response::new(source);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media(turn.stream)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let receipt = index.map(|index| turn.salt.receipt(&turn.id, turn.worker.relay.log.id(), index));
    if let Some(Ok(receipt)) = receipt.map(HeaderValue::try_from) {
        headers.insert("dragoman-receipt", receipt);
    }
    let labels = &turn.plan.plan.labels;
    if open.intent.is_some() && labels.iter().any(|label| label.format.as_deref() == Some(HTTP_FORMAT)) {
        headers.insert("ai-disclosure", HeaderValue::from_static("mode=ai-originated"));
    }
    if !open.disclosed.is_empty()
        && let Ok(ids) = HeaderValue::try_from(open.disclosed.join(","))
    {
        headers.insert("dragoman-interventions", ids);
    }
    response
}

/// The media type of an answer in the caller's shape.
fn media(stream: bool) -> &'static str {
    if stream { "text/event-stream; charset=utf-8" } else { "application/json" }
}

fn streamed(open: Box<Open>, live: Live, out: Rc<Out>) -> Response<Source> {
    let metrics = Arc::clone(&open.turn.worker.relay.metrics);
    let lang = open.turn.lang;
    let mut answer = response(&open, open.intent, Source::Bytes(None));
    let body = TurnBody::new(carry_on(open, live, Rc::clone(&out)), out, metrics, lang);
    *answer.body_mut() = Source::Turn(Box::new(body));
    answer
}

/// The rest of a streamed answer, inside its body.
async fn carry_on(mut open: Box<Open>, mut live: Live, out: Rc<Out>) {
    let mut outcome = to_end(&mut open, &mut live, &out).await;
    if outcome.is_ok() {
        let mut tail = Vec::new();
        outcome = finish(&mut open, live, &mut tail).await;
        if outcome.is_ok() {
            out.with(|out| out.append(&mut tail));
        }
    }
    if let Err(broken) = outcome {
        let mut last = Vec::new();
        break_off(&mut open, broken, &mut last).await;
        out.with(|out| out.append(&mut last));
    }
}

async fn to_end(open: &mut Open, live: &mut Live, out: &Out) -> Result<(), Broken> {
    while !live.over && !live.progress.ended {
        open.turn.running.until(0, "");
        open.turn.running.or_ended(out.room()).await?;
        burst(open, live, out).await?;
    }
    Ok(())
}

/// Steps 8 and 9: labels, result, and only then `tail`, which holds the end marker.
async fn finish(open: &mut Open, live: Live, tail: &mut Vec<u8>) -> Result<(), Broken> {
    contact(&open.turn).await?;
    open.turn.running.unbounded();
    let scan = open.scan.as_mut().ok_or(Broken::Call(CallError::Garbage("no scan")))?;
    let summary = scan.end(tail).map_err(Broken::Answer)?;
    let made = scan.interventions();
    open.disclose(&made, "out").await?;
    let end = if summary.refused { End::REFUSED } else { End::FINISHED };
    open.record_result(&summary, &end).await?;
    if let Some(call) = live.call {
        over(&open.turn, call, &live.provider.name).await;
    }
    Ok(())
}

/// Gives the connection back if the answer's last byte has come by now, and closes it if not: the provider
/// of an answer that a rule ended is not listened to any longer.
async fn over(turn: &Turn, mut call: Call, name: &Arc<str>) {
    let ended = poll_fn(|cx| {
        let mut scratch = turn.worker.scratch.borrow_mut();
        Poll::Ready(matches!(call.poll_body(cx, &mut scratch), Poll::Ready(Ok(0))))
    });
    if ended.await {
        provider::give_back(&turn.worker, name, call);
    }
}

async fn whole(mut open: Box<Open>, live: Live) -> Result<Response<Source>, ApiError> {
    let mut tail = Vec::new();
    match finish(&mut open, live, &mut tail).await {
        Ok(()) => Ok(response(&open, open.intent, Source::from(Bytes::from(tail)))),
        Err(broken) => failed(&mut open, broken).await,
    }
}

/// A turn that ends before anything of it was handed on: the notice of a change, or an error object.
async fn failed(open: &mut Open, broken: Broken) -> Result<Response<Source>, ApiError> {
    let mut last = Vec::new();
    match break_off(open, broken, &mut last).await {
        None => {
            let source = Source::from(Bytes::from(last));
            Ok(response(open, open.intent, source))
        }
        Some(error) => Err(error),
    }
}

/// Records how a turn broke off. `last` gets what a stream still says: the notice of a change with its end
/// marker, or an error event without one. Gives the error, unless a notice was the answer.
async fn break_off(open: &mut Open, broken: Broken, last: &mut Vec<u8>) -> Option<ApiError> {
    open.turn.running.unbounded();
    if let Broken::Ended(Ended::Changed(stop)) = &broken {
        let stopped = ApiError::from(&errors::STOPPED);
        let text = stop.notice.as_ref().map_or(stopped.message(open.turn.lang), |t| t.get(open.turn.lang));
        match stopped_with(open, text, last).await {
            Ok(()) => return None,
            Err(e) => return Some(said(open, e, last)),
        }
    }
    let (error, status) = error_of(broken);
    let summary = abort(open, &error, last);
    let end = End { status, error: Some(&error.code) };
    match open.record_result(&summary, &end).await {
        Ok(_) => Some(error),
        Err(e) => Some(said(open, e, last)),
    }
}

async fn stopped_with(open: &mut Open, text: &str, last: &mut Vec<u8>) -> Result<(), ApiError> {
    let Some(scan) = open.scan.as_mut() else { return Err((&errors::STOPPED).into()) };
    let summary = scan.stop_with_notice(text, last);
    let made = scan.interventions();
    open.disclose(&made, "out").await?;
    let end = End { status: "refused", error: Some("stopped") };
    open.record_result(&summary, &end).await.map(drop)
}

/// `last` says only the error.
fn said(open: &Open, error: ApiError, last: &mut Vec<u8>) -> ApiError {
    last.clear();
    error_event(&error.body(open.turn.lang), last);
    error
}

fn abort(open: &mut Open, error: &ApiError, last: &mut Vec<u8>) -> Summary {
    let message = error.message(open.turn.lang).to_owned();
    open.scan.as_mut().map(|scan| scan.abort(&error.code, &message, last)).unwrap_or_default()
}

/// What the caller reads, and the entry's status.
fn error_of(broken: Broken) -> (ApiError, &'static str) {
    let row = |row: &'static Code| ApiError::from(row);
    match broken {
        Broken::Call(CallError::Timeout(_)) | Broken::Ended(Ended::Timeout(_)) => {
            (row(&errors::PROVIDER_TIMEOUT), "failed")
        }
        Broken::Call(CallError::Garbage(_)) => (row(&errors::PROVIDER_GARBAGE), "failed"),
        Broken::Call(_) => (row(&errors::PROVIDER_FAILED), "failed"),
        Broken::Answer(e) => {
            let known = errors::ALL.iter().find(|known| known.code == e.code);
            (row(known.copied().unwrap_or(&errors::PROVIDER_GARBAGE)), "failed")
        }
        Broken::Request(_) => (row(&errors::PROVIDER_REFUSED), "failed"),
        Broken::Ended(Ended::NoContact) => (row(&errors::NO_CONTACT), "interrupted"),
        Broken::Ended(Ended::Restart) => (row(&errors::STOPPING), "interrupted"),
        Broken::Ended(Ended::Changed(_)) => (row(&errors::STOPPED), "refused"),
        Broken::Inside(e) => (e, "failed"),
    }
}
