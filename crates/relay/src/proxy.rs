//! Proxies to control's pages as bytes, streams and uploads included. Identity headers are taken off what
//! comes from outside and set anew; it reads no body and knows no page.
use crate::body::Source;
use crate::errors::{self, ApiError};
use crate::limits;
use crate::upload::{self, Upload};
use crate::wire::{Address, Lang, Principal, WIRE};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;

/// Idle connections to pages that a thread keeps.
const IDLE: usize = 32;

/// One thread's connections to pages.
pub struct Pages {
    socket: PathBuf,
    idle: RefCell<Vec<SendRequest<Upload>>>,
}

/// Fields that belong to one connection, never passed on (RFC 9110 7.6.1, and what proxies set).
const HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields by which a proxy speaks of the client: nobody outside may set them.
pub const FORWARDING: &[&str] = &[
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-real-ip",
];

/// Whether a field belongs to one connection.
pub fn is_hop(name: &HeaderName) -> bool {
    HOP.contains(&name.as_str())
}

/// Whether a field tells of a forwarding proxy.
pub fn is_forwarding(name: &HeaderName) -> bool {
    FORWARDING.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-")
}

/// Whether only the relay may set the field.
pub fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with("dragoman-")
}

fn strip(headers: &mut HeaderMap, also: impl Fn(&HeaderName) -> bool) {
    let listed: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|n| n.trim().to_ascii_lowercase())
        .collect();
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|n| HOP.contains(&n.as_str()) || listed.iter().any(|l| l == n.as_str()) || also(n))
        .cloned()
        .collect();
    for name in gone {
        headers.remove(&name);
    }
}

/// Who asks, as pages is told.
pub struct Asker<'a> {
    pub principal: Option<&'a Principal>,
    pub lang: Lang,
    pub address: &'a Address,
    /// The `/v1` table takes the credential off; a page keeps its cookies.
    pub hide_credential: bool,
    /// Guests of the address have sent as many appeals as they may.
    pub appeals_full: bool,
}

/// The identity fields of a principal, in the order of docs/wire.md.
pub fn identity(asker: &Asker<'_>) -> Vec<(&'static str, String)> {
    let mut fields = vec![("dragoman-locale", asker.lang.code().to_owned())];
    fields.push(("dragoman-address", serde_json::to_string(asker.address).unwrap_or_default()));
    if asker.appeals_full {
        fields.push(("dragoman-appeals", "full".to_owned()));
    }
    if let Some(p) = asker.principal {
        fields.push(("dragoman-principal", p.principal.clone()));
        fields.push(("dragoman-tenant", p.tenant.clone()));
        if let Some(key) = &p.key {
            fields.push(("dragoman-key", key.clone()));
        }
        fields.push(("dragoman-scopes", p.scopes.join(",")));
        fields.push(("dragoman-end-users", p.end_users.clone()));
        fields.push(("dragoman-class", p.class.clone()));
    }
    fields
}

impl Pages {
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, idle: RefCell::default() }
    }

    /// Passes the request on and gives the answer as it comes.
    pub async fn pass(
        &self,
        mut request: Request<Incoming>,
        asker: &Asker<'_>,
    ) -> Result<Response<Source>, ApiError> {
        let unavailable = || ApiError::from(&errors::UPSTREAM_PAGES);
        let length =
            request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|n| n > limits::UPLOAD_BYTES) {
            return Err((&errors::BODY_TOO_LARGE).into());
        }
        let headers = request.headers_mut();
        strip(headers, |n| is_ours(n) || is_forwarding(n));
        if asker.hide_credential {
            headers.remove(header::AUTHORIZATION);
            headers.remove("x-api-key");
            headers.remove(header::COOKIE);
        }
        headers.insert("dragoman-wire", HeaderValue::from_static(WIRE));
        for (name, value) in identity(asker) {
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| unavailable())?);
        }
        *request.version_mut() = http::Version::HTTP_11;
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, Upload::new(body));
        let mut sender = self.sender().await.map_err(|_| unavailable())?;
        let answered = sender.send_request(request);
        let response = if length.is_none_or(|n| n <= limits::PAGES_SMALL_BYTES) {
            let wait = Duration::from_millis(limits::PAGES_MS);
            tokio::time::timeout(wait, answered).await.map_err(|_| unavailable())?
        } else {
            answered.await
        };
        let response = response.map_err(|e| upload::fault(&e))?;
        self.keep(sender);
        let (mut parts, body) = response.into_parts();
        strip(&mut parts.headers, |n| is_ours(n) && n != "dragoman-receipt");
        Ok(Response::from_parts(parts, Source::Pages(body)))
    }

    async fn sender(&self) -> Result<SendRequest<Upload>, Box<dyn std::error::Error>> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            match idle {
                Some(sender) if sender.is_ready() => return Ok(sender),
                Some(_) => {}
                None => break,
            }
        }
        let stream = UnixStream::connect(&self.socket).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The connection's own end is seen by its sender.
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(sender)
    }

    fn keep(&self, sender: SendRequest<Upload>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE && !sender.is_closed() {
            idle.push(sender);
        }
    }
}
