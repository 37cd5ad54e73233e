//! Step 1: a connection and its requests' heads, checked before anything else is done. The order of a
//! turn after that is in `carry`. Plain HTTP on loopback only; TLS and HTTP/2 are added beside `public`.
pub mod guard;
pub mod routes;

use crate::body::{Answering, RelayBody, Source};
use crate::carry;
use crate::errors::{self, ApiError};
use crate::identify::{self, Credential};
use crate::limits;
use crate::metrics::count;
use crate::proxy::{self, Asker};
use crate::state::Slot;
use crate::wire::{Address, Lang, Principal};
use crate::worker::Worker;
use guard::{FAULT_TARGET, Guard, Vitals};
use http::{HeaderMap, Method, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use routes::Route;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// The scope that the list of models needs.
const MODELS_SCOPE: &str = "models";

/// By which door a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The public listener.
    Public,
    /// `turn.sock`: control asks for a user of its pages.
    Socket,
}

/// Serves a connection of the public listener.
pub fn public(worker: &Rc<Worker>, stream: std::net::TcpStream, slot: Slot) {
    let ready = stream.set_nonblocking(true).and_then(|()| {
        stream.set_nodelay(true)?;
        tokio::net::TcpStream::from_std(stream)
    });
    match ready {
        Ok(stream) => serve(worker, stream, Door::Public, slot),
        Err(e) => tracing::warn!(error = %e, "a connection was lost on its way to a thread"),
    }
}

/// Serves a connection of `turn.sock`, whose peer was checked.
pub fn socket(worker: &Rc<Worker>, stream: std::os::unix::net::UnixStream, slot: Slot) {
    match stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream)) {
        Ok(stream) => serve(worker, stream, Door::Socket, slot),
        Err(e) => tracing::warn!(error = %e, "a connection was lost on its way to a thread"),
    }
}

fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: &Rc<Worker>,
    stream: S,
    door: Door,
    slot: Slot,
) {
    count(&worker.relay.metrics.connections);
    let worker = Rc::clone(worker);
    let vitals = worker.watch(door);
    tokio::task::spawn_local(async move {
        let _slot = slot;
        let io = TokioIo::new(Guard::new(stream, Rc::clone(&vitals), Rc::clone(&worker.now)));
        let service = service_fn(|request| {
            let answering = Answering::begin(&vitals, &worker.now);
            answer(Rc::clone(&worker), Rc::clone(&vitals), door, request, answering)
        });
        let connection = http1::Builder::new()
            .max_headers(limits::HEAD_FIELDS)
            .max_buf_size(limits::WRITE_BUFFER_BYTES)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let drained = worker.drain.notified();
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = drained => None,
        };
        if ended.is_none() || worker.draining.get() {
            connection.as_mut().graceful_shutdown();
            // An error here is a client that left; its turn recorded itself.
            drop(connection.await);
        }
    });
}

async fn answer(
    worker: Rc<Worker>,
    vitals: Rc<Vitals>,
    door: Door,
    request: Request<Incoming>,
    answering: Answering,
) -> Result<Response<RelayBody>, Infallible> {
    let said = language(door, request.headers());
    let lang = said.unwrap_or_default();
    let outcome = match admit(&worker, &vitals, door, &request) {
        Ok(route) => carry::caught(&worker, Box::pin(dispatch(&worker, door, route, said, request))).await,
        Err(e) => Err(e),
    };
    let response = outcome.unwrap_or_else(|e| {
        count(&worker.relay.metrics.errors);
        refusal(&e, lang)
    });
    let (parts, source) = response.into_parts();
    Ok(Response::from_parts(parts, RelayBody::new(source, answering)))
}

/// The answer that says what was wrong.
pub fn refusal(error: &ApiError, lang: Lang) -> Response<Source> {
    error
        .head(lang)
        .body(Source::from(error.body(lang)))
        .unwrap_or_else(|_| Response::new(Source::Bytes(None)))
}

fn language(door: Door, headers: &HeaderMap) -> Option<Lang> {
    let name = if door == Door::Socket { "dragoman-locale" } else { "accept-language" };
    Lang::said(headers.get(name).and_then(|v| v.to_str().ok()))
}

/// Checks the head and finds the route.
fn admit(
    worker: &Worker,
    vitals: &Vitals,
    door: Door,
    request: &Request<Incoming>,
) -> Result<Route, ApiError> {
    if request.uri().path() == FAULT_TARGET
        && let Some(fault) = vitals.take_fault()
    {
        return Err(fault.into());
    }
    origin_form(request.uri())?;
    if door == Door::Socket {
        return routes::turn(request.uri().path())
            .map(Route::Turn)
            .ok_or_else(|| (&errors::NOT_FOUND).into());
    }
    let config = worker.relay.config.load();
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("");
    if !config.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host)) {
        return Err((&errors::WRONG_HOST).into());
    }
    if config.local && request.headers().keys().any(proxy::is_forwarding) {
        return Err((&errors::FORWARDED_LOCALLY).into());
    }
    routes::of(request.method(), request.uri().path())
}

/// Only `/path` targets: a host in the target could differ from the one that was checked.
fn origin_form(uri: &Uri) -> Result<(), ApiError> {
    let plain = uri.scheme().is_none() && uri.authority().is_none() && uri.path().starts_with('/');
    if plain { Ok(()) } else { Err((&errors::BAD_HEAD).into()) }
}

async fn dispatch(
    worker: &Rc<Worker>,
    door: Door,
    route: Route,
    said: Option<Lang>,
    request: Request<Incoming>,
) -> Result<Response<Source>, ApiError> {
    let lang = said.unwrap_or_default();
    match route {
        Route::Turn(turn) => carry::turn(worker, door, turn, said, request).await,
        Route::Control => {
            let (who, address) = identified(worker, door, request.method(), request.headers()).await?;
            if routes::is_models(request.uri().path()) && !who.scopes.iter().any(|s| s == MODELS_SCOPE) {
                return Err((&errors::PERMISSION).into());
            }
            pages(worker, request, Some(&who), &address, lang, true).await
        }
        Route::Healthz => Ok(plain("alive\n")),
        Route::Readyz => readyz(worker),
        Route::Pages => {
            let (who, address) = visitor(worker, &request).await;
            pages(worker, request, who.as_deref(), &address, lang, false).await
        }
    }
}

async fn pages(
    worker: &Worker,
    request: Request<Incoming>,
    principal: Option<&Principal>,
    address: &Address,
    lang: Lang,
    hide_credential: bool,
) -> Result<Response<Source>, ApiError> {
    worker.pages.pass(request, &Asker { principal, lang, address, hide_credential }).await
}

/// What is seen of a public request's origin; a look-up of countries comes with the public edge.
fn seen_address() -> Address {
    Address { country: None, kind: "unknown".into(), peer: "loopback".into() }
}

/// The principal of a request, which has to carry a credential.
pub async fn identified(
    worker: &Worker,
    door: Door,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(Arc<Principal>, Address), ApiError> {
    let relay = &worker.relay;
    if !relay.lease.fresh() && !relay.lease.wait().await {
        return Err((&errors::NO_CONTACT).into());
    }
    let (credential, address) = if door == Door::Socket {
        socket_credential(headers)?
    } else {
        let config = relay.config.load();
        let sent = identify::credential(method, headers, &config.session_cookie, &config.origins)?;
        (sent.ok_or(&errors::MISSING_CREDENTIAL)?, seen_address())
    };
    let user_token = headers.get("dragoman-user-token").and_then(|v| v.to_str().ok());
    let who = identify::principal(relay, &worker.control, &credential, user_token, &address.peer).await?;
    Ok((who, address))
}

/// Who visits a page, when a session says so. A page is shown to anybody; it decides what to show.
async fn visitor(worker: &Worker, request: &Request<Incoming>) -> (Option<Arc<Principal>>, Address) {
    let config = worker.relay.config.load_full();
    let sent =
        identify::credential(request.method(), request.headers(), &config.session_cookie, &config.origins);
    let address = seen_address();
    let Ok(Some(session @ Credential::Session { .. })) = sent else {
        return (None, address);
    };
    if !worker.relay.lease.fresh() {
        return (None, address);
    }
    let who = identify::principal(&worker.relay, &worker.control, &session, None, &address.peer).await;
    (who.ok(), address)
}

fn socket_credential(headers: &HeaderMap) -> Result<(Credential, Address), ApiError> {
    let field = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    let principal = field("dragoman-principal").ok_or(&errors::MISSING_CREDENTIAL)?;
    let channel = field("dragoman-channel").unwrap_or("web");
    let mut address: Address = match field("dragoman-address") {
        Some(json) => {
            serde_json::from_str(json).map_err(|_| ApiError::about(&errors::BAD_HEAD, "dragoman-address"))?
        }
        None => Address { country: None, kind: "unknown".into(), peer: "".into() },
    };
    address.peer = "socket".into();
    let credential =
        Credential::Socket { principal: principal.into(), channel: channel.into(), address: address.clone() };
    Ok((credential, address))
}

fn plain(text: &'static str) -> Response<Source> {
    let mut response = Response::new(Source::from(bytes::Bytes::from_static(text.as_bytes())));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Ready: contact within the lease, a journal that writes, and not about to stop.
fn readyz(worker: &Worker) -> Result<Response<Source>, ApiError> {
    let relay = &worker.relay;
    if relay.is_stopping() {
        return Err((&errors::STOPPING).into());
    }
    if !relay.lease.fresh() {
        return Err((&errors::NO_CONTACT).into());
    }
    if !relay.log.is_healthy() {
        return Err((&errors::JOURNAL).into());
    }
    if !relay.rules.is_ready() {
        return Err((&errors::RULES_NOT_READY).into());
    }
    Ok(plain("ready\n"))
}
