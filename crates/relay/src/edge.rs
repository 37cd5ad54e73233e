//! The edge's part of the configuration, and what the threads share of it: certificate, address files, open
//! connections by address. One thread looks whether the files changed; no request waits for that.
use crate::address::Networks;
use crate::address::crowd::Crowd;
use crate::address::files::Files;
use crate::config::Config;
use crate::limits;
use crate::state::Relay;
use crate::throttle::PerMinute;
use crate::tls::{Tls, TlsError, TlsFiles};
use arc_swap::ArcSwap;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// As control writes it. Absent: nothing faces anything but loopback.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawEdge {
    tls: Option<TlsFiles>,
    trusted_proxies: Vec<String>,
    proxy_protocol: bool,
    address_files: Vec<PathBuf>,
    per_minute: PerMinute,
}

/// Checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeConfig {
    pub tls: Option<TlsFiles>,
    pub trusted: Networks,
    /// Every connection begins with a PROXY header; without, none does.
    pub proxy_protocol: bool,
    pub address_files: Vec<PathBuf>,
    pub per_minute: PerMinute,
}

impl EdgeConfig {
    /// # Errors
    /// What cannot be, in a sentence.
    pub fn of(raw: RawEdge) -> Result<Self, String> {
        let trusted = Networks::parse(&raw.trusted_proxies)
            .map_err(|text| format!("edge.trusted_proxies: {text:?} is no network such as 10.0.0.0/8"))?;
        if raw.proxy_protocol && trusted.is_empty() {
            return Err(
                "edge.proxy_protocol: only a trusted proxy may speak it; name it in trusted_proxies".into()
            );
        }
        Ok(Self {
            tls: raw.tls,
            trusted,
            proxy_protocol: raw.proxy_protocol,
            address_files: raw.address_files,
            per_minute: raw.per_minute,
        })
    }
}

/// What the threads share of the edge.
pub struct Edge {
    pub tls: Option<Tls>,
    pub files: ArcSwap<Files>,
    pub crowd: Arc<Crowd>,
}

impl Edge {
    /// # Errors
    /// A certificate that cannot be used. An address file that cannot be read is told, and looked at again.
    pub fn open(config: &EdgeConfig) -> Result<Self, TlsError> {
        let tls = config.tls.as_ref().map(Tls::open).transpose()?;
        let files = Files::read(&config.address_files).unwrap_or_else(|e| {
            tracing::error!(error = %e, "address files cannot be read: every address is unknown");
            Files::default()
        });
        tell_old(&files);
        Ok(Self { tls, files: ArcSwap::from_pointee(files), crowd: Arc::default() })
    }
}

fn tell_old(files: &Files) {
    for database in files.databases() {
        if database.age_days() > crate::address::files::OLD_DAYS {
            tracing::warn!(file = ?database, days = database.age_days(), "an address file is old");
        }
    }
}

/// What a file looked like: another time, length or inode is another file.
type Look = Option<(SystemTime, u64, u64)>;

fn look(path: &Path) -> Look {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

/// The pair's files and the address files, as they look.
pub type Looks = (Vec<(PathBuf, Look)>, Vec<(PathBuf, Look)>);

/// How the files look now.
pub fn looks(config: &Config) -> Looks {
    let edge = &config.edge;
    let of = |paths: Vec<&PathBuf>| paths.into_iter().map(|p| (p.clone(), look(p))).collect();
    let pair = edge.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]).collect();
    (of(pair), of(edge.address_files.iter().collect()))
}

/// Looks at the files until the relay closes, and takes changed ones.
pub fn watch(relay: &Relay, mut before: Looks) {
    while !relay.is_closing() {
        std::thread::sleep(Duration::from_millis(limits::WATCH_MS));
        let config = relay.config.load_full();
        let now = looks(&config);
        if now.0 != before.0 {
            take_pair(relay, &config.edge);
        }
        if now.1 != before.1 {
            take_files(relay, &config.edge);
        }
        before = now;
    }
}

fn take_pair(relay: &Relay, config: &EdgeConfig) {
    let (Some(tls), Some(files)) = (&relay.edge.tls, &config.tls) else { return };
    match tls.exchange(files) {
        Ok(()) => tracing::info!("certificate exchanged"),
        Err(e) => tracing::error!(error = %e, "the new certificate is not used; the old one stays"),
    }
}

/// A broken file leaves what was read; one that is gone does not count any more.
fn take_files(relay: &Relay, config: &EdgeConfig) {
    match Files::read(&config.address_files) {
        Ok(files) => {
            tell_old(&files);
            relay.edge.files.store(Arc::new(files));
            tracing::info!(files = config.address_files.len(), "address files read");
        }
        Err(e) if config.address_files.iter().any(|path| !path.exists()) => {
            relay.edge.files.store(Arc::default());
            tracing::error!(error = %e, "an address file is gone: every address is unknown");
        }
        Err(e) => tracing::error!(error = %e, "the new address files are not used; the old ones stay"),
    }
}
