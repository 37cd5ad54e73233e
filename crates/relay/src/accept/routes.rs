//! The explicit tables of what is served, matched on the exact raw path: a percent-encoded or dotted
//! variant of a route is another path. What is under `/v1` and in no table is 404.
use crate::errors::{self, ApiError};
use http::Method;

/// A route that the relay carries as a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Chat,
    Completions,
    /// A turn of a conversation, stored by control.
    Conversation,
}

impl Turn {
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Conversation => "/v1/conversations/turns",
        }
    }

    /// Control keeps its message and its answer.
    pub fn is_stored(self) -> bool {
        self == Self::Conversation
    }

    /// The path under a provider's base URL.
    pub fn provider_path(self) -> &'static str {
        match self {
            Self::Chat | Self::Conversation => "/chat/completions",
            Self::Completions => "/completions",
        }
    }
}

/// What a request to sign up costs: a code is a message that somebody pays for, a check is a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signup {
    Code,
    Check,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Turn(Turn),
    /// A turn of a conversation is read, from here where it runs, else from control.
    Follow,
    /// A turn of a conversation is stopped, here where it runs.
    Stop,
    /// Control's own `/v1` table: needs a credential, proxied to pages.
    Control,
    /// Signing up: whoever comes, so bounded by address; proxied to pages.
    Signup(Signup),
    Healthz,
    Readyz,
    /// Everything that is not under `/v1`: proxied to pages as bytes.
    Pages,
}

/// Where conversations are.
const CONVERSATIONS: &str = "/v1/conversations";
/// Where people appeal, and read their appeals. No scope: whoever may read reasons may object to them.
const APPEALS: &str = "/v1/appeals";
/// What a key's owner used.
const USAGE: &str = "/v1/usage";

/// Where a code is asked for, where it is given back, and what whoever signed up reads of themselves.
const SIGNUP_CODE: &str = "/v1/signup/phone";
const SIGNUP_CHECK: &str = "/v1/signup/verify";
const PLACEMENT: &str = "/v1/me/placement";
const SESSIONS: &str = "/v1/me/sessions";
/// Where evidence of what a person says is handed in, and where a person gets a token for an app.
const EVIDENCE: &str = "/v1/me/evidence";
const TOKENS: &str = "/v1/me/tokens";

/// First segments that name routes of the sockets inside. Pages has none of them; they end here, so that
/// a mistake there cannot open them.
const INTERNAL: &[&str] = &[
    "principal",
    "plan",
    "changes",
    "rulesets",
    "interventions",
    "journal",
    "provider",
    "turns",
    "allotments",
    "admin",
    "metrics",
];

/// The route of `method` and raw `path`.
pub fn of(method: &Method, path: &str) -> Result<Route, ApiError> {
    if let Some(turn) = turn(path) {
        return allowed(method, &[Method::POST], "POST", Route::Turn(turn));
    }
    match path {
        "/healthz" => return allowed(method, &[Method::GET, Method::HEAD], "GET, HEAD", Route::Healthz),
        "/readyz" => return allowed(method, &[Method::GET, Method::HEAD], "GET, HEAD", Route::Readyz),
        _ => {}
    }
    if !path.starts_with('/') {
        return Err((&errors::NOT_FOUND).into());
    }
    if let Some(found) = conversations(method, path) {
        return found;
    }
    if let Some(found) = people(method, path) {
        return found;
    }
    if path == APPEALS {
        return allowed(method, &[Method::GET, Method::POST], "GET, POST", Route::Control);
    }
    if is_models(path) || path == USAGE || under(path, "/v1/interventions/") || under(path, "/v1/appeals/") {
        return allowed(method, &[Method::GET], "GET", Route::Control);
    }
    let plain = decoded(path);
    let mut segments = plain.split('/').filter(|s| !s.is_empty() && *s != "." && *s != "..");
    let dotted = plain.split(['/', '\\']).any(|s| s == ".." || s == ".");
    let first = segments.next().unwrap_or("").to_ascii_lowercase();
    if dotted || first == "v1" || INTERNAL.contains(&first.as_str()) {
        return Err((&errors::NOT_FOUND).into());
    }
    Ok(Route::Pages)
}

/// The routes of signing up, and of what whoever signed up may see and change of themselves.
fn people(method: &Method, path: &str) -> Option<Result<Route, ApiError>> {
    let post = &[Method::POST];
    Some(match path {
        SIGNUP_CODE => allowed(method, post, "POST", Route::Signup(Signup::Code)),
        SIGNUP_CHECK => allowed(method, post, "POST", Route::Signup(Signup::Check)),
        PLACEMENT => allowed(method, &[Method::GET, Method::PUT], "GET, PUT", Route::Control),
        SESSIONS => allowed(method, &[Method::DELETE], "DELETE", Route::Control),
        EVIDENCE => allowed(method, &[Method::GET, Method::POST], "GET, POST", Route::Control),
        TOKENS => allowed(method, post, "POST", Route::Control),
        _ => return None,
    })
}

/// Whether a request sends an appeal: by the API, or by the form of its page.
pub fn is_appeal(method: &Method, path: &str) -> bool {
    method == Method::POST && (path == APPEALS || decoded(path).starts_with("/appeal/"))
}

/// The routes of `turn.sock`: the `/v1` table.
pub fn on_socket(method: &Method, path: &str) -> Result<Route, ApiError> {
    if path.starts_with("/v1/") { of(method, path) } else { Err((&errors::NOT_FOUND).into()) }
}

/// The routes of conversations, all of them for the scope `turns`.
fn conversations(method: &Method, path: &str) -> Option<Result<Route, ApiError>> {
    let (get, post) = (Method::GET, Method::POST);
    if path == CONVERSATIONS {
        return Some(allowed(method, &[get, post], "GET, POST", Route::Control));
    }
    let rest = path.strip_prefix(CONVERSATIONS)?.strip_prefix('/')?;
    let parts: Vec<&str> = rest.split('/').collect();
    let named = |id: &str| is_segment(id);
    Some(match parts.as_slice() {
        [id] if named(id) => {
            let methods = [get, Method::PATCH, Method::DELETE];
            allowed(method, &methods, "GET, PATCH, DELETE", Route::Control)
        }
        [id, "export"] if named(id) => allowed(method, &[get], "GET", Route::Control),
        [id, "turns"] if named(id) && *method == Method::POST => Ok(Route::Turn(Turn::Conversation)),
        [id, "turns"] if named(id) => allowed(method, &[get], "GET, POST", Route::Control),
        [id, "turns", turn] if named(id) && named(turn) => allowed(method, &[get], "GET", Route::Follow),
        [id, "turns", turn, "stop"] if named(id) && named(turn) => {
            allowed(method, &[post], "POST", Route::Stop)
        }
        [id, "turns", turn, "feedback"] if named(id) && named(turn) => {
            allowed(method, &[Method::PUT, Method::DELETE], "PUT, DELETE", Route::Control)
        }
        [id, "turns", turn, "passport"] if named(id) && named(turn) => {
            allowed(method, &[get], "GET", Route::Control)
        }
        _ => Err((&errors::NOT_FOUND).into()),
    })
}

/// The conversation that a path names.
pub fn conversation_of(path: &str) -> Option<&str> {
    path.strip_prefix(CONVERSATIONS)?.strip_prefix('/')?.split('/').next()
}

/// The conversation and the turn that a path names.
pub fn turn_of(path: &str) -> Option<(&str, &str)> {
    let mut parts = path.strip_prefix(CONVERSATIONS)?.strip_prefix('/')?.split('/');
    let conversation = parts.next()?;
    (parts.next()? == "turns").then_some(())?;
    Some((conversation, parts.next()?))
}

/// The scope that a route of control's table needs.
pub fn scope(path: &str) -> Option<&'static str> {
    if is_models(path) {
        return Some("models");
    }
    (path.starts_with(CONVERSATIONS) || path == USAGE).then_some("turns")
}

/// The turn that is served under exactly this raw path.
pub fn turn(path: &str) -> Option<Turn> {
    match path {
        "/v1/chat/completions" => Some(Turn::Chat),
        "/v1/completions" => Some(Turn::Completions),
        _ => None,
    }
}

/// The list of models, or one of them.
pub fn is_models(path: &str) -> bool {
    path == "/v1/models" || under(path, "/v1/models/")
}

/// `path` is `prefix` and one plain segment.
fn under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(is_segment)
}

/// A plain segment of a path.
fn is_segment(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 256
        && !id.contains("..")
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:@".contains(&b))
}

fn allowed(
    method: &Method,
    methods: &[Method],
    allow: &'static str,
    route: Route,
) -> Result<Route, ApiError> {
    if methods.contains(method) {
        return Ok(route);
    }
    let mut error = ApiError::from(&errors::METHOD_NOT_ALLOWED);
    error.allow = Some(allow);
    Err(error)
}

/// `path` with percent-encoding undone until nothing changes, at most three times: only to see what a
/// confused reader behind us could see.
fn decoded(path: &str) -> String {
    let mut text = path.to_owned();
    for _ in 0..3 {
        let once = decode_once(&text);
        if once == text {
            break;
        }
        text = once;
    }
    text.replace('\\', "/")
}

fn decode_once(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| path.get(at + 1..at + 3).and_then(|h| u8::from_str_radix(h, 16).ok()))
            .flatten();
        out.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
