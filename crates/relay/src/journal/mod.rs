//! The durable record of turns: what was acknowledged survives, in order, or the process ends.
//!
//! Segments hold groups of entries (`record`), one writer thread syncs one group at a time (`writer`), tiles and the
//! signed checkpoint follow at most once a second (`derive`). It never decides what is recorded.
mod begin;
mod core;
mod derive;
pub mod disk;
mod entries;
mod open;
pub mod prove;
mod record;
mod recover;
mod scan;
mod sealed;
mod segments;
mod shard;
mod turns;
pub mod verify;
mod writer;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

pub use self::core::CommitError;
pub use open::{EarlierLog, Opened, SyncJournal};
pub use shard::shard_of;
pub use writer::{Append, Journal, JournalStats};

/// Length of a segment, bytes: reserved and zeroed ahead of its use.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// The shortest segment that a configuration may ask for, bytes: it must hold a group with the longest entry.
pub const SEGMENT_BYTES_MIN: u64 = 256 << 10;
/// Most bytes of one group, hence of what waits while a group is written.
pub const GROUP_BYTES_MAX: usize = 16 << 20;
/// Most entries of one group, hence of what waits while a group is written.
pub const GROUP_ENTRIES_MAX: usize = 16_384;
/// A group that takes longer than this makes those who wait fail with [`JournalError::Slow`], milliseconds.
pub const GROUP_SLOW_MS: u64 = 1_000;
/// How long the writer waits for those of the group before to come back, microseconds: where turns come in step,
/// one sync then serves all of them.
pub const GROUP_GATHER_US: u64 = 300;
/// Tiles and checkpoint are derived at most once in this time, milliseconds.
pub const DERIVE_EVERY_MS: u64 = 1_000;
/// Exit code of a process whose fdatasync failed (`EX_IOERR`): start it again, it recovers.
pub const EXIT_LOST: i32 = 74;

/// Why something was not recorded or a journal does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalError {
    /// No space, or too much waits already: nothing of the entry is recorded. The relay answers 503.
    Unavailable(String),
    /// The group took longer than [`GROUP_SLOW_MS`]; the entry may still become durable. The relay answers 503.
    Slow,
    /// The entry is empty, too long or not canonical.
    Entry(String),
    /// The journal was closed, or ended after a lost write.
    Closed,
    /// Another process has the folder.
    Locked(PathBuf),
    /// A wrong setting: zone, key file, segment length.
    Config(String),
    /// The folder's content is damaged or contradicts itself: a person has to look.
    Corrupt(String),
    /// A file call failed.
    Io(String),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the journal cannot take the entry: {why}"),
            Self::Slow => write!(f, "the journal took longer than {GROUP_SLOW_MS} ms"),
            Self::Entry(why) => write!(f, "not an entry: {why}"),
            Self::Closed => f.write_str("the journal is closed"),
            Self::Locked(dir) => write!(f, "{} is in use by another process", dir.display()),
            Self::Config(why) => f.write_str(why),
            Self::Corrupt(why) => write!(f, "the journal is damaged and was not opened: {why}"),
            Self::Io(why) => write!(f, "journal: {why}"),
        }
    }
}

impl std::error::Error for JournalError {}

impl From<io::Error> for JournalError {
    fn from(e: io::Error) -> Self {
        Self::Io(e.to_string())
    }
}

impl JournalError {
    fn from_commit(e: CommitError) -> Self {
        match e {
            CommitError::NoSpace(e) => Self::Unavailable(e.to_string()),
            CommitError::Lost(what, e) => Self::Io(format!("{what}: {e}")),
        }
    }
}

/// A turn that a start ended, because its intent had no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// `trn_...`.
    pub turn: String,
    /// Index of its intent.
    pub intent: u64,
    /// Index of the result written now.
    pub index: u64,
}

/// A turn whose intent has no result, which the caller has to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIntent {
    /// `trn_...`.
    pub turn: String,
    /// The log that its intent stands in: this one, or the sealed one that it continues.
    pub log: String,
    /// Index of its intent there.
    pub index: u64,
    /// The intent itself.
    pub entry: Bytes,
}

/// The result of a turn that nobody ended, from its intent.
pub fn interrupted_result(intent: &[u8], at_ms: i64) -> Result<Vec<u8>, JournalError> {
    entries::interrupted(intent, at_ms).map(|(_, entry)| entry)
}

/// What says that the log `log` goes on: before it every intent has a result.
pub fn resumed_entry(log: &str, interrupted: usize, at_ms: i64) -> Result<Vec<u8>, JournalError> {
    entries::resumed(log, interrupted, at_ms)
}

/// Milliseconds since 1970, UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
/// Called after a lost write was logged; the default ends the process with [`EXIT_LOST`].
pub type OnLost = Arc<dyn Fn(&str) + Send + Sync>;

/// How a journal is opened.
#[derive(Clone)]
pub struct JournalConfig {
    /// Its folder; created if absent, locked while open.
    pub dir: PathBuf,
    /// The zone, as in ids.
    pub zone: String,
    /// The folder of the keys: one 0600 file with a 32-byte Ed25519 seed per shard, created with the shard.
    pub keys: PathBuf,
    /// The file calls.
    pub disk: Arc<dyn disk::Disk>,
    /// Length of a segment, bytes; see [`SEGMENT_BYTES`].
    pub segment_bytes: u64,
    /// Leaves intents without result to the caller, who appends their results and then [`resumed_entry`].
    pub keep_open: bool,
    /// The clock; it names shards and dates the journal's own entries.
    pub clock: Clock,
    /// See [`OnLost`].
    pub on_lost: OnLost,
}

impl fmt::Debug for JournalConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalConfig")
            .field("dir", &self.dir)
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}

impl JournalConfig {
    /// The real disk and clock, keys in `<dir>/keys`, segments of [`SEGMENT_BYTES`].
    pub fn new(dir: impl Into<PathBuf>, zone: impl Into<String>) -> Self {
        let dir = dir.into();
        Self {
            keys: dir.join("keys"),
            dir,
            zone: zone.into(),
            disk: Arc::new(disk::RealDisk),
            segment_bytes: SEGMENT_BYTES,
            keep_open: false,
            clock: Arc::new(system_clock),
            on_lost: Arc::new(end_process),
        }
    }
}

fn system_clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

fn end_process(why: &str) {
    // The logger may be what is stuck; this line must get out.
    eprintln!("journal: {why}; exit {EXIT_LOST}, start again to recover");
    // SAFETY: ends the process without running exit handlers, which could wait for the failing disk.
    unsafe { libc::_exit(EXIT_LOST) }
}
