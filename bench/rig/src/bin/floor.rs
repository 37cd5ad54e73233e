//! The floor: a proxy that only forwards bytes, built like the relay (one runtime a thread, a
//! keep-alive pool a thread). What it costs is what HTTP itself costs on this machine.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use dragoman_bench::{net, os, tls};
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

const EXAMPLE: &str = r#"floor '{"listen": "127.0.0.1:9200", "upstream": "127.0.0.1:9100"}'"#;

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Config {
    listen: SocketAddr,
    upstream: SocketAddr,
    /// On both sides.
    #[serde(default)]
    tls: Option<tls::Pair>,
    #[serde(default = "two")]
    threads: usize,
}

fn two() -> usize {
    2
}

type Sender = SendRequest<Incoming>;
type Idle = Rc<RefCell<Vec<Sender>>>;
type Out = Either<Forward, Full<Bytes>>;

/// The provider's body on its way to the client; at its end the connection goes back to the pool.
struct Forward {
    body: Incoming,
    sender: Option<Sender>,
    idle: Idle,
}

impl Forward {
    fn give_back(&mut self) {
        if let Some(sender) = self.sender.take().filter(|s| !s.is_closed()) {
            self.idle.borrow_mut().push(sender);
        }
    }
}

impl Body for Forward {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || this.body.is_end_stream() {
            this.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Floor {
    upstream: SocketAddr,
    host: HeaderValue,
    idle: Idle,
}

impl Floor {
    async fn connect(&self) -> Result<Sender, String> {
        let stream = TcpStream::connect(self.upstream).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let stream = tls::connected(stream).await.map_err(|e| e.to_string())?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::task::spawn_local(async move {
            // A broken connection shows in the request that used it.
            let _broken = connection.await;
        });
        Ok(sender)
    }

    async fn sender(&self) -> Result<Sender, String> {
        loop {
            let kept = self.idle.borrow_mut().pop();
            let Some(mut sender) = kept else {
                return self.connect().await;
            };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
    }

    async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Forward>, String> {
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        *request.uri_mut() = path.parse::<Uri>().map_err(|e| e.to_string())?;
        request.headers_mut().remove(CONNECTION);
        request.headers_mut().insert(HOST, self.host.clone());
        let mut sender = self.sender().await?;
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let (mut head, body) = response.into_parts();
        head.headers.remove(CONNECTION);
        head.headers.remove(TRANSFER_ENCODING);
        let mut forward = Forward { body, sender: Some(sender), idle: self.idle.clone() };
        if forward.body.is_end_stream() {
            forward.give_back();
        }
        Ok(Response::from_parts(head, forward))
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Out> {
        match self.forward(request).await {
            Ok(response) => response.map(Either::Left),
            Err(error) => {
                let mut response = Response::new(Either::Right(Full::from(error)));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        }
    }
}

async fn run(listener: TcpListener, config: Config) {
    let host =
        HeaderValue::from_str(&config.upstream.to_string()).unwrap_or(HeaderValue::from_static("upstream"));
    let floor = Rc::new(Floor { upstream: config.upstream, host, idle: Idle::default() });
    loop {
        let Some(stream) = net::accept(&listener).await else {
            continue;
        };
        let floor = floor.clone();
        tokio::task::spawn_local(async move {
            let Ok(stream) = tls::accepted(stream).await else { return };
            let service = service_fn(|request| async { Ok::<_, Infallible>(floor.answer(request).await) });
            let server = hyper::server::conn::http1::Builder::new();
            // A client that went away ends its own exchange only.
            let _gone = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn main() {
    os::raise_file_limit();
    let config: Config = net::config(EXAMPLE).unwrap_or_else(|e| net::give_up(&e));
    tls::set(config.tls.as_ref()).unwrap_or_else(|e| net::give_up(&e));
    let (listen, threads) = (config.listen, config.threads);
    if let Err(error) = net::serve(listen, threads, move |l| run(l, config.clone())) {
        net::give_up(&format!("{listen}: {error}"));
    }
}
