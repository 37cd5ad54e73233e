//! By which door a request came in, and whose address it counts under.
use crate::address::crowd::{Counted, Crowd};
use crate::address::{self, Origin, Seen};
use crate::config::Config;
use crate::errors::{self, ApiError};
use crate::metrics::count;
use crate::proxy;
use crate::worker::Worker;
use http::HeaderMap;
use std::net::{IpAddr, Ipv4Addr};

/// By which door a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The public listener.
    Public {
        /// What its address says.
        seen: Seen,
        /// The address that rates count it under, which goes nowhere; none where everybody is on this machine.
        client: Option<IpAddr>,
    },
    /// `turn.sock`: control asks for a user of its pages.
    Socket,
}

impl Door {
    /// The client's address, where rates count by it.
    pub fn client(self) -> Option<IpAddr> {
        match self {
            Self::Public { client, .. } => client,
            Self::Socket => None,
        }
    }
}

/// Where a public request comes from, and its place among the open ones of its client.
pub fn whence(
    worker: &Worker,
    config: &Config,
    origin: Origin,
    secure: bool,
    headers: &HeaderMap,
) -> Result<(Door, Option<Counted>), ApiError> {
    let forwarded = || headers.keys().any(proxy::is_forwarding);
    if config.local {
        if forwarded() {
            return Err((&errors::FORWARDED_LOCALLY).into());
        }
        let seen = Seen { loopback: true, ..Seen::default() };
        return Ok((Door::Public { seen, client: None }, None));
    }
    let by_proxy = origin.is_proxy(&config.edge.trusted);
    let direct = !by_proxy && !config.edge.proxy_protocol;
    let here = matches!(origin, Origin::Peer(ip) if ip.is_loopback());
    if here && direct && forwarded() {
        // A proxy of this machine that nobody named: its address would stand for everybody's.
        return Err((&errors::FORWARDED_UNTRUSTED).into());
    }
    if !secure && !here && direct {
        return Err((&errors::TLS_REQUIRED).into());
    }
    let client = origin.client(headers, &config.edge.trusted);
    // Those whose address is unclear are one client: a field that makes it unclear is no way round a limit.
    let ip = client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let mut counted = None;
    if by_proxy {
        counted = Crowd::take(&worker.relay.edge.crowd, ip);
        if counted.is_none() {
            count(&worker.relay.metrics.crowded);
            return Err((&errors::TOO_MANY_OPEN).into());
        }
    }
    let seen = address::seen(client, &worker.relay.edge.files.load());
    Ok((Door::Public { seen, client: Some(ip) }, counted))
}
