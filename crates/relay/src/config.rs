//! The relay's configuration, `run/relay.json`, as control writes it: read at start and whenever a
//! plan names another digest. Secrets are references; they are resolved here and never printed.
use crate::edge::{EdgeConfig, RawEdge};
use crate::limits;
use crate::proxy;
use http::{HeaderName, HeaderValue, Uri};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Deserialize)]
struct Raw {
    v: u32,
    digest: String,
    zone: String,
    stage: String,
    listen: SocketAddr,
    admin_listen: SocketAddr,
    hosts: Vec<String>,
    run: PathBuf,
    journal: PathBuf,
    lease_ms: u64,
    public_url: String,
    session_cookie: String,
    threads: usize,
    providers: HashMap<String, RawProvider>,
    #[serde(default)]
    tighter: Tighter,
    #[serde(default)]
    edge: RawEdge,
}

/// Limits of one relay that are tighter than its own. Absent in what control writes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Tighter {
    /// Turns in flight per thread.
    pub turns_per_thread: Option<usize>,
    /// Length of a segment of the journal, bytes.
    pub segment_bytes: Option<u64>,
    /// Milliseconds a turn of a conversation goes on without any reader.
    pub alone_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct RawProvider {
    kind: String,
    base_url: Option<String>,
    credential: Option<Credential>,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    unknown_fields: Unknown,
    #[serde(default)]
    deadlines_ms: Deadlines,
    #[serde(default)]
    blocks: Vec<Block>,
}

/// What happens to a request field that neither the route nor the provider lists.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    #[default]
    Reject,
    Pass,
}

/// Milliseconds of each phase of a provider call.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Deadlines {
    pub connect: u64,
    pub first_byte: u64,
    pub idle: u64,
    pub total: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: limits::PROVIDER_CONNECT_MS,
            first_byte: limits::PROVIDER_FIRST_BYTE_MS,
            idle: limits::PROVIDER_IDLE_MS,
            total: limits::PROVIDER_TOTAL_MS,
        }
    }
}

/// A shape in which the vendor says that it blocked: a JSON pointer, `*` for any index, and values.
#[derive(Clone, Debug, Deserialize)]
pub struct Block {
    pub pointer: String,
    pub equals: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Credential {
    header: String,
    #[serde(default)]
    prefix: String,
    env: Option<String>,
    file: Option<PathBuf>,
}

/// Where a provider listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Control's `local` provider, over `plan.sock`.
    Unix(PathBuf),
    Tcp {
        host: String,
        port: u16,
        tls: bool,
    },
}

/// A registered provider, with its credential resolved.
pub struct Provider {
    pub name: Arc<str>,
    pub target: Target,
    /// `Host` of the request.
    pub authority: String,
    /// Path before the route: `/v1` for `https://host/v1`.
    pub base_path: String,
    pub credential: Option<(HeaderName, HeaderValue)>,
    /// Its credential cannot be read: it is not called.
    pub closed: bool,
    /// Names of the caller's headers that the provider's pack lets through.
    pub pass_headers: Vec<HeaderName>,
    pub fields: Vec<String>,
    pub unknown_fields: Unknown,
    pub deadlines: Deadlines,
    pub blocks: Vec<Block>,
}

impl Provider {
    /// Control's own provider: it is told who asks.
    pub fn is_control(&self) -> bool {
        matches!(self.target, Target::Unix(_))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// The configuration that a plan is made for.
#[derive(Debug)]
pub struct Config {
    pub digest: String,
    pub zone: String,
    /// In stage local a forwarded request is refused.
    pub local: bool,
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub hosts: Vec<String>,
    pub run: PathBuf,
    pub journal: PathBuf,
    pub lease_ms: u64,
    pub public_url: String,
    /// People reach it by TLS, ours or a proxy's.
    pub https: bool,
    /// Scheme, host and port of `public_url`: what a same-origin `Origin` says.
    pub origins: Vec<String>,
    pub session_cookie: String,
    pub threads: usize,
    pub tighter: Tighter,
    pub edge: EdgeConfig,
    pub providers: HashMap<String, Arc<Provider>>,
}

/// Why a configuration is not used. Names the key, never a value that may be secret.
#[derive(Debug)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

fn wrong(what: impl fmt::Display) -> ConfigError {
    ConfigError(format!("relay.json: {what}"))
}

impl Config {
    /// Reads and checks the file, its digest included.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path).map_err(|e| wrong(format_args!("{}: {e}", path.display())))?;
        Self::parse(&bytes)
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        let mut document: Value = serde_json::from_slice(bytes).map_err(wrong)?;
        let raw: Raw = serde_json::from_value(document.clone()).map_err(wrong)?;
        if raw.v != 1 {
            return Err(wrong(format_args!("version {} is not known, this relay reads version 1", raw.v)));
        }
        if let Some(object) = document.as_object_mut() {
            object.shift_remove("digest");
        }
        if crate::record::digest_of(&document) != raw.digest {
            return Err(wrong("the digest does not match the document; let control write it again"));
        }
        Self::checked(raw)
    }

    fn checked(raw: Raw) -> Result<Self, ConfigError> {
        let local = raw.stage == "local";
        if local && !(raw.listen.ip().is_loopback() && raw.admin_listen.ip().is_loopback()) {
            return Err(wrong("in stage local both `listen` addresses have to be loopback"));
        }
        if raw.hosts.is_empty() {
            return Err(wrong("`hosts` is empty, so no request could be answered"));
        }
        let providers = raw
            .providers
            .into_iter()
            .map(|(name, p)| Ok((name.clone(), Arc::new(provider(name, p, &raw.run)?))))
            .collect::<Result<_, ConfigError>>()?;
        let edge = EdgeConfig::of(raw.edge).map_err(wrong)?;
        if !raw.listen.ip().is_loopback() && edge.tls.is_none() && edge.trusted.is_empty() {
            return Err(wrong(
                "`listen` is not loopback, and neither edge.tls nor edge.trusted_proxies is set",
            ));
        }
        let https = raw.public_url.starts_with("https://");
        // Where people come by TLS, a page of the same name without it is somebody else's.
        let scheme = if https { "https" } else { "http" };
        let mut origins: Vec<String> = raw.hosts.iter().map(|h| format!("{scheme}://{h}")).collect();
        origins.push(raw.public_url.trim_end_matches('/').to_owned());
        Ok(Self {
            digest: raw.digest,
            zone: raw.zone,
            local,
            listen: raw.listen,
            admin_listen: raw.admin_listen,
            hosts: raw.hosts.into_iter().map(|h| h.to_ascii_lowercase()).collect(),
            run: raw.run,
            journal: raw.journal,
            lease_ms: raw.lease_ms,
            public_url: raw.public_url,
            https,
            origins,
            session_cookie: raw.session_cookie,
            threads: raw.threads.clamp(1, 64),
            tighter: raw.tighter,
            edge,
            providers,
        })
    }
}

/// Fields of the caller that no pack may let through: they say who asks, or frame the request itself.
const NEVER_PASSED: &[&str] = &[
    "authorization",
    "x-api-key",
    "api-key",
    "cookie",
    "host",
    "content-type",
    "content-length",
    "content-encoding",
    "accept",
    "accept-encoding",
    "user-agent",
    "expect",
];

fn pass_header(provider: &str, name: &str) -> Result<HeaderName, ConfigError> {
    let wrong = |why: &str| wrong(format_args!("providers.{provider}.headers: {name:?} {why}"));
    let header = HeaderName::try_from(name).map_err(|_| wrong("is no header name"))?;
    let ours = NEVER_PASSED.contains(&header.as_str()) || proxy::is_ours(&header);
    if ours || proxy::is_hop(&header) || proxy::is_forwarding(&header) {
        return Err(wrong("is the caller's own or the connection's, and never goes to a provider"));
    }
    Ok(header)
}

fn provider(name: String, raw: RawProvider, run: &Path) -> Result<Provider, ConfigError> {
    let (target, authority, base_path) = match (raw.kind.as_str(), raw.base_url.as_deref()) {
        ("local", _) => {
            (Target::Unix(run.join("plan.sock")), "control".to_owned(), "/provider/v1".to_owned())
        }
        (_, Some(url)) => http_target(&name, url)?,
        (_, None) => return Err(wrong(format_args!("providers.{name}: `base_url` is missing"))),
    };
    // A missing secret closes this provider, not the relay: its attempts fail and say so.
    let (credential, closed) = match raw.credential.map(|c| resolve(&name, &c)) {
        None => (None, false),
        Some(Ok(credential)) => (Some(credential), false),
        Some(Err(e)) => {
            tracing::error!(error = %e, "a provider without its credential is not called");
            (None, true)
        }
    };
    let pass_headers = raw.headers.iter().map(|h| pass_header(&name, h)).collect::<Result<_, _>>()?;
    Ok(Provider {
        name: name.into(),
        target,
        authority,
        base_path,
        credential,
        closed,
        pass_headers,
        fields: raw.fields,
        unknown_fields: raw.unknown_fields,
        deadlines: raw.deadlines_ms,
        blocks: raw.blocks,
    })
}

fn http_target(name: &str, url: &str) -> Result<(Target, String, String), ConfigError> {
    let bad = |what: &str| wrong(format_args!("providers.{name}.base_url: {what}"));
    let uri: Uri = url.parse().map_err(|_| bad("is not a URL"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(bad("has to start with https:// or http://")),
    };
    let authority = uri.authority().ok_or_else(|| bad("has no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad("carries a user or password; use `credential`"));
    }
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let base = uri.path().trim_end_matches('/').to_owned();
    Ok((Target::Tcp { host, port, tls }, authority.as_str().to_owned(), base))
}

fn resolve(name: &str, credential: &Credential) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let bad = |what: &str| wrong(format_args!("providers.{name}.credential: {what}"));
    let secret = match (&credential.env, &credential.file) {
        (Some(variable), None) => {
            std::env::var(variable).map_err(|_| bad("the environment variable is not set"))?
        }
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|_| bad("the file cannot be read"))?,
        _ => return Err(bad("needs exactly one of `env` and `file`")),
    };
    let header =
        HeaderName::try_from(credential.header.as_str()).map_err(|_| bad("`header` is not a header name"))?;
    let mut value = HeaderValue::try_from(format!("{}{}", credential.prefix, secret.trim()))
        .map_err(|_| bad("holds characters that no header may carry"))?;
    value.set_sensitive(true);
    Ok((header, value))
}
