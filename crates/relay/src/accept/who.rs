//! Who sent a request, and how fast it may ask for what is no turn.
use super::{Door, slowed};
use crate::address::Seen;
use crate::errors::{self, ApiError};
use crate::identify::{self, Credential};
use crate::wire::{Address, Principal};
use crate::worker::Worker;
use http::{HeaderMap, Method, Request};
use hyper::body::Incoming;
use std::sync::Arc;

/// The principal of a credential. One that control does not know counts against its address.
async fn known(
    worker: &Worker,
    door: Door,
    credential: &Credential,
    user_token: Option<&str>,
    peer: &str,
) -> Result<Arc<Principal>, ApiError> {
    let relay = &worker.relay;
    let most = relay.config.load().edge.per_minute.failed_credentials;
    let ask = || slowed(worker, relay.throttles.failed.hold_address(door.client(), most));
    identify::principal(relay, &worker.control, credential, user_token, peer, ask).await
}

/// Lets one more request that is no turn of `who` through.
pub fn paced(worker: &Worker, door: Door, who: &Principal) -> Result<(), ApiError> {
    if door == Door::Socket {
        // Control's own, for a request that was counted when it came.
        return Ok(());
    }
    let relay = &worker.relay;
    let most = relay.config.load().edge.per_minute.requests;
    slowed(worker, relay.throttles.principals.pass(&who.principal, most))
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
    let (credential, address) = match door {
        Door::Socket => socket_credential(headers)?,
        Door::Public { seen, .. } => {
            let config = relay.config.load();
            let sent = identify::credential(method, headers, &config.session_cookie, &config.origins)?;
            (sent.ok_or(&errors::MISSING_CREDENTIAL)?, seen.address())
        }
    };
    let user_token = headers.get("dragoman-user-token").and_then(|v| v.to_str().ok());
    let who = known(worker, door, &credential, user_token, &address.peer).await?;
    Ok((who, address))
}

/// Who visits a page, when a session says so. A page is shown to anybody; it decides what to show.
///
/// # Errors
/// 429 where too many credentials of its address failed: who has a session is not shown the page as a stranger.
pub async fn visitor(
    worker: &Worker,
    door: Door,
    request: &Request<Incoming>,
) -> Result<(Option<Arc<Principal>>, Address), ApiError> {
    let config = worker.relay.config.load_full();
    let sent =
        identify::credential(request.method(), request.headers(), &config.session_cookie, &config.origins);
    let seen = if let Door::Public { seen, .. } = door { seen } else { Seen::default() };
    let address = seen.address();
    let Ok(Some(session @ Credential::Session { .. })) = sent else {
        return Ok((None, address));
    };
    if !worker.relay.lease.fresh() {
        return Ok((None, address));
    }
    match known(worker, door, &session, None, &address.peer).await {
        Ok(who) => Ok((Some(who), address)),
        Err(e) if e.status == 429 => Err(e),
        Err(_) => Ok((None, address)),
    }
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
