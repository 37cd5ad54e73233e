//! Step 2: one credential, exchanged for a principal. The answer is kept under SHA-256 of the whole
//! credential; refusals for a second. No secret is kept, compared or printed here.
use crate::cache::{Cache, Found, Kept, Key};
use crate::clock::wall_ms;
use crate::control::{Ask, AskError, Control};
use crate::errors::{self, ApiError};
use crate::limits;
use crate::state::Relay;
use crate::throttle::Taken;
use crate::wire::{Address, Principal};
use http::{HeaderMap, Method, header};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Bytes that a question mostly fits in.
const QUESTION_BYTES_USUAL: usize = 256;

/// What a request carries to say who asks.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Credential {
    ApiKey {
        value: String,
    },
    Session {
        value: String,
    },
    /// A request on `turn.sock`: control re-reads the facts.
    Socket {
        principal: String,
        channel: String,
        address: Address,
    },
}

#[derive(Debug, Serialize)]
struct Question<'a> {
    credential: &'a Credential,
    user_token: Option<&'a str>,
    peer: &'a str,
}

/// A kept answer: who asks, or why not.
pub enum Known {
    Principal(Arc<Principal>),
    Refused(ApiError),
}

impl Kept for Known {
    fn tags(&self) -> &[String] {
        match self {
            Self::Principal(p) => &p.tags,
            Self::Refused(_) => &[],
        }
    }
}

pub type Principals = Cache<Known>;

/// The credential of a public request. `session` names the cookie, `origins` what same-origin means.
///
/// # Errors
/// None at all, two of any kind, a form that no key has, or a session from another origin.
pub fn credential(
    method: &Method,
    headers: &HeaderMap,
    session: &str,
    origins: &[String],
) -> Result<Option<Credential>, ApiError> {
    let mut found = Vec::new();
    for value in headers.get_all(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| &errors::BAD_CREDENTIAL)?;
        let (scheme, key) = text.split_once(' ').ok_or(&errors::BAD_CREDENTIAL)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err((&errors::BAD_CREDENTIAL).into());
        }
        found.push(Credential::ApiKey { value: key.trim().to_owned() });
    }
    for value in headers.get_all("x-api-key") {
        let key = value.to_str().map_err(|_| &errors::BAD_CREDENTIAL)?;
        found.push(Credential::ApiKey { value: key.trim().to_owned() });
    }
    let sessions = cookies(headers, session);
    let with_session = !sessions.is_empty();
    found.extend(sessions.into_iter().map(|value| Credential::Session { value }));
    if found.len() > 1 {
        return Err((&errors::TWO_CREDENTIALS).into());
    }
    if with_session && *method != Method::GET && *method != Method::HEAD && !same_origin(headers, origins) {
        return Err((&errors::CROSS_ORIGIN).into());
    }
    Ok(found.pop())
}

fn cookies(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| value.to_owned())
        .collect()
}

fn same_origin(headers: &HeaderMap, origins: &[String]) -> bool {
    let mut sent = headers.get_all(header::ORIGIN).iter();
    let origin = sent.next().and_then(|o| o.to_str().ok());
    sent.next().is_none() && origin.is_some_and(|o| origins.iter().any(|ours| ours == o))
}

fn key(question: &[u8]) -> Key {
    Sha256::digest(question).into()
}

/// The principal of `credential`, remembered or asked for. `may_ask` says whether control may be asked; what it gives is
/// given back unless control does not know the credential.
pub async fn principal<'a>(
    relay: &'a Relay,
    control: &Control,
    credential: &Credential,
    user_token: Option<&str>,
    peer: &str,
    may_ask: impl Fn() -> Result<Option<Taken<'a>>, ApiError>,
) -> Result<Arc<Principal>, ApiError> {
    let mut question = Vec::with_capacity(QUESTION_BYTES_USUAL);
    serde_json::to_writer(&mut question, &Question { credential, user_token, peer })
        .map_err(|_| &errors::INTERNAL)?;
    let key = key(&question);
    for _ in 0..limits::ASK_AGAIN {
        let ticket = match relay.principals.find(&key, wall_ms()) {
            Found::Hit(known) => {
                relay.metrics.principal_hit();
                return known.result();
            }
            Found::Wait(mut done) => {
                // Ends with an error when the asker is done: then the cache has the answer, or we ask.
                drop(done.changed().await);
                continue;
            }
            Found::Ask(ticket) => ticket,
        };
        let taken = may_ask()?;
        relay.metrics.principal_miss();
        let epoch = relay.changes.epoch();
        let said = control.ask_json::<Principal>(&Ask::post("/principal", &question)).await;
        // Who leaves meanwhile has not shown that it is known.
        if !matches!(&said, Err(AskError::Said(e)) if e.status < 500)
            && let Some(taken) = taken
        {
            taken.give_back();
        }
        let (known, until) = match said {
            Ok(p) => {
                let until = p.expires;
                (Known::Principal(Arc::new(p)), until)
            }
            Err(AskError::Said(e)) => (Known::Refused(e), wall_ms() + limits::REFUSAL_MS),
            Err(lost @ AskError::Lost(_)) => {
                tracing::warn!(error = %lost, "no principal");
                return Err(lost.into());
            }
        };
        let known = Arc::new(known);
        let mut unchanged = false;
        relay.principals.keep(ticket, Arc::clone(&known), until, || {
            unchanged = relay.changes.epoch() == epoch;
            unchanged
        });
        if unchanged {
            return known.result();
        }
    }
    Err((&errors::NO_CONTACT).into())
}

impl Known {
    fn result(&self) -> Result<Arc<Principal>, ApiError> {
        match self {
            Self::Principal(p) => Ok(Arc::clone(p)),
            Self::Refused(e) => Err(e.clone()),
        }
    }
}
