//! Compiled rule sets by digest: fetched from control, checked against their digest, compiled off the
//! threads that carry turns. A running stream keeps the set it began with.
use crate::control::{Ask, Control};
use crate::errors::{self, ApiError};
use crate::limits;
use crate::record;
use arc_swap::ArcSwap;
use dragoman_engine::rules::{Limits, RuleSet, RuleSetSource};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// Sets kept at once, the announced ones first.
const KEPT: usize = 16;
/// Milliseconds a set announced ahead of use may take to arrive.
const AHEAD_MS: u64 = 30_000;

/// The sets of a relay.
pub struct Rules {
    sets: ArcSwap<HashMap<String, Arc<RuleSet>>>,
    /// All announced sets were compiled.
    ready: AtomicBool,
    /// One fetch and compile at a time; who waits finds the set afterwards.
    gate: Mutex<()>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            sets: ArcSwap::from_pointee(HashMap::new()),
            ready: AtomicBool::new(false),
            gate: Mutex::new(()),
        }
    }
}

impl Rules {
    pub fn has(&self, digest: &str) -> bool {
        self.sets.load().contains_key(digest)
    }

    /// The announced sets are compiled, or none was announced yet and none is needed.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The set of `digest`; without one, the set without rules. Waits at most `limits::WAIT_MS`.
    pub async fn get(&self, control: &Control, digest: Option<&str>) -> Result<Arc<RuleSet>, ApiError> {
        let Some(digest) = digest else {
            return Ok(RuleSet::empty());
        };
        if let Some(set) = self.sets.load().get(digest) {
            return Ok(Arc::clone(set));
        }
        let wait = Duration::from_millis(limits::WAIT_MS);
        match tokio::time::timeout(wait, self.fetch(control, digest)).await {
            Ok(Ok(set)) => Ok(set),
            Ok(Err(why)) => {
                tracing::error!(digest, why, "a rule set that cannot be used");
                Err((&errors::RULES_NOT_READY).into())
            }
            Err(_) => Err((&errors::RULES_NOT_READY).into()),
        }
    }

    /// Makes the announced sets ready and forgets what is neither announced nor recent.
    pub async fn announced(&self, control: &Control, digests: &[String]) {
        for digest in digests.iter().filter(|d| !self.has(d)) {
            let fetch = tokio::time::timeout(Duration::from_millis(AHEAD_MS), self.fetch(control, digest));
            match fetch.await {
                Ok(Ok(_)) => {}
                Ok(Err(why)) => {
                    tracing::error!(digest = %digest, why, "an announced rule set cannot be used");
                }
                Err(_) => tracing::error!(digest = %digest, "an announced rule set took too long"),
            }
        }
        self.ready.store(digests.iter().all(|d| self.has(d)), Ordering::Release);
        if self.sets.load().len() > KEPT {
            self.sets.rcu(|sets| {
                let mut kept = HashMap::clone(sets);
                kept.retain(|digest, _| digests.contains(digest));
                kept
            });
        }
    }

    async fn fetch(&self, control: &Control, digest: &str) -> Result<Arc<RuleSet>, String> {
        let _one = self.gate.lock().await;
        if let Some(set) = self.sets.load().get(digest) {
            return Ok(Arc::clone(set));
        }
        let path = format!("/rulesets/{digest}");
        let ask = Ask { ms: AHEAD_MS, ..Ask::get(&path) };
        let body = control.ask(&ask).await.map_err(|e| e.to_string())?;
        let wanted = digest.to_owned();
        let compiled = tokio::task::spawn_blocking(move || compile(&body, &wanted)).await;
        let set = compiled.map_err(|_| "compiling panicked".to_owned())??;
        self.sets.rcu(|sets| {
            let mut more = HashMap::clone(sets);
            more.insert(digest.to_owned(), Arc::clone(&set));
            more
        });
        Ok(set)
    }
}

fn compile(body: &[u8], digest: &str) -> Result<Arc<RuleSet>, String> {
    let document: Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    if record::digest_of(&document) != digest {
        return Err("the document does not have the digest it was asked by".into());
    }
    let source: RuleSetSource = serde_json::from_value(document).map_err(|e| e.to_string())?;
    RuleSet::compile(&source, Limits::default()).map(Arc::new).map_err(|e| e.to_string())
}
