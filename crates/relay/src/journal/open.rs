//! Opens a journal's folder: the newest shard is recovered, a new one begun where the quarter changed.
use std::sync::Arc;

use bytes::Bytes;
use dragoman_engine::ledger::Hash;

use super::begin::Begin;
use super::core::{CommitError, Spare};
use super::disk::Lock;
use super::entries::{self, NextLog, Previous};
use super::recover::{Env, Shard, open_shard};
use super::sealed;
use super::segments::Segments;
use super::shard::{self, Layout};
use super::{Interrupted, JournalConfig, JournalError, OpenIntent, SEGMENT_BYTES_MIN};

/// A log of an earlier quarter: complete, still readable for those who have not taken all of it.
#[derive(Debug, Clone)]
pub struct EarlierLog {
    /// Its name.
    pub log_id: String,
    /// Its shard.
    pub shard: String,
    /// One more than its last index.
    pub next_index: u64,
    pub(super) segments: Arc<Segments>,
}

impl EarlierLog {
    /// Its entries; see [`super::Journal::read`].
    pub fn read(&self, from: u64, entries: usize, bytes: usize) -> Result<Vec<(u64, Bytes)>, JournalError> {
        Ok(self.segments.read(from, entries, bytes)?)
    }
}

/// What opening found and did.
#[derive(Debug)]
pub struct Opened<J> {
    /// The open journal.
    pub journal: J,
    /// The log's name: `log_<zone>_<hex>`.
    pub log_id: String,
    /// Turns that were ended as interrupted, oldest first.
    pub interrupted: Vec<Interrupted>,
    /// Turns that are still to be ended, oldest first; see [`JournalConfig::keep_open`].
    pub open: Vec<OpenIntent>,
    /// The index the next entry gets.
    pub next_index: u64,
}

/// A journal without threads: the caller commits groups and derives tiles. What [`super::Journal`] runs, and what
/// simulations drive.
#[derive(Debug)]
pub struct SyncJournal {
    pub(super) shard: Shard,
    pub(super) earlier: Vec<EarlierLog>,
    pub(super) lock: Box<dyn Lock>,
}

impl SyncJournal {
    /// Opens the folder; see [`JournalConfig`].
    pub fn open(config: &JournalConfig) -> Result<Opened<Self>, JournalError> {
        shard::check_zone(&config.zone)?;
        if config.segment_bytes < SEGMENT_BYTES_MIN {
            return Err(JournalError::Config(format!("segments have at least {SEGMENT_BYTES_MIN} bytes")));
        }
        let disk = &*config.disk;
        disk.create_dirs(&config.dir)?;
        let lock = disk.lock(&config.dir.join("lock")).map_err(|e| match e.kind() {
            std::io::ErrorKind::WouldBlock => JournalError::Locked(config.dir.clone()),
            _ => JournalError::from(e),
        })?;
        let env = Env {
            disk: Arc::clone(&config.disk),
            dir: config.dir.clone(),
            keys: config.keys.clone(),
            zone: config.zone.clone(),
            segment_bytes: config.segment_bytes,
            keep_open: config.keep_open,
        };
        let now = (config.clock)();
        let (shard, earlier) = open_newest(&env, now)?;
        Ok(Opened {
            log_id: shard.log_id.clone(),
            interrupted: shard.interrupted.clone(),
            open: shard.open.clone(),
            next_index: shard.core.next(),
            journal: Self { shard, earlier, lock },
        })
    }

    /// Writes and syncs `entries` as one group; returns the first index.
    pub fn commit(&mut self, entries: &[Vec<u8>]) -> Result<u64, CommitError> {
        self.shard.core.commit(entries)
    }

    /// Brings tiles and checkpoint up to what is durable. `false`: nothing was new.
    pub fn derive(&mut self) -> std::io::Result<bool> {
        self.shard.deriver.derive()
    }

    /// Prepares the next segment where it will be needed soon.
    pub fn prepare(&mut self, config: &JournalConfig) -> std::io::Result<()> {
        if !self.shard.core.wants_spare() {
            return Ok(());
        }
        let spare: Arc<Spare> = self.shard.core.spare();
        spare.make(&*config.disk, &Layout::new(&config.dir, &self.shard.quarter), config.segment_bytes)
    }

    /// Logs of earlier quarters, oldest first.
    pub fn earlier(&self) -> &[EarlierLog] {
        &self.earlier
    }

    /// The tree's size and root, as of the newest derivation.
    pub fn head(&self) -> (u64, Hash) {
        self.shard.deriver.head()
    }

    /// Durable entries from `from` on; see [`super::Journal::read`].
    pub fn read(&self, from: u64, entries: usize, bytes: usize) -> Result<Vec<(u64, Bytes)>, JournalError> {
        Ok(self.shard.segments.read(from, entries, bytes)?)
    }
}

/// The shard of this quarter. The newest one found is recovered first, also where it is an earlier one; a clock that
/// went back goes on with it. After a sealed one a new log begins.
fn open_newest(env: &Env, now: i64) -> Result<(Shard, Vec<EarlierLog>), JournalError> {
    let quarter = shard::shard_of(now);
    let mut shards: Vec<String> =
        env.disk.list(&env.dir)?.into_iter().filter(|n| shard::is_shard(n)).collect();
    let newest = match shards.last() {
        None => return Ok((open_shard(env, &quarter, &Begin::default(), now)?, Vec::new())),
        Some(last) if sealed::is_sealed(&*env.disk, &Layout::new(&env.dir, last))? => {
            shard::after(last, &quarter)?
        }
        Some(_) => shards.pop().unwrap_or_default(),
    };
    // A crash can leave the next shard's folder without a log: the one before says how it begins.
    let begin = shards.last().map(|s| announced(env, s)).transpose()?.unwrap_or_default();
    let mut current = open_shard(env, &newest, &begin, now)?;
    let mut earlier = shards.iter().map(|s| earlier_log(env, s)).collect::<Result<Vec<_>, _>>()?;
    // A log whose turns are still to be ended is closed by a later start.
    if (newest < quarter && current.open.is_empty()) || current.closed.is_some() {
        let (next, previous) = close_shard(env, &mut current, &quarter, now)?;
        let name = next.shard.clone();
        drop(current);
        earlier.push(earlier_log(env, &newest)?);
        let begin = Begin { next: Some(next), previous: Some(previous), open: Vec::new() };
        current = open_shard(env, &name, &begin, now)?;
    }
    Ok((current, earlier))
}

/// Announces the next log, derives the last checkpoint.
fn close_shard(
    env: &Env,
    current: &mut Shard,
    quarter: &str,
    now: i64,
) -> Result<(NextLog, Previous), JournalError> {
    let next = if let Some(next) = current.closed.take() {
        next
    } else {
        let next = NextLog { log: *uuid::Uuid::now_v7().as_bytes(), shard: quarter.to_owned() };
        let key = env.signer(&next.shard, &next.log, true)?.verifier();
        let entry = entries::closed(&current.log_id, &next, &key, &env.zone, now)?;
        current.core.commit(&[entry]).map_err(JournalError::from_commit)?;
        next
    };
    current.deriver.derive()?;
    let (size, root) = current.deriver.head();
    Ok((next, Previous { log: current.log_id.clone(), size, root }))
}

/// How the log after an earlier shard begins: as its last entry announces, or after its seal.
fn announced(env: &Env, shard: &str) -> Result<Begin, JournalError> {
    let layout = Layout::new(&env.dir, shard);
    let left = sealed::left(&env.disk, &layout, &env.zone)?;
    if left.previous.is_some() {
        return Ok(Begin { next: None, previous: left.previous, open: left.open });
    }
    let log = earlier_log(env, shard)?;
    let note = env.disk.read(&layout.checkpoint(), 64 * 1024)?;
    let head = note.and_then(|n| dragoman_engine::ledger::Checkpoint::unverified(&n).ok());
    let last = log.segments.read(log.next_index.saturating_sub(1), 1, 1)?;
    let next = last.first().and_then(|(_, entry)| entries::closing(entry));
    let (Some(next), Some(head)) = (next, head) else { return Ok(Begin::default()) };
    let previous = Previous { log: log.log_id, size: head.size, root: head.root };
    Ok(Begin { next: Some(next), previous: Some(previous), open: Vec::new() })
}

fn earlier_log(env: &Env, shard: &str) -> Result<EarlierLog, JournalError> {
    let layout = Layout::new(&env.dir, shard);
    let wrong = |why: &str| JournalError::Corrupt(format!("{}: {why}", layout.root.display()));
    let note = env
        .disk
        .read(&layout.checkpoint(), 64 * 1024)?
        .ok_or_else(|| wrong("an earlier shard has no checkpoint"))?;
    let head = dragoman_engine::ledger::Checkpoint::unverified(&note).map_err(|e| wrong(&e.to_string()))?;
    let segments = Segments::open(&env.disk, &layout, head.size)?;
    let first = segments.read(0, 1, 1)?;
    let opening =
        first.first().and_then(|(_, e)| entries::opening(e)).ok_or_else(|| wrong("entry 0 opens no log"))?;
    Ok(EarlierLog {
        log_id: opening.log,
        shard: shard.to_owned(),
        next_index: head.size,
        segments: Arc::new(segments),
    })
}
