//! A connection of HTTP/2: its streams' tasks on the thread that accepted it, and a request of it in the form
//! of HTTP/1.1, so that everything after this file sees one form. Nothing is decided here.
use super::guard::{Stall, Vitals};
use crate::errors::{self, Code};
use crate::limits;
use crate::proxy;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, Version, header};
use hyper::rt::Executor;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Spawns the streams of one connection. hyper calls the service for a stream and hands its task over right
/// after: `begin` before, `execute` then, so that each task knows its stream's stall.
#[derive(Clone)]
pub struct Streams {
    vitals: Rc<Vitals>,
    begun: Rc<RefCell<Option<Rc<Stall>>>>,
}

impl Streams {
    pub fn new(vitals: &Rc<Vitals>) -> Self {
        Self { vitals: Rc::clone(vitals), begun: Rc::default() }
    }

    /// A stream begins: what watches its reader.
    pub fn begin(&self) -> Rc<Stall> {
        let stall = Rc::new(Stall::default());
        self.vitals.watch(&stall);
        *self.begun.borrow_mut() = Some(Rc::clone(&stall));
        stall
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, task: F) {
        let stall = self.begun.borrow_mut().take().unwrap_or_default();
        tokio::task::spawn_local(Stream { task: Box::pin(task), stall });
    }
}

/// A stream's task; when it is cut it is dropped, which resets the stream.
struct Stream<F> {
    task: Pin<Box<F>>,
    stall: Rc<Stall>,
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stall.is_cut(cx) {
            return Poll::Ready(());
        }
        self.task.as_mut().poll(cx)
    }
}

/// The request as HTTP/1.1 would have brought it: a path for a target, one Host, one length.
///
/// # Errors
/// What HTTP/1.1 would have been refused for, and a Host that is not the authority.
pub fn plain<B>(mut request: Request<B>) -> Result<Request<B>, &'static Code> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if target.len() > limits::TARGET_BYTES {
        return Err(&errors::TARGET_TOO_LONG);
    }
    let secure = uri.scheme().is_none_or(|s| *s == Scheme::HTTPS);
    if !secure || !target.starts_with('/') || request.method() == Method::CONNECT {
        return Err(&errors::BAD_HEAD);
    }
    let headers = request.headers();
    if headers.len() > limits::HEAD_FIELDS {
        return Err(&errors::HEAD_TOO_LARGE);
    }
    let named = |name| headers.get_all(name).iter().count();
    let plain = headers.keys().all(|n| !n.as_str().contains('_') && (!proxy::is_hop(n) || n == header::TE));
    if !plain || named(header::HOST) > 1 || named(header::CONTENT_LENGTH) > 1 {
        return Err(&errors::BAD_HEAD);
    }
    let host = match (uri.authority(), headers.get(header::HOST)) {
        (Some(authority), None) => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| &errors::BAD_HEAD)?
        }
        (Some(authority), Some(host)) if host.as_bytes() == authority.as_str().as_bytes() => host.clone(),
        (None, Some(host)) => host.clone(),
        _ => return Err(&errors::BAD_HEAD),
    };
    let target: Uri = target.parse().map_err(|_| &errors::BAD_HEAD)?;
    *request.uri_mut() = target;
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().insert(header::HOST, host);
    join_cookies(request.headers_mut())?;
    Ok(request)
}

/// HTTP/2 may send each cookie in a field of its own (RFC 9113 8.2.3).
fn join_cookies(headers: &mut http::HeaderMap) -> Result<(), &'static Code> {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1 {
        let whole = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).map_err(|_| &errors::BAD_HEAD)?;
        headers.insert(header::COOKIE, whole);
    }
    Ok(())
}
