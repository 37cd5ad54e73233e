//! Writes groups: one write and one fdatasync each, into the current segment or the next one.
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Disk, DiskFile, Open};
use super::record::{Encoder, LogBytes, SEGMENT_BODY, group_span, span};
use super::segments::{Segment, Segments};
use super::shard::{Layout, prepare};

/// Why a group was not written.
#[derive(Debug)]
pub enum CommitError {
    /// No space for it, nothing of it counts; a later group may succeed.
    NoSpace(io::Error),
    /// What is on disk is no longer known: the process must end and recover.
    Lost(&'static str, io::Error),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace(e) => write!(f, "no space for the journal: {e}"),
            Self::Lost(what, e) => write!(f, "{what} failed: {e}"),
        }
    }
}

/// Whether the next segment lies ready. Shared with the low-priority thread that prepares it.
#[derive(Debug, Default)]
pub struct Spare {
    ready: Mutex<bool>,
}

impl Spare {
    /// Prepares the next segment unless it lies ready.
    pub fn make(&self, disk: &dyn Disk, layout: &Layout, length: u64) -> io::Result<()> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if *ready {
            return Ok(());
        }
        let path = layout.spare();
        if let Err(e) = prepare(disk, &path, length) {
            // Best effort: the half-made file must not keep the space that others may need.
            if let Err(e) = disk.remove(&path) {
                tracing::warn!(error = %e, "could not remove a half-made segment");
            }
            return Err(e);
        }
        *ready = true;
        Ok(())
    }

    fn take(&self) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

/// The writing end of a log.
#[derive(Debug)]
pub struct Core {
    disk: Arc<dyn Disk>,
    layout: Layout,
    log: LogBytes,
    segments: Arc<Segments>,
    spare: Arc<Spare>,
    segment_bytes: u64,
    current: Option<Arc<Segment>>,
    file: Option<Arc<dyn DiskFile>>,
    offset: u64,
    previous: u32,
    next: u64,
    buffer: Vec<u8>,
}

/// Where a log's writing continues.
#[derive(Debug)]
pub struct Tail {
    /// The log.
    pub log: LogBytes,
    /// The last record's CRC; 0 for a new log.
    pub previous: u32,
    /// Index of the next entry.
    pub next: u64,
    /// The segment to continue and the offset in it; `None` starts a new one.
    pub segment: Option<(Arc<Segment>, u64)>,
}

impl Core {
    /// Continues at `tail`.
    pub fn new(
        disk: Arc<dyn Disk>,
        layout: Layout,
        segments: Arc<Segments>,
        segment_bytes: u64,
        tail: Tail,
    ) -> io::Result<Self> {
        let mut core = Self {
            disk,
            layout,
            log: tail.log,
            segments,
            spare: Arc::default(),
            segment_bytes,
            current: None,
            file: None,
            offset: 0,
            previous: tail.previous,
            next: tail.next,
            buffer: Vec::new(),
        };
        if let Some((segment, offset)) = tail.segment {
            let path = core.layout.segment(segment.first, segment.generation);
            core.file = Some(Arc::from(core.disk.open(&path, Open::Write)?));
            core.current = Some(segment);
            core.offset = offset;
        }
        Ok(core)
    }

    /// The next entry's index.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The spare segment, to be prepared by another thread.
    pub fn spare(&self) -> Arc<Spare> {
        Arc::clone(&self.spare)
    }

    /// Whether the current segment is more than half full, so that the next one should be prepared.
    pub fn wants_spare(&self) -> bool {
        self.file.is_none() || self.offset * 2 > self.segment_bytes
    }

    /// Writes `entries` as one group and syncs it; returns the first one's index.
    pub fn commit(&mut self, entries: &[Vec<u8>]) -> Result<u64, CommitError> {
        let first = self.next;
        let bytes = group_span(entries.iter().map(Vec::as_slice));
        let header = if self.offset == 0 { span(SEGMENT_BODY.len()) } else { 0 };
        if self.file.is_none() || self.offset + (header + bytes) as u64 > self.segment_bytes {
            self.roll()?;
        }
        let mut encoder = Encoder::new(std::mem::take(&mut self.buffer), self.log, self.previous, self.next);
        if self.offset == 0 {
            encoder.segment();
        }
        encoder.group(entries.iter().map(Vec::as_slice));
        let result = self.write(&encoder.bytes);
        if result.is_ok() {
            if let Some(segment) = &self.current {
                segment.mark(first, self.offset);
            }
            self.offset += encoder.bytes.len() as u64;
            self.previous = encoder.previous;
            self.next = encoder.next;
            self.segments.set_durable(self.next);
        }
        self.buffer = encoder.bytes;
        result.map(|()| first)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), CommitError> {
        let file = self
            .file
            .as_deref()
            .ok_or_else(|| lost("opening the segment", io::ErrorKind::NotFound.into()))?;
        if let Err(e) = file.write_at(bytes, self.offset) {
            if !is_space(&e) {
                return Err(lost("writing a group", e));
            }
            // Blocks were reserved, so this is a file system that copies on write. Nothing of the group may stay.
            let zeros = vec![0; bytes.len()];
            file.write_at(&zeros, self.offset).map_err(|e| lost("clearing a half-written group", e))?;
            return Err(CommitError::NoSpace(e));
        }
        file.sync_data().map_err(|e| lost("fdatasync of a group", e))
    }

    /// Opens the next segment. Until it has its name a failure costs nothing but the group.
    fn roll(&mut self) -> Result<(), CommitError> {
        self.spare.make(&*self.disk, &self.layout, self.segment_bytes).map_err(CommitError::NoSpace)?;
        let path = self.layout.segment(self.next, 0);
        self.disk.rename(&self.layout.spare(), &path).map_err(|e| lost("naming a segment", e))?;
        self.spare.take();
        self.disk.sync_dir(&self.layout.segments()).map_err(|e| lost("syncing the segments' folder", e))?;
        let file = self.disk.open(&path, Open::Write).map_err(|e| lost("opening a new segment", e))?;
        let file: Arc<dyn DiskFile> = Arc::from(file);
        let segment = Arc::new(Segment::new(self.next, 0, Some(Arc::clone(&file))));
        self.segments.add(Arc::clone(&segment));
        self.current = Some(segment);
        self.file = Some(file);
        self.offset = 0;
        Ok(())
    }
}

fn lost(what: &'static str, e: io::Error) -> CommitError {
    CommitError::Lost(what, e)
}

/// Whether an error says that space ran out (and nothing else is wrong).
pub fn is_space(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
