//! A fake `OpenAI` provider. The model's name says what it answers; `GET /meter` is its own count.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use dragoman_bench::answer::{Answer, Meter, Prepared};
use dragoman_bench::script::{Route, Script};
use dragoman_bench::spec::Spec;
use dragoman_bench::{net, os, tls};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::net::TcpListener;

const EXAMPLE: &str = r#"provider '{"listen": "127.0.0.1:9100", "models": {"s100": "chunks=100"}, "phrase": "seventy-seven characters"}'"#;
/// A request body larger than this is refused, in bytes.
const MAX_BODY: usize = 8 << 20;
/// Prepared answers kept a thread; the rig asks for a handful.
const MAX_PREPARED: usize = 1024;

static METER: std::sync::LazyLock<Meter> = std::sync::LazyLock::new(Meter::default);

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Config {
    listen: SocketAddr,
    #[serde(default)]
    tls: Option<tls::Pair>,
    #[serde(default = "one")]
    threads: usize,
    /// Model name to knobs; any other name must be `fake:` and knobs.
    #[serde(default)]
    models: HashMap<String, String>,
    #[serde(default)]
    phrase: String,
}

fn one() -> usize {
    1
}

/// The fields of a request that change the answer.
#[derive(Deserialize)]
struct Asked {
    model: String,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    #[expect(dead_code, reason = "read so that a body without the shape of messages is refused")]
    messages: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

type Key = (String, Route, bool, bool);

struct Fake {
    config: Config,
    prepared: RefCell<HashMap<Key, Arc<Prepared>>>,
}

impl Fake {
    fn spec(&self, model: &str) -> Result<Spec, String> {
        match self.config.models.get(model).map(String::as_str).or_else(|| model.strip_prefix("fake:")) {
            Some(knobs) => Spec::parse(knobs),
            None => Err(format!("unknown model {model}")),
        }
    }

    fn prepare(&self, asked: &Asked, route: Route, prompt_bytes: usize) -> Result<Arc<Prepared>, String> {
        let usage = asked.stream_options.as_ref().is_some_and(|o| o.include_usage);
        let key = (asked.model.clone(), route, asked.stream, usage);
        if let Some(found) = self.prepared.borrow().get(&key) {
            return Ok(found.clone());
        }
        let spec = self.spec(&asked.model)?;
        let script = Script {
            spec: &spec,
            route,
            model: &asked.model,
            phrase: &self.config.phrase,
            prompt_tokens: prompt_bytes / 4,
        };
        let (frames, tokens) = if asked.stream {
            script.frames(usage)
        } else {
            let (body, tokens) = script.whole();
            (vec![body], tokens)
        };
        let prepared = Arc::new(Prepared {
            frames,
            tokens: tokens as u64,
            first: spec.first,
            gap: spec.gap,
            stream: asked.stream,
        });
        let mut kept = self.prepared.borrow_mut();
        if kept.len() < MAX_PREPARED {
            kept.insert(key, prepared.clone());
        }
        Ok(prepared)
    }

    fn models(&self) -> String {
        let data: Vec<_> = self
            .config
            .models
            .keys()
            .map(|id| serde_json::json!({"id": id, "object": "model", "created": 0, "owned_by": "rig"}))
            .collect();
        serde_json::json!({"object": "list", "data": data}).to_string()
    }

    async fn complete(&self, request: Request<Incoming>, route: Route) -> Response<Answer> {
        METER.requests.fetch_add(1, Relaxed);
        let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return refuse(&format!("body: {error}")),
        };
        METER.bytes_in.fetch_add(body.len() as u64, Relaxed);
        let asked: Asked = match serde_json::from_slice(&body) {
            Ok(asked) => asked,
            Err(error) => return refuse(&format!("body: {error}")),
        };
        match self.prepare(&asked, route, body.len()) {
            Ok(prepared) => {
                let kind = if asked.stream { "text/event-stream" } else { "application/json" };
                with_type(Answer::new(prepared, &METER), kind)
            }
            Err(error) => refuse(&error),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/v1/chat/completions") => self.complete(request, Route::Chat).await,
            (&Method::POST, "/v1/completions") => self.complete(request, Route::Completions).await,
            (&Method::GET, "/v1/models") => with_type(Answer::plain(self.models()), "application/json"),
            (&Method::GET, "/meter") => with_type(Answer::plain(METER.json()), "application/json"),
            (&Method::GET, "/health" | "/healthz" | "/readiness" | "/liveness") => {
                with_type(Answer::plain("{}"), "application/json")
            }
            _ => {
                let mut response = refuse("no such route");
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        }
    }
}

fn with_type(answer: Answer, kind: &'static str) -> Response<Answer> {
    let mut response = Response::new(answer);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn refuse(error: &str) -> Response<Answer> {
    METER.refused.fetch_add(1, Relaxed);
    let body = serde_json::json!({"error": {"message": error, "type": "invalid_request_error", "param": null, "code": null}});
    let mut response = with_type(Answer::plain(body.to_string()), "application/json");
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

async fn run(listener: TcpListener, config: Config) {
    let fake = Rc::new(Fake { config, prepared: RefCell::default() });
    loop {
        let Some(stream) = net::accept(&listener).await else {
            continue;
        };
        let fake = fake.clone();
        tokio::task::spawn_local(async move {
            let Ok(stream) = tls::accepted(stream).await else { return };
            let service = service_fn(|request| async { Ok::<_, Infallible>(fake.answer(request).await) });
            // One write for what is ready together: the provider should cost as little as it can.
            let mut server = hyper::server::conn::http1::Builder::new();
            server.writev(false);
            // A caller that went away is counted by the meter; there is nobody left to tell.
            let _gone = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn main() {
    os::raise_file_limit();
    let config: Config = net::config(EXAMPLE).unwrap_or_else(|e| net::give_up(&e));
    tls::set(config.tls.as_ref()).unwrap_or_else(|e| net::give_up(&e));
    for knobs in config.models.values() {
        if let Err(error) = Spec::parse(knobs) {
            net::give_up(&error);
        }
    }
    let (listen, threads) = (config.listen, config.threads);
    if let Err(error) = net::serve(listen, threads, move |l| run(l, config.clone())) {
        net::give_up(&format!("{listen}: {error}"));
    }
}
