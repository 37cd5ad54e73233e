//! Steps 7 to 9 of a turn: scan out and label, record the result, end. The end marker waits for the result entry, of a
//! stored turn for its outcome too.
use super::asked::Asked;
use super::attempt::{self, Attempt, Broken};
use super::body::{Out, TurnBody, error_event};
use super::open::{End, Open};
use super::running::Ended;
use crate::body::Source;
use crate::errors::{self, ApiError, Code};
use crate::plan::HTTP_FORMAT;
use crate::provider::conn::CallError;
use bytes::Bytes;
use dragoman_engine::answer::{AnswerError, Summary};
use http::{HeaderMap, HeaderValue, Response, header};
use std::rc::Rc;
use std::sync::Arc;

/// The answer of a stateless turn: it lives in the body of its response, and ends with it.
pub async fn answer(
    mut open: Box<Open>,
    asked: &Asked,
    caller: &HeaderMap,
) -> Result<Response<Source>, ApiError> {
    let out = Rc::new(Out::default());
    let whole = match attempt::first_of(&mut open, asked, caller, &out).await {
        Ok(attempt) if open.turn.stream => return Ok(streamed(open, attempt, out)),
        Ok(attempt) => whole(&mut open, attempt).await?,
        Err(broken) => failed(&mut open, broken).await?,
    };
    Ok(response(&open, open.intent, Source::from(whole)))
}

/// The head of an answer: its receipt lets the caller prove the turn later.
pub fn response(open: &Open, index: Option<u64>, source: Source) -> Response<Source> {
    let turn = &open.turn;
    let mut response = Response::new(source);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media(turn.stream)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // The salt of a conversation's turn lies beside its text.
    let index = index.filter(|_| open.conversation().is_none());
    let receipt = index.map(|index| turn.salt.receipt(&turn.id, turn.worker.relay.log.id(), index));
    if let Some(Ok(receipt)) = receipt.map(HeaderValue::try_from) {
        headers.insert("dragoman-receipt", receipt);
    }
    let labels = &turn.plan.plan.labels;
    let said = open.intent.is_some() || open.replays.is_some();
    if said && labels.iter().any(|label| label.format.as_deref() == Some(HTTP_FORMAT)) {
        headers.insert("ai-disclosure", HeaderValue::from_static("mode=ai-originated"));
    }
    if !open.disclosed.is_empty()
        && let Ok(ids) = HeaderValue::try_from(open.disclosed.join(","))
    {
        headers.insert("dragoman-interventions", ids);
    }
    open.account.fields(headers);
    if let Some(Ok(id)) = turn.conversation.as_deref().map(HeaderValue::from_str) {
        headers.insert("dragoman-conversation", id);
        if let Ok(id) = HeaderValue::from_str(open.replays.as_deref().unwrap_or(&turn.id)) {
            headers.insert("dragoman-turn", id);
        }
    }
    response
}

/// The media type of an answer in the caller's shape.
fn media(stream: bool) -> &'static str {
    if stream { "text/event-stream; charset=utf-8" } else { "application/json" }
}

fn streamed(open: Box<Open>, attempt: Attempt, out: Rc<Out>) -> Response<Source> {
    let metrics = Arc::clone(&open.turn.worker.relay.metrics);
    let lang = open.turn.lang;
    let mut answer = response(&open, open.intent, Source::Bytes(None));
    let carried = Rc::clone(&out);
    let future = async move {
        let mut open = open;
        carry_on(&mut open, attempt, &carried).await;
    };
    *answer.body_mut() = Source::Turn(Box::new(TurnBody::new(future, out, metrics, lang)));
    answer
}

/// The rest of a streamed answer; its end is in `out`.
pub async fn carry_on(open: &mut Open, mut attempt: Attempt, out: &Out) {
    let mut outcome = to_end(open, &mut attempt, out).await;
    if outcome.is_ok() {
        let mut tail = Vec::new();
        outcome = finish(open, attempt, &mut tail).await;
        if outcome.is_ok() {
            out.with(|out| out.append(&mut tail));
        }
    }
    if let Err(broken) = outcome {
        let mut last = Vec::new();
        break_off(open, broken, &mut last).await;
        out.with(|out| out.append(&mut last));
    }
}

async fn to_end(open: &mut Open, attempt: &mut Attempt, out: &Out) -> Result<(), Broken> {
    loop {
        let too_long = |_| Broken::Answer(AnswerError { code: "provider_answer_too_long", detail: None });
        out.flush().map_err(too_long)?;
        if attempt.over || attempt.progress.ended {
            return Ok(());
        }
        open.turn.running.until(0, "");
        open.turn.running.or_ended(out.room()).await?;
        attempt::burst(open, attempt, out).await?;
    }
}

/// Steps 8 and 9: labels, result, and only then `tail`, which holds the end marker.
async fn finish(open: &mut Open, attempt: Attempt, tail: &mut Vec<u8>) -> Result<(), Broken> {
    attempt::contact(&open.turn).await?;
    open.turn.running.unbounded();
    let scan = open.scan.as_mut().ok_or(Broken::Call(CallError::Garbage("no scan")))?;
    let summary = scan.end(tail).map_err(Broken::Answer)?;
    let made = scan.interventions();
    open.disclose(&made, "out").await?;
    let end = if summary.refused { End::REFUSED } else { End::FINISHED };
    open.record_result(&summary, &end).await?;
    if let Some(call) = attempt.call {
        attempt::over(&open.turn, call, &attempt.provider.name).await;
    }
    Ok(())
}

/// An answer that is not streamed.
pub async fn whole(open: &mut Open, attempt: Attempt) -> Result<Bytes, ApiError> {
    let mut tail = Vec::new();
    match finish(open, attempt, &mut tail).await {
        Ok(()) => Ok(Bytes::from(tail)),
        Err(broken) => failed(open, broken).await,
    }
}

/// A turn that ends before anything of it was handed on: what is the answer all the same, or an error object.
pub async fn failed(open: &mut Open, broken: Broken) -> Result<Bytes, ApiError> {
    let mut last = Vec::new();
    match break_off(open, broken, &mut last).await {
        None => Ok(Bytes::from(last)),
        Some(error) => Err(error),
    }
}

/// Records how a turn broke off. `last` gets what a stream still says: the notice of a change with its end
/// marker, or an error event without one. Gives the error, unless a notice was the answer.
pub async fn break_off(open: &mut Open, broken: Broken, last: &mut Vec<u8>) -> Option<ApiError> {
    open.turn.running.unbounded();
    if open.settled {
        // It has its one result already: what failed is that nobody could wait for it.
        let (error, _) = error_of(broken);
        return Some(said(open, error, last));
    }
    if let Broken::Ended(Ended::Changed(stop)) = &broken {
        let stopped = ApiError::from(&errors::STOPPED);
        let text = stop.notice.as_ref().map_or(stopped.message(open.turn.lang), |t| t.get(open.turn.lang));
        match stopped_with(open, text, last).await {
            Ok(()) => return None,
            Err(e) => return Some(said(open, e, last)),
        }
    }
    if matches!(broken, Broken::Ended(Ended::Stopped)) {
        return match ended_early(open, last).await {
            Ok(()) => None,
            Err(e) => Some(said(open, e, last)),
        };
    }
    let (error, status) = error_of(broken);
    let summary = abort(open, &error, last);
    let end = if status == "cancelled" { End::CANCELLED } else { End::failed(status, &error) };
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
    open.record_result(&summary, &End::CHANGED).await.map(drop)
}

/// Who asked ended the answer: what was said stands, with a proper end.
async fn ended_early(open: &mut Open, last: &mut Vec<u8>) -> Result<(), ApiError> {
    let Some(scan) = open.scan.as_mut() else { return Err((&errors::INTERNAL).into()) };
    let summary = scan.end_early(last);
    let made = scan.interventions();
    open.disclose(&made, "out").await?;
    open.record_result(&summary, &End::STOPPED).await.map(drop)
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
pub fn error_of(broken: Broken) -> (ApiError, &'static str) {
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
        Broken::Ended(Ended::Left) => (row(&errors::CLIENT_GONE), "cancelled"),
        Broken::Ended(Ended::Stopped) => (row(&errors::INTERNAL), "failed"),
        Broken::Inside(e) => (e, "failed"),
    }
}
