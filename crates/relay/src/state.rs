//! What the threads of one relay share.
use crate::address::crowd::Counted;
use crate::budget::{self, Budgets};
use crate::cache::Cache;
use crate::carry::live::LiveTurns;
use crate::changes::{ChangeLog, Lease};
use crate::config::Config;
use crate::edge::Edge;
use crate::identify::Principals;
use crate::limits;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::plan::Plans;
use crate::rules::Rules;
use crate::throttle::Throttles;
use crate::wire::{Change, Pool};
use arc_swap::ArcSwap;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc::UnboundedSender;

/// What a thread is told from outside.
pub enum Told {
    /// A client's connection, accepted and handed over.
    Public(Arrived, Slot),
    /// A connection on `turn.sock`.
    Socket(std::os::unix::net::UnixStream, Slot),
    /// A connection on the admin listener.
    Admin(std::net::TcpStream),
    /// Changes that may stop running turns.
    Changed(Arc<[Arc<Change>]>),
    /// Stop taking requests; finish what is open.
    Drain,
    /// The drain's time is over: end what is open.
    End,
}

/// A client's connection as it was accepted.
pub struct Arrived {
    pub stream: std::net::TcpStream,
    pub peer: std::net::SocketAddr,
    /// Counted under its address, unless that is a trusted proxy's.
    pub counted: Option<Counted>,
}

/// One relay: its configuration, what it knows from control, and its record.
pub struct Relay {
    pub config: ArcSwap<Config>,
    pub config_path: PathBuf,
    pub lease: Lease,
    pub changes: ChangeLog,
    pub principals: Principals,
    pub plans: Plans,
    pub rules: Rules,
    pub budgets: Budgets,
    pub throttles: Throttles,
    pub log: Log,
    pub edge: Edge,
    pub metrics: Arc<Metrics>,
    /// Turns of conversations that run here.
    pub live: LiveTurns,
    pub tls: Arc<rustls::ClientConfig>,
    /// No new turn is taken.
    pub stopping: AtomicBool,
    /// All turns are over: contact may end.
    pub closing: AtomicBool,
    /// Decisions that have their entry in this log.
    decisions: Mutex<HashSet<String>>,
    /// Open turns by key, where a plan limits them.
    per_key: Mutex<HashMap<String, u32>>,
    /// Turns that each pool has left, as of when.
    pools: Mutex<HashMap<String, (f64, Instant)>>,
    pub threads: Vec<UnboundedSender<Told>>,
}

impl Relay {
    pub fn new(
        config: Config,
        config_path: PathBuf,
        log: Log,
        edge: Edge,
        tls: Arc<rustls::ClientConfig>,
        threads: Vec<UnboundedSender<Told>>,
    ) -> Self {
        Self {
            lease: Lease::new(config.lease_ms),
            config: ArcSwap::from_pointee(config),
            config_path,
            changes: ChangeLog::default(),
            principals: Cache::new(limits::PRINCIPALS),
            plans: Cache::new(limits::PLANS),
            rules: Rules::default(),
            budgets: Budgets::default(),
            throttles: Throttles::default(),
            log,
            edge,
            metrics: Arc::default(),
            live: LiveTurns::default(),
            tls,
            stopping: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            decisions: Mutex::default(),
            per_key: Mutex::default(),
            pools: Mutex::default(),
            threads,
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Reads the configuration file again. False when nothing new could be taken from it.
    pub fn reload(&self) -> bool {
        let current = self.config.load();
        match Config::read(&self.config_path) {
            Ok(config) if config.digest == current.digest => false,
            Ok(config) => {
                // What the process is bound to stays as it started; control restarts the relay for these.
                if config.listen != current.listen
                    || config.run != current.run
                    || config.journal != current.journal
                    || config.edge.tls.is_some() != current.edge.tls.is_some()
                {
                    tracing::error!(
                        "listen, run, journal or whether TLS is spoken changed: restart the relay"
                    );
                    return false;
                }
                tracing::info!(digest = %config.digest, "configuration exchanged");
                self.config.store(Arc::new(config));
                true
            }
            Err(e) => {
                tracing::error!(error = %e, "the configuration is kept as it was");
                false
            }
        }
    }

    /// Whether the decision's entry still has to be written, asked by who is about to write it.
    pub fn enter_decision(&self, id: &str) -> bool {
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        // A set that is full forgets: a second entry of a decision is harmless, a missing one is not.
        if decisions.len() >= limits::PLANS * 4 {
            decisions.clear();
        }
        decisions.insert(id.to_owned())
    }

    /// The decision's entry could not be written.
    pub fn forget_decision(&self, id: &str) {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Counts a turn of `key` in, at most `most` at once.
    pub fn open_of_key(self: &Arc<Self>, key: &str, most: u32) -> Option<KeyTurn> {
        let mut per_key = self.per_key.lock().unwrap_or_else(PoisonError::into_inner);
        let open = per_key.entry(key.to_owned()).or_insert(0);
        if *open >= most {
            return None;
        }
        *open += 1;
        Some(KeyTurn { relay: Arc::clone(self), key: key.to_owned() })
    }

    /// Counts a turn into a pool, bounded at once and by the minute.
    pub fn open_of_pool(self: &Arc<Self>, pool: &Pool) -> Option<KeyTurn> {
        // No key and no principal is called like that.
        let turn = self.open_of_key(&format!("pool:{}", pool.name), pool.turns)?;
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = pools.entry(pool.name.clone()).or_insert((f64::from(pool.per_minute), Instant::now()));
        let gained = bucket.1.elapsed().as_secs_f64() / 60.0 * f64::from(pool.per_minute);
        *bucket = ((bucket.0 + gained).min(f64::from(pool.per_minute)), Instant::now());
        if bucket.0 < 1.0 {
            return None;
        }
        bucket.0 -= 1.0;
        Some(turn)
    }

    /// Forgets what the changes' tags concern, then tells the threads.
    pub fn changed(&self, seq: u64, changes: Vec<Change>, reset: bool) {
        let changes: Arc<[Arc<Change>]> = changes.into_iter().map(Arc::new).collect();
        if changes.is_empty() && !reset {
            return;
        }
        self.changes.advance(seq, &changes, reset);
        if reset {
            self.principals.clear();
            self.plans.clear();
        }
        let tags: HashSet<&str> = changes.iter().flat_map(|c| &c.tags).map(String::as_str).collect();
        self.principals.forget(&tags);
        self.plans.forget(&tags);
        if reset || tags.contains(budget::TAG) {
            self.budgets.buckets.each(|bucket| bucket.expire());
        }
        self.tell(|| Told::Changed(Arc::clone(&changes)));
    }

    /// Tells every thread.
    pub fn tell(&self, told: impl Fn() -> Told) {
        for thread in &self.threads {
            // A thread that is gone has nothing to be told.
            drop(thread.send(told()));
        }
    }
}

/// A turn counted under its key until it is dropped.
pub struct KeyTurn {
    relay: Arc<Relay>,
    key: String,
}

impl Drop for KeyTurn {
    fn drop(&mut self) {
        let mut per_key = self.relay.per_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = per_key.get_mut(&self.key) {
            *open -= 1;
            if *open == 0 {
                per_key.remove(&self.key);
            }
        }
    }
}

/// Open connections by thread.
pub struct Loads(Vec<AtomicUsize>);

/// A connection's place on a thread, until it is dropped.
pub struct Slot {
    loads: Arc<Loads>,
    thread: usize,
}

impl Loads {
    pub fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| AtomicUsize::new(0)).collect())
    }

    /// A place on the thread with the fewest connections; none when the listener is full.
    pub fn take(loads: &Arc<Self>) -> Option<Slot> {
        let open = |n: &AtomicUsize| n.load(Ordering::Relaxed);
        if loads.0.iter().map(open).sum::<usize>() >= limits::CONNECTIONS {
            return None;
        }
        let (thread, least) = loads.0.iter().enumerate().min_by_key(|(_, n)| open(n))?;
        least.fetch_add(1, Ordering::Relaxed);
        Some(Slot { loads: Arc::clone(loads), thread })
    }
}

impl Slot {
    pub fn thread(&self) -> usize {
        self.thread
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.loads.0[self.thread].fetch_sub(1, Ordering::Relaxed);
    }
}
