//! Idle connections of one thread, per provider. A connection is given to one call at a time and
//! comes back only after a whole answer.
use super::conn::{CallError, Conn};
use crate::config::Target;
use crate::limits;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// The connections of a thread.
pub struct Pool {
    idle: RefCell<HashMap<Arc<str>, Vec<Conn>>>,
    tls: Arc<rustls::ClientConfig>,
}

impl Pool {
    pub fn new(tls: Arc<rustls::ClientConfig>) -> Self {
        Self { idle: RefCell::default(), tls }
    }

    /// An idle connection that is still open, or a new one.
    pub async fn take(&self, name: &Arc<str>, target: &Target) -> Result<Conn, CallError> {
        while let Some(mut conn) = self.pop(name) {
            if poll_fn(|cx| Poll::Ready(conn.still_open(cx))).await {
                return Ok(conn);
            }
        }
        self.fresh(target).await
    }

    /// A new connection.
    pub async fn fresh(&self, target: &Target) -> Result<Conn, CallError> {
        Conn::open(target, &self.tls).await
    }

    fn pop(&self, name: &Arc<str>) -> Option<Conn> {
        self.idle.borrow_mut().get_mut(name).and_then(Vec::pop)
    }

    /// Keeps `conn` for the next call, from boot time `now` on.
    pub fn give(&self, name: &Arc<str>, mut conn: Conn, now: u64) {
        conn.idle_since = now;
        let mut idle = self.idle.borrow_mut();
        let list = idle.entry(Arc::clone(name)).or_default();
        if list.len() < limits::PROVIDER_POOL {
            list.push(conn);
        }
    }

    /// Closes what idled too long. Called by the thread's clock.
    pub fn tick(&self, now: u64) {
        for list in self.idle.borrow_mut().values_mut() {
            // The oldest idle at the front: connections are taken from the back.
            let old = list
                .iter()
                .take_while(|c| now.saturating_sub(c.idle_since) > limits::PROVIDER_POOL_IDLE_MS)
                .count();
            list.drain(..old);
        }
    }
}

/// The client side of TLS: ring, and the roots of the operator's own trust store.
pub fn tls_config() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
