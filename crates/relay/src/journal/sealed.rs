//! A sealed shard: the copy of a log whose original may go on elsewhere. Nobody writes on it again, so that no two
//! writers sign different trees for one log; what it left open is ended in the log that follows.
use std::sync::Arc;

use bytes::Bytes;
use dragoman_engine::ledger::Checkpoint;
use dragoman_engine::ledger::merkle::Hash;
use serde::Deserialize;

use super::JournalError;
use super::disk::Disk;
use super::entries::{self, Previous, digest_text};
use super::recover::SMALL_FILE_BYTES_MAX;
use super::segments::Segments;
use super::shard::{self, Layout};

/// LIMIT: bytes of a `sealed` file; it lists the open intents of one log.
const SEALED_BYTES_MAX: u64 = 1 << 20;

/// The `sealed` file, written by a restore.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    /// The tree's size.
    size: u64,
    /// The tree's root: `sha256:<hex>`.
    root: String,
    /// Indexes of intents without a result.
    open: Vec<u64>,
}

/// What a sealed log leaves to the one that follows.
#[derive(Debug, Default)]
pub struct Left {
    /// Where it ended.
    pub previous: Option<Previous>,
    /// Its intents without a result, each with its index there.
    pub open: Vec<(u64, Bytes)>,
}

/// Whether the shard is sealed.
pub fn is_sealed(disk: &dyn Disk, layout: &Layout) -> Result<bool, JournalError> {
    Ok(disk.read(&layout.sealed(), SEALED_BYTES_MAX)?.is_some())
}

/// What a sealed shard of `zone` leaves; nothing where it is not sealed. A seal that does not fit its log is damage.
pub fn left(disk: &Arc<dyn Disk>, layout: &Layout, zone: &str) -> Result<Left, JournalError> {
    let wrong = |why: &dyn std::fmt::Display| {
        JournalError::Corrupt(format!("{}: sealed: {why}", layout.root.display()))
    };
    let Some(bytes) = disk.read(&layout.sealed(), SEALED_BYTES_MAX)? else { return Ok(Left::default()) };
    let seal: Seal = serde_json::from_slice(&bytes).map_err(|e| wrong(&e))?;
    let note = disk.read(&layout.checkpoint(), SMALL_FILE_BYTES_MAX)?;
    let head = note.as_deref().map(Checkpoint::unverified).transpose().map_err(|e| wrong(&e))?;
    let (size, root): (u64, Hash) = head.map(|h| (h.size, h.root)).ok_or_else(|| wrong(&"no checkpoint"))?;
    if (seal.size, &seal.root) != (size, &digest_text(&root)) {
        return Err(wrong(&"it names another size or root than the checkpoint"));
    }
    let segments = Segments::open(disk, layout, size)?;
    let first = segments.read(0, 1, 1)?;
    let log = first.first().and_then(|(_, e)| entries::opening(e)).map(|o| o.log).unwrap_or_default();
    if shard::log_bytes(&log).is_none_or(|bytes| shard::log_name(zone, &bytes) != log) {
        return Err(wrong(&format!("{log:?} is no log of zone {zone}")));
    }
    let mut open = Vec::with_capacity(seal.open.len());
    for index in seal.open {
        open.push(segments.read(index, 1, 1)?.pop().ok_or_else(|| wrong(&format!("no entry {index}")))?);
    }
    Ok(Left { previous: Some(Previous { log, size, root }), open })
}
