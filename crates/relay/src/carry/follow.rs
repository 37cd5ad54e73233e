//! Reading a turn of a conversation again while it runs, and stopping it. What does not run here, or is not the
//! caller's, is control's to answer: the same answer for both.
use super::live::{LiveTurn, Unread};
use crate::accept::routes;
use crate::body::Source;
use crate::errors::{self, ApiError};
use crate::limits;
use crate::state::Relay;
use crate::wire::Principal;
use bytes::Bytes;
use http::{HeaderValue, Response, Uri, header};
use serde_json::json;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

/// What is answered here of a request to read or stop a turn. Nothing where control answers.
pub async fn here(
    relay: &Relay,
    route: routes::Route,
    who: &Principal,
    uri: &Uri,
) -> Result<Option<Response<Source>>, ApiError> {
    match route {
        routes::Route::Follow => follow(relay, who, uri),
        routes::Route::Stop => stop(relay, who, uri.path()).await,
        _ => Ok(None),
    }
}

/// The caller's own turn that the path names, where it runs here.
fn found(relay: &Relay, who: &Principal, path: &str) -> Option<Arc<LiveTurn>> {
    let (conversation, turn) = routes::turn_of(path)?;
    let live = relay.live.find(turn)?;
    let own = live.tenant == who.tenant && live.principal == who.principal;
    (own && live.conversation == conversation).then_some(live)
}

/// The turn from code point `after` on, as a stream.
fn follow(relay: &Relay, who: &Principal, uri: &Uri) -> Result<Option<Response<Source>>, ApiError> {
    let Some(live) = found(relay, who, uri.path()) else { return Ok(None) };
    let after = after(uri.query())?;
    let reader = match live.reader(Some(after)) {
        Ok(reader) => reader,
        Err(Unread::Ahead) => return Err(ApiError::about(&errors::BAD_AFTER, "after")),
        Err(Unread::Crowded) => return Err((&errors::TOO_MANY_READERS).into()),
    };
    let mut response = Response::new(Source::Live(reader));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    for (name, id) in [("dragoman-conversation", &live.conversation), ("dragoman-turn", &live.turn)] {
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(name, id);
        }
    }
    Ok(Some(response))
}

/// `after` of a query; 0 where it is not said.
fn after(query: Option<&str>) -> Result<u64, ApiError> {
    let mut said = query.unwrap_or("").split('&').filter_map(|pair| pair.strip_prefix("after="));
    match (said.next(), said.next()) {
        (None, _) => Ok(0),
        (Some(number), None) if number.bytes().all(|b| b.is_ascii_digit()) => {
            number.parse().map_err(|_| ApiError::about(&errors::BAD_AFTER, "after"))
        }
        _ => Err(ApiError::about(&errors::BAD_AFTER, "after")),
    }
}

/// Ends the turn; answers when it has ended.
async fn stop(relay: &Relay, who: &Principal, path: &str) -> Result<Option<Response<Source>>, ApiError> {
    let Some(live) = found(relay, who, path) else { return Ok(None) };
    live.stop();
    let over = poll_fn(|cx| live.poll_over(cx));
    if tokio::time::timeout(Duration::from_millis(limits::STOP_MS), over).await.is_err() {
        return Err((&errors::NO_CONTACT).into());
    }
    let body = json!({
        "id": live.turn, "object": "conversation.turn", "conversation": live.conversation, "stopped": true,
    });
    let mut response = Response::new(Source::from(Bytes::from(body.to_string())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Some(response))
}
