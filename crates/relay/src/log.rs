//! The relay's own log: the journal under its id, and whether it writes. The journal's format and promises
//! are its own; here its errors become the caller's.
use crate::errors::{self, ApiError};
use crate::journal::{Append, Journal, JournalConfig, JournalError, JournalStats, OpenIntent};
use crate::limits;
use crate::mailbox::gathered;
use bytes::Bytes;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// An open log.
pub struct Log {
    journal: Journal,
    id: String,
    healthy: AtomicBool,
    open: Vec<OpenIntent>,
}

impl Log {
    /// Opens or recovers the log in `folder`.
    pub fn open(folder: &Path, zone: &str, segment_bytes: Option<u64>) -> Result<Self, JournalError> {
        let mut config = JournalConfig::new(folder, zone);
        config.segment_bytes = config.segment_bytes.min(segment_bytes.unwrap_or(u64::MAX));
        config.keep_open = true;
        let opened = Journal::open(&config)?;
        for turn in &opened.interrupted {
            tracing::warn!(turn = %turn.turn, index = turn.index, "a turn was interrupted by the last stop");
        }
        tracing::info!(log = %opened.log_id, next = opened.next_index, "log open");
        Ok(Self {
            journal: opened.journal,
            id: opened.log_id,
            healthy: AtomicBool::new(true),
            open: opened.open,
        })
    }

    /// Turns of an earlier process whose intents have no result: `recover` ends them before anything is served.
    pub fn open_intents(&self) -> &[OpenIntent] {
        &self.open
    }

    /// The logs whose turns a start settles: the one before, which may be a restored copy, and this one.
    pub fn settled_at_start(&self) -> Vec<String> {
        let before = self.journal.earlier().last().map(|log| log.log_id.clone());
        before.into_iter().chain([self.id.clone()]).collect()
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The last append was written.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// The index of `entry`, once it is durable.
    pub async fn append(&self, entry: Vec<u8>) -> Result<u64, ApiError> {
        self.written(self.journal.append(entry)).await
    }

    /// The index of the first of `entries`, once all are durable.
    pub async fn append_many(&self, entries: Vec<Vec<u8>>) -> Result<u64, ApiError> {
        self.written(self.journal.append_many(entries)).await
    }

    /// The index of `entry`, however long the disk refuses it: what control holds an outcome of has to get its entry. Nothing
    /// where it cannot be known whether it stands, or `stop` holds; then the next start reads what does.
    pub async fn append_surely(&self, entry: Vec<u8>, stop: impl Fn() -> bool) -> Option<u64> {
        let from = self.durable();
        let mut pause = limits::TICK_MS;
        loop {
            match gathered(self.journal.append(entry.clone())).await {
                Ok(index) => {
                    self.healthy.store(true, Ordering::Relaxed);
                    return Some(index);
                }
                // Nothing of it is recorded: once more.
                Err(e @ JournalError::Unavailable(_)) => {
                    self.healthy.store(false, Ordering::Relaxed);
                    tracing::warn!(error = %e, "an entry is recorded again");
                }
                Err(JournalError::Slow) => {
                    self.healthy.store(false, Ordering::Relaxed);
                    return self.appeared(&entry, from, stop).await;
                }
                Err(e) => {
                    tracing::error!(error = %e, "an entry is not recorded");
                    return None;
                }
            }
            if stop() {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            pause = (pause * 2).min(limits::SETTLE_MS);
        }
    }

    /// Where `entry` is from `from` on, waiting for it: its group was slow, and may still come.
    async fn appeared(&self, entry: &[u8], from: u64, stop: impl Fn() -> bool) -> Option<u64> {
        let until = Instant::now() + Duration::from_millis(limits::SLOW_ENTRY_MS);
        let mut next = from;
        while Instant::now() < until && !stop() {
            let read =
                self.journal.read(next, limits::FEED_ENTRIES, limits::FEED_BYTES).unwrap_or_else(|e| {
                    tracing::warn!(error = %e, "the log is read again for a slow entry");
                    Vec::new()
                });
            if let Some((index, _)) = read.iter().find(|(_, found)| found[..] == *entry) {
                self.healthy.store(true, Ordering::Relaxed);
                return Some(*index);
            }
            next += read.len() as u64;
            if read.is_empty() {
                tokio::time::sleep(Duration::from_millis(limits::TICK_MS)).await;
            }
        }
        None
    }

    async fn written(&self, append: Append) -> Result<u64, ApiError> {
        match gathered(append).await {
            Ok(index) => {
                if !self.is_healthy() {
                    self.healthy.store(true, Ordering::Relaxed);
                }
                Ok(index)
            }
            Err(e) => {
                // An entry that is none says nothing of the disk.
                if !matches!(e, JournalError::Entry(_)) {
                    self.healthy.store(false, Ordering::Relaxed);
                }
                tracing::error!(error = %e, "an entry is not recorded");
                Err((&errors::JOURNAL).into())
            }
        }
    }

    /// Ids of this log and of the complete ones before it, oldest first, each with its next index.
    pub fn all(&self) -> Vec<(String, u64)> {
        let earlier = self.journal.earlier().iter().map(|log| (log.log_id.clone(), log.next_index));
        earlier.chain([(self.id.clone(), self.durable())]).collect()
    }

    /// Entries of the log `id` from `from` on.
    pub fn read(
        &self,
        id: &str,
        from: u64,
        entries: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, JournalError> {
        if id == self.id {
            self.journal.read(from, entries, bytes)
        } else {
            let named = self.journal.earlier().iter().find(|log| log.log_id == id);
            let log =
                named.ok_or_else(|| JournalError::Config(format!("{id} is not a log of this folder")))?;
            self.journal.read_earlier(log, from, entries, bytes)
        }
    }

    /// One more than the last durable index.
    pub fn durable(&self) -> u64 {
        self.journal.durable()
    }

    pub fn stats(&self) -> JournalStats {
        self.journal.stats()
    }

    /// Writes what waits and the last checkpoint.
    pub fn close(&self) {
        self.journal.clone().close();
    }
}
