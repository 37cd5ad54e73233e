//! The admin listener, loopback only for now: metrics and liveness. It shows numbers, never a name or a text.
use crate::accept;
use crate::state::Relay;
use crate::worker::Worker;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Serves a connection of the admin listener.
pub fn serve(worker: &Rc<Worker>, stream: std::net::TcpStream) {
    let relay = Arc::clone(&worker.relay);
    let ready = stream.set_nonblocking(true).and_then(|()| {
        stream.set_nodelay(true)?;
        tokio::net::TcpStream::from_std(stream)
    });
    let Ok(stream) = ready else { return };
    tokio::task::spawn_local(async move {
        let service = service_fn(move |request: Request<Incoming>| {
            let relay = Arc::clone(&relay);
            async move { Ok::<_, Infallible>(answer(&relay, &request)) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(crate::limits::HEAD_MS))
            .serve_connection(TokioIo::new(stream), service);
        // An error here is a scraper that left.
        drop(connection.await);
    });
}

fn answer(relay: &Relay, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("");
    if !is_loopback_host(host) {
        return text(
            StatusCode::MISDIRECTED_REQUEST,
            "the admin listener answers to loopback names only\n".into(),
        );
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => text(StatusCode::OK, metrics(relay)),
        (&Method::GET, "/healthz") => text(StatusCode::OK, "alive\n".into()),
        (&Method::GET, "/readyz") => match accept::fault(relay) {
            None => text(StatusCode::OK, "ready\n".into()),
            Some(code) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", code.code)),
        },
        _ => text(StatusCode::NOT_FOUND, "GET /metrics, /healthz or /readyz\n".into()),
    }
}

/// A name that a page of another origin cannot have made up by DNS.
fn is_loopback_host(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

fn metrics(relay: &Relay) -> String {
    let stats = relay.log.stats();
    relay.metrics.text(&[
        ("dragoman_journal_groups_total", "counter", stats.groups),
        ("dragoman_journal_entries_total", "counter", stats.entries),
        ("dragoman_journal_commit_microseconds_total", "counter", stats.commit_ns / 1_000),
        ("dragoman_contact", "gauge", u64::from(relay.lease.fresh())),
        ("dragoman_changes_seq", "gauge", relay.changes.newest()),
    ])
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
