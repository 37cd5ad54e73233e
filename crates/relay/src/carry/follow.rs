//! Reading a turn of a conversation again while it runs, and stopping it. What does not run here, or is not the
//! caller's, is control's to answer: the same answer for both.
use super::body::error_event;
use super::live::{LiveTurn, Revoked, Unread};
use crate::accept::routes;
use crate::body::Source;
use crate::errors::{self, ApiError};
use crate::limits;
use crate::state::Relay;
use crate::wire::{Lang, Principal};
use http::{HeaderValue, Response, Uri, header};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

/// Who asks, as known since the epoch of changes that is named.
pub struct Asker {
    pub who: Arc<Principal>,
    pub epoch: u64,
    pub lang: Lang,
}

/// What is answered here of a request to read or stop a turn. Nothing where control answers.
pub async fn here(
    relay: &Arc<Relay>,
    route: routes::Route,
    asker: Asker,
    uri: &Uri,
) -> Result<Option<Response<Source>>, ApiError> {
    let who = &asker.who;
    match route {
        routes::Route::Follow => follow(relay, asker, uri),
        routes::Route::Stop => stop(relay, who, uri.path()).await.map(|()| None),
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
fn follow(relay: &Arc<Relay>, asker: Asker, uri: &Uri) -> Result<Option<Response<Source>>, ApiError> {
    let Some(live) = found(relay, &asker.who, uri.path()) else { return Ok(None) };
    let Some(after) = after(uri.query())? else { return Ok(None) };
    let reader = match live.reader(Some(after)) {
        Ok(reader) => reader,
        Err(Unread::Ahead) => return Err(ApiError::about(&errors::BAD_AFTER, "after")),
        Err(Unread::Crowded) => return Err((&errors::TOO_MANY_READERS).into()),
    };
    let reader = reader.unless(revoked(relay, asker));
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

/// A reader has a credential of its own, perhaps another than the turn's: what stops that ends its reading.
fn revoked(relay: &Arc<Relay>, asker: Asker) -> Revoked {
    let relay = Arc::clone(relay);
    Box::new(move || {
        relay.changes.stopped_since(asker.epoch, &asker.who.tags).then(|| {
            let mut last = Vec::new();
            error_event(&ApiError::from(&errors::STOPPED).body(asker.lang), &mut last);
            last.into()
        })
    })
}

/// `after` of a query; without it the turn is asked for as a document, which control has.
fn after(query: Option<&str>) -> Result<Option<u64>, ApiError> {
    let wrong = || ApiError::about(&errors::BAD_AFTER, "after");
    let mut said = query.unwrap_or("").split('&').filter_map(|pair| pair.strip_prefix("after="));
    match (said.next(), said.next()) {
        (None, _) => Ok(None),
        (Some(number), None) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            number.parse().map(Some).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

/// Ends the turn and waits until it has ended; how it did, control says.
async fn stop(relay: &Relay, who: &Principal, path: &str) -> Result<(), ApiError> {
    let Some(live) = found(relay, who, path) else { return Ok(()) };
    live.stop();
    let over = poll_fn(|cx| live.poll_over(cx));
    let wait = Duration::from_millis(limits::STOP_MS);
    tokio::time::timeout(wait, over).await.map_err(|_| (&errors::NO_CONTACT).into())
}
