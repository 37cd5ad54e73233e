//! Step 1: a connection and its requests' heads, checked before anything else is done. The order of a
//! turn after that is in `carry`. HTTP/2 is spoken over TLS alone; both versions pass the same `admit`.
mod door;
mod frames;
pub mod guard;
mod heads;
pub mod routes;
mod streams;
mod who;

pub use door::Door;
pub use who::identified;

use crate::address::Origin;
use crate::address::crowd::{Counted, Crowd};
use crate::body::{Answering, RelayBody, Source};
use crate::carry;
use crate::errors::{self, ApiError, Code};
use crate::limits;
use crate::metrics::count;
use crate::proxy::Asker;
use crate::proxy_protocol;
use crate::state::{Arrived, Relay, Slot};
use crate::tls;
use crate::wire::Lang;
use crate::worker::Worker;
use frames::Frames;
use guard::{Guard, Vitals};
use heads::{FAULT_TARGET, Heads};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use routes::Route;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use streams::Streams;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

/// Browsers come by TLS for a year after each answer.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// What is known of a connection before its first request.
#[derive(Clone, Copy)]
enum Via {
    Socket,
    Public {
        origin: Origin,
        /// It came by our own TLS.
        secure: bool,
    },
}

/// Serves a connection of the public listener.
pub fn public(worker: &Rc<Worker>, arrived: Arrived, slot: Slot) {
    let Arrived { stream, peer, counted } = arrived;
    let ready = stream.set_nonblocking(true).and_then(|()| {
        stream.set_nodelay(true)?;
        tokio::net::TcpStream::from_std(stream)
    });
    let stream = match ready {
        Ok(stream) => stream,
        Err(e) => return tracing::warn!(error = %e, "a connection was lost on its way to a thread"),
    };
    let worker = Rc::clone(worker);
    let config = worker.relay.config.load();
    if worker.relay.edge.tls.is_none() && !config.edge.proxy_protocol {
        let via = Via::Public { origin: Origin::of(peer), secure: false };
        drop(config);
        return serve(&worker, stream, via, (slot, counted));
    }
    drop(config);
    tokio::task::spawn_local(async move {
        if open(&worker, stream, peer, (slot, counted)).await.is_err() {
            // Scanners end like this all the time: a count, not a line each.
            count(&worker.relay.metrics.unclear);
        }
    });
}

type Held = (Slot, Option<Counted>);

/// What comes before HTTP: the PROXY header of a trusted proxy, then TLS.
async fn open(
    worker: &Rc<Worker>,
    mut stream: tokio::net::TcpStream,
    peer: SocketAddr,
    (slot, mut counted): Held,
) -> io::Result<()> {
    let edge = &worker.relay.edge;
    let config = worker.relay.config.load_full();
    let mut origin = Origin::of(peer);
    if config.edge.proxy_protocol {
        if !origin.is_proxy(&config.edge.trusted) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        origin = proxy_protocol::read(&mut stream).await?;
        if let Origin::Peer(client) = origin
            && !config.edge.trusted.contain(client)
        {
            let one = Crowd::take(&edge.crowd, client);
            count_if(one.is_none(), &worker.relay.metrics.crowded);
            counted = Some(one.ok_or(io::ErrorKind::QuotaExceeded)?);
        }
    }
    let Some(tls) = &edge.tls else {
        serve(worker, stream, Via::Public { origin, secure: false }, (slot, counted));
        return Ok(());
    };
    let wait = Duration::from_millis(limits::HANDSHAKE_MS);
    let accepting = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream);
    let stream = tokio::time::timeout(wait, accepting).await??;
    let via = Via::Public { origin, secure: true };
    if stream.get_ref().1.alpn_protocol() == Some(tls::H2) {
        serve_h2(worker, stream, via, (slot, counted));
    } else {
        serve(worker, stream, via, (slot, counted));
    }
    Ok(())
}

fn count_if(happened: bool, counter: &std::sync::atomic::AtomicU64) {
    if happened {
        count(counter);
    }
}

/// Serves a connection of `turn.sock`, whose peer was checked.
pub fn socket(worker: &Rc<Worker>, stream: std::os::unix::net::UnixStream, slot: Slot) {
    match stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream)) {
        Ok(stream) => serve(worker, stream, Via::Socket, (slot, None)),
        Err(e) => tracing::warn!(error = %e, "a connection was lost on its way to a thread"),
    }
}

/// HTTP/1.1.
fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(worker: &Rc<Worker>, stream: S, via: Via, held: Held) {
    count(&worker.relay.metrics.connections);
    let worker = Rc::clone(worker);
    let vitals = worker.watch(!matches!(via, Via::Socket));
    tokio::task::spawn_local(async move {
        let _held = held;
        let guard = Guard::new(stream, Heads::default(), Rc::clone(&vitals), Rc::clone(&worker.now));
        let service = service_fn(|request| {
            let answering = Answering::begin(&vitals, &worker.now, None);
            answer(Rc::clone(&worker), Rc::clone(&vitals), via, Ok(request), answering)
        });
        let connection = http1::Builder::new()
            .max_headers(limits::HEAD_FIELDS)
            .max_buf_size(limits::WRITE_BUFFER_BYTES)
            .serve_connection(TokioIo::new(guard), service);
        drive(&worker, &vitals, connection, http1::Connection::graceful_shutdown).await;
    });
}

/// HTTP/2: the same requests, on streams.
fn serve_h2<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: &Rc<Worker>,
    stream: S,
    via: Via,
    held: Held,
) {
    count(&worker.relay.metrics.connections);
    let worker = Rc::clone(worker);
    let vitals = worker.watch(true);
    vitals.head_begins(worker.now.get());
    tokio::task::spawn_local(async move {
        let _held = held;
        let guard = Guard::new(stream, Frames::default(), Rc::clone(&vitals), Rc::clone(&worker.now));
        let streams = Streams::new(&vitals);
        let service = service_fn(|request| {
            let answering = Answering::begin(&vitals, &worker.now, Some(streams.begin()));
            let request = streams::plain(request);
            answer(Rc::clone(&worker), Rc::clone(&vitals), via, request, answering)
        });
        let connection = http2::Builder::new(streams.clone())
            .max_concurrent_streams(limits::H2_STREAMS)
            .initial_stream_window_size(limits::H2_STREAM_WINDOW)
            .initial_connection_window_size(limits::H2_CONNECTION_WINDOW)
            .max_header_list_size(limits::HEAD_BYTES as u32)
            .max_pending_accept_reset_streams(limits::H2_RESETS as usize)
            .max_local_error_reset_streams(limits::H2_RESETS as usize)
            .max_send_buf_size(limits::OUT_BYTES)
            .serve_connection(TokioIo::new(guard), service);
        drive(&worker, &vitals, connection, http2::Connection::graceful_shutdown).await;
    });
}

/// Runs a connection to its end; when the relay stops, to the end of what it has open.
async fn drive<C: Future>(worker: &Worker, vitals: &Vitals, connection: C, stop: impl FnOnce(Pin<&mut C>)) {
    let mut connection = std::pin::pin!(connection);
    let drained = worker.drain.notified();
    let ended = tokio::select! {
        biased;
        // One that was still shaking hands when the relay was asked to stop has missed the notice.
        () = std::future::ready(()), if worker.draining.get() => None,
        ended = connection.as_mut() => Some(ended),
        () = drained => None,
    };
    if ended.is_none() || worker.draining.get() {
        stop(connection.as_mut());
        let farewell = Duration::from_millis(limits::END_MS);
        // An error here is a client that left; its turn recorded itself.
        while tokio::time::timeout(farewell, connection.as_mut()).await.is_err() {
            if vitals.open.get() == 0 {
                // A client that does not answer to a farewell of HTTP/2 holds nothing up.
                return;
            }
        }
    }
}

async fn answer(
    worker: Rc<Worker>,
    vitals: Rc<Vitals>,
    via: Via,
    request: Result<Request<Incoming>, &'static Code>,
    mut answering: Answering,
) -> Result<Response<RelayBody>, Infallible> {
    let outcome = match request {
        Ok(request) => answered(&worker, &vitals, via, request, &mut answering).await,
        Err(code) => Err((code.into(), Lang::default())),
    };
    let response = outcome.unwrap_or_else(|(e, lang)| {
        count(&worker.relay.metrics.errors);
        refusal(&e, lang)
    });
    let (mut parts, source) = response.into_parts();
    if worker.relay.config.load().https {
        parts.headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
    }
    Ok(Response::from_parts(parts, RelayBody::new(source, answering)))
}

async fn answered(
    worker: &Rc<Worker>,
    vitals: &Vitals,
    via: Via,
    request: Request<Incoming>,
    answering: &mut Answering,
) -> Result<Response<Source>, (ApiError, Lang)> {
    let said = language(via, request.headers());
    let lang = said.unwrap_or_default();
    let named = |e| (e, lang);
    let (route, door, counted) = admit(worker, vitals, via, &request).map_err(named)?;
    answering.counted = counted;
    carry::caught(worker, Box::pin(dispatch(worker, door, route, said, request))).await.map_err(named)
}

/// The answer that says what was wrong.
pub fn refusal(error: &ApiError, lang: Lang) -> Response<Source> {
    error
        .head(lang)
        .body(Source::from(error.body(lang)))
        .unwrap_or_else(|_| Response::new(Source::Bytes(None)))
}

fn language(via: Via, headers: &HeaderMap) -> Option<Lang> {
    let name = if matches!(via, Via::Socket) { "dragoman-locale" } else { "accept-language" };
    Lang::said(headers.get(name).and_then(|v| v.to_str().ok()))
}

/// Checks the head, finds the route, and where the request comes from.
fn admit(
    worker: &Worker,
    vitals: &Vitals,
    via: Via,
    request: &Request<Incoming>,
) -> Result<(Route, Door, Option<Counted>), ApiError> {
    if request.uri().path() == FAULT_TARGET
        && let Some(fault) = vitals.take_fault()
    {
        return Err(fault.into());
    }
    origin_form(request.uri())?;
    let Via::Public { origin, secure } = via else {
        let route = routes::on_socket(request.method(), request.uri().path())?;
        return Ok((route, Door::Socket, None));
    };
    let config = worker.relay.config.load();
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("");
    if !config.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host)) {
        return Err((&errors::WRONG_HOST).into());
    }
    let (door, counted) = door::whence(worker, &config, origin, secure, request.headers())?;
    let route = routes::of(request.method(), request.uri().path())?;
    if matches!(route, Route::Control | Route::Follow | Route::Stop | Route::Signup(_) | Route::Pages) {
        let most = config.edge.per_minute.address_requests;
        slowed(worker, worker.relay.throttles.addresses.pass_address(door.client(), most))?;
    }
    Ok((route, door, counted))
}

/// Counts what a rate refused.
fn slowed<T>(worker: &Worker, passed: Result<T, ApiError>) -> Result<T, ApiError> {
    passed.inspect_err(|_| count(&worker.relay.metrics.throttled))
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
        Route::Control | Route::Follow | Route::Stop => {
            let epoch = worker.relay.changes.epoch();
            let (who, address) = identified(worker, door, request.method(), request.headers()).await?;
            who::paced(worker, door, &who)?;
            let scope = routes::scope(request.uri().path());
            if scope.is_some_and(|scope| !who.scopes.iter().any(|s| s == scope)) {
                return Err((&errors::PERMISSION).into());
            }
            let asker = carry::follow::Asker { who: Arc::clone(&who), epoch, lang };
            if let Some(here) = carry::follow::here(&worker.relay, route, asker, request.uri()).await? {
                return Ok(here);
            }
            let asker = Asker {
                principal: Some(&who),
                lang,
                address: &address,
                hide_credential: true,
                appeals_full: false,
            };
            pages(worker, door, request, asker).await
        }
        Route::Healthz => Ok(plain("alive\n")),
        Route::Readyz => readyz(worker),
        Route::Signup(what) => {
            let throttles = &worker.relay.throttles;
            let (rate, most) = match what {
                routes::Signup::Code => (&throttles.codes, limits::SIGNUP_CODES),
                routes::Signup::Check => (&throttles.checks, limits::SIGNUP_CHECKS),
            };
            slowed(worker, rate.pass_address(door.client(), most))?;
            visited(worker, door, request, lang, true).await
        }
        Route::Pages => visited(worker, door, request, lang, false).await,
    }
}

/// Passes the request of whoever visits on to control.
async fn visited(
    worker: &Worker,
    door: Door,
    request: Request<Incoming>,
    lang: Lang,
    hide_credential: bool,
) -> Result<Response<Source>, ApiError> {
    let (who, address) = who::visitor(worker, door, &request).await?;
    if let Some(who) = &who {
        who::paced(worker, door, who)?;
    }
    let principal = who.as_deref();
    let asker = Asker { principal, lang, address: &address, hide_credential, appeals_full: false };
    pages(worker, door, request, asker).await
}

/// Passes a request on to control. A guest's appeal counts for its address, where it is received.
async fn pages(
    worker: &Worker,
    door: Door,
    request: Request<Incoming>,
    mut asker: Asker<'_>,
) -> Result<Response<Source>, ApiError> {
    let guest = asker.principal.is_none_or(|who| who.key.is_none());
    let mut held = None;
    if guest && routes::is_appeal(request.method(), request.uri().path()) {
        match worker.relay.throttles.appeals.hold_address(door.client(), limits::GUEST_APPEALS) {
            Ok(taken) => held = taken,
            Err(_) => asker.appeals_full = true,
        }
    }
    let answer = worker.pages.pass(request, &asker).await;
    let received = answer.as_ref().is_ok_and(|answer| answer.status().as_u16() < 400);
    if let Some(taken) = held.filter(|_| !received) {
        taken.give_back();
    }
    answer
}

fn plain(text: &'static str) -> Response<Source> {
    let mut response = Response::new(Source::from(bytes::Bytes::from_static(text.as_bytes())));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn readyz(worker: &Worker) -> Result<Response<Source>, ApiError> {
    fault(&worker.relay).map_or_else(|| Ok(plain("ready\n")), |code| Err(code.into()))
}

/// Why the relay is not ready: no contact within the lease, a journal that does not write, or about to stop.
pub fn fault(relay: &Relay) -> Option<&'static Code> {
    let faults = [
        (relay.is_stopping(), &errors::STOPPING),
        (!relay.lease.fresh(), &errors::NO_CONTACT),
        (!relay.log.is_healthy(), &errors::JOURNAL),
        (!relay.rules.is_ready(), &errors::RULES_NOT_READY),
    ];
    faults.into_iter().find(|(found, _)| *found).map(|(_, code)| code)
}
