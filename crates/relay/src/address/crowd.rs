//! How much one client address has open: its connections, or behind a trusted proxy its requests. Bounded, so
//! that one address cannot take all places. Addresses are held while something is open, and never written.
use crate::limits;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// What is open, by address.
#[derive(Debug, Default)]
pub struct Crowd(Mutex<HashMap<IpAddr, u32>>);

/// One open thing, until it is dropped.
#[derive(Debug)]
pub struct Counted {
    crowd: Arc<Crowd>,
    ip: IpAddr,
}

impl Crowd {
    /// Counts one more of `ip` in, or nothing when it has all it may.
    pub fn take(crowd: &Arc<Self>, ip: IpAddr) -> Option<Counted> {
        let ip = whole(ip);
        let mut open = crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(ip).or_insert(0);
        if *count >= limits::PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Counted { crowd: Arc::clone(crowd), ip })
    }
}

/// One client may use every address of its IPv6 /64.
pub fn whole(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.ip);
            }
        }
    }
}
