//! Where a request comes from: the socket's peer, or what a trusted proxy says of it, made into the fact that
//! plans are asked with. What is unclear is `unknown`; nothing is guessed, and no address leaves this module.
pub mod crowd;
pub mod files;

use crate::limits;
use crate::wire::Address;
use files::Files;
use http::HeaderMap;
use ipnetwork::IpNetwork;
use std::net::{IpAddr, SocketAddr};

/// What kind of place an address is, in the words of the facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    #[default]
    Unknown,
    Residential,
    Mobile,
    Hosting,
    Vpn,
    Tor,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Residential => "residential",
            Self::Mobile => "mobile",
            Self::Hosting => "hosting",
            Self::Vpn => "vpn",
            Self::Tor => "tor",
        }
    }
}

/// An ISO 3166-1 code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country([u8; 2]);

impl Country {
    /// Two letters, or nothing.
    pub fn of(code: &str) -> Option<Self> {
        let code: [u8; 2] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_alphabetic).then(|| Self(code.map(|b| b.to_ascii_uppercase())))
    }

    pub fn code(self) -> String {
        self.0.iter().map(|b| char::from(*b)).collect()
    }
}

/// The fact: small, so that a request carries it by value. There are as many as countries times kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub country: Option<Country>,
    pub kind: Kind,
    /// On this very machine, in stage local.
    pub loopback: bool,
}

impl Seen {
    /// As plans are asked with.
    pub fn address(self) -> Address {
        Address {
            country: self.country.map(Country::code),
            kind: self.kind.name().into(),
            peer: if self.loopback { "loopback" } else { "remote" }.into(),
        }
    }
}

/// The networks of `trusted_proxies`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNetwork>);

impl Networks {
    /// # Errors
    /// The text that is no network.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        texts.iter().map(|t| t.parse().map_err(|_| t.clone())).collect::<Result<_, _>>().map(Self)
    }

    pub fn contain(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(ip))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This address, of whom it is asked whether it is a trusted proxy.
    Peer(IpAddr),
    /// A trusted proxy that did not say for whom it connects.
    Unclear,
}

impl Origin {
    pub fn of(peer: SocketAddr) -> Self {
        Self::Peer(peer.ip().to_canonical())
    }

    /// Whose request it is: the peer, or the right-most hop that no trusted proxy is.
    pub fn client(self, headers: &HeaderMap, trusted: &Networks) -> Option<IpAddr> {
        match self {
            Self::Unclear => None,
            Self::Peer(peer) if trusted.contain(peer) => forwarded_for(headers, trusted),
            Self::Peer(peer) => Some(peer),
        }
    }

    /// Whether its fields about forwarding count.
    pub fn is_proxy(self, trusted: &Networks) -> bool {
        match self {
            Self::Unclear => true,
            Self::Peer(peer) => trusted.contain(peer),
        }
    }
}

/// The right-most hop of `X-Forwarded-For` that no trusted proxy is. `Forwarded` beside it could say another,
/// and a hop that is no address hides those before it: both are unclear.
fn forwarded_for(headers: &HeaderMap, trusted: &Networks) -> Option<IpAddr> {
    if headers.contains_key("forwarded") {
        return None;
    }
    let fields: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|v| v.to_str().ok()).collect::<Option<_>>()?;
    for hop in fields.iter().rev().flat_map(|field| field.rsplit(',')).take(limits::FORWARDED_HOPS) {
        let hop = hop_address(hop.trim())?;
        if !trusted.contain(hop) {
            return Some(hop).filter(|ip| !ip.is_unspecified() && !ip.is_multicast());
        }
    }
    None
}

/// An address as proxies write it, with or without a port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let plain = hop.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(hop);
    let ip = plain.parse::<IpAddr>().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|a| a.ip()));
    ip.map(|ip| ip.to_canonical())
}

/// The fact of `client` in stage `public`, as the files say.
pub fn seen(client: Option<IpAddr>, files: &Files) -> Seen {
    client.map(|ip| files.look(ip)).unwrap_or_default()
}
