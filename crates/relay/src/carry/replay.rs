//! The answer to a twin: what the first turn of its key got, through today's scan out, labels and notices. Never a call
//! of a model; the result entry that records it says whose answer it was.
use super::answer::response;
use super::asked::Asked;
use super::attempt::Broken;
use super::open::{End, Open};
use crate::accept;
use crate::body::Source;
use crate::errors::ApiError;
use crate::wire::Lang;
use bytes::Bytes;
use dragoman_engine::answer::{AnswerError, AnswerScan, Summary, Usage, record_events};
use http::{HeaderValue, Response};
use serde_json::Value;

/// The header that says that nothing was asked anew.
const REPLAYED: &str = "dragoman-replayed";

/// A twin that finished.
pub async fn finished(
    mut open: Box<Open>,
    asked: &Asked,
    first: String,
    record: &Value,
) -> Result<Response<Source>, ApiError> {
    let mut answer = Vec::new();
    open.scan = Some(asked.scan_again(&open, &first));
    let mut summary = match again(&mut open, record, &mut answer) {
        Ok(summary) => summary,
        Err(e) => return Err(super::answer::error_of(Broken::Answer(e)).0),
    };
    summary.usage = Usage::none();
    let made = open.scan.as_mut().map(AnswerScan::interventions).unwrap_or_default();
    open.disclose(&made, "out").await?;
    open.replays = Some(first);
    let end = if summary.refused { End::REFUSED } else { End::FINISHED };
    let index = open.record_result(&summary, &end).await?;
    let mut response = response(&open, Some(index), Source::from(Bytes::from(answer)));
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn again(open: &mut Open, record: &Value, answer: &mut Vec<u8>) -> Result<Summary, AnswerError> {
    let garbage = || AnswerError { code: "provider_garbage", detail: None };
    let scan = open.scan.as_mut().ok_or_else(garbage)?;
    if open.turn.stream {
        let events = record_events(record).ok_or_else(garbage)?;
        scan.bytes(&events, answer)?;
    } else {
        scan.body(record.to_string().as_bytes())?;
    }
    scan.end(answer)
}

/// A twin that failed gets the same error.
pub fn failed(error: &ApiError, lang: Lang) -> Response<Source> {
    let mut response = accept::refusal(error, lang);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
