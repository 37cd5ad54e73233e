//! The segments of one log as a reader sees them: which file holds an index, and where in it.
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::disk::{Disk, DiskFile, Open};
use super::record::{HEADER_BYTES, Header, Kind, is_sound};
use super::shard::Layout;

/// An offset is remembered for every so many entries.
const MARK_EVERY: u64 = 128;
/// Bytes read at first while looking for an index: mostly few entries are new.
const READ_FIRST_BYTES: usize = 16 * 1024;
/// Bytes read at once when there is more. A multiple of the first; holds the longest record.
const READ_BYTES: usize = 256 * 1024;

/// One segment.
#[derive(Debug)]
pub struct Segment {
    /// Index of its first entry.
    pub first: u64,
    /// How often it was copied at a start.
    pub generation: u32,
    /// Its file.
    pub file: Arc<dyn DiskFile>,
    marks: Mutex<BTreeMap<u64, u64>>,
}

impl Segment {
    /// A segment of which nothing is known yet.
    pub fn new(first: u64, generation: u32, file: Arc<dyn DiskFile>) -> Self {
        Self { first, generation, file, marks: Mutex::new(BTreeMap::from([(first, 0)])) }
    }

    /// Remembers where the record of `index` (or the trailer before it) starts.
    pub fn mark(&self, index: u64, offset: u64) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.last_key_value().is_none_or(|(last, _)| index >= last + MARK_EVERY) {
            marks.insert(index, offset);
        }
    }

    fn nearest(&self, index: u64) -> u64 {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.range(..=index).next_back().map_or(0, |(_, offset)| *offset)
    }
}

/// All segments of a log, oldest first, and how many entries are durable.
#[derive(Debug, Default)]
pub struct Segments {
    list: RwLock<Vec<Arc<Segment>>>,
    durable: AtomicU64,
}

impl Segments {
    /// The segments found at a start; `durable` entries of them count.
    pub fn new(list: Vec<Arc<Segment>>, durable: u64) -> Self {
        Self { list: RwLock::new(list), durable: AtomicU64::new(durable) }
    }

    /// Entries that survive a power cut.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Called after the group up to `next` was synced.
    pub fn set_durable(&self, next: u64) {
        self.durable.store(next, Ordering::Release);
    }

    /// A new last segment.
    pub fn add(&self, segment: Arc<Segment>) {
        self.list.write().unwrap_or_else(PoisonError::into_inner).push(segment);
    }

    /// Opens all segments of a layout, newest generation of each; other names are left alone.
    pub fn open(disk: &dyn Disk, layout: &Layout, durable: u64) -> io::Result<Self> {
        let mut newest: BTreeMap<u64, u32> = BTreeMap::new();
        for name in disk.list(&layout.segments())? {
            if let Some((first, generation)) = super::shard::parse_segment(&name) {
                let known = newest.entry(first).or_insert(generation);
                *known = generation.max(*known);
            }
        }
        let mut list = Vec::new();
        for (first, generation) in newest {
            let file = disk.open(&layout.segment(first, generation), Open::Read)?;
            list.push(Arc::new(Segment::new(first, generation, Arc::from(file))));
        }
        Ok(Self::new(list, durable))
    }

    /// The segment being written.
    pub fn last(&self) -> Option<Arc<Segment>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    fn holding(&self, index: u64) -> Option<Arc<Segment>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let after = list.partition_point(|s| s.first <= index);
        after.checked_sub(1).map(|at| Arc::clone(&list[at]))
    }

    /// Like [`Self::read`] for one who does not know how many are durable: what is there, up to the log's end.
    pub fn read_available(&self, from: u64, entries: usize, bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let mut found = Found { entries: Vec::new(), bytes: 0, entries_max: entries, bytes_max: bytes };
        let mut next = from;
        while let Some(segment) = self.holding(next).filter(|_| !found.is_full()) {
            let reached = read_segment(&segment, next, u64::MAX, &mut found)?;
            if reached == next {
                break;
            }
            next = reached;
        }
        Ok(found.entries)
    }

    /// Durable entries from index `from` on, at most `entries` of them and about `bytes` in all (one entry at least).
    pub fn read(&self, from: u64, entries: usize, bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let mut found = Found { entries: Vec::new(), bytes: 0, entries_max: entries, bytes_max: bytes };
        let durable = self.durable();
        let mut next = from;
        while next < durable && !found.is_full() {
            let segment = self.holding(next).ok_or_else(|| gone(next))?;
            let reached = read_segment(&segment, next, durable, &mut found)?;
            if reached == next {
                return Err(gone(next));
            }
            next = reached;
        }
        Ok(found.entries)
    }
}

fn gone(index: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("entry {index} cannot be read from its segment"))
}

struct Found {
    entries: Vec<(u64, Bytes)>,
    bytes: usize,
    entries_max: usize,
    bytes_max: usize,
}

impl Found {
    fn is_full(&self) -> bool {
        self.entries.len() >= self.entries_max || self.bytes >= self.bytes_max
    }
}

/// Reads from one segment until it ends, `durable` is reached or `found` is full; returns the index reached.
fn read_segment(segment: &Segment, from: u64, durable: u64, found: &mut Found) -> io::Result<u64> {
    let mut offset = segment.nearest(from);
    let mut reached = from;
    let length = segment.file.len()?;
    let mut most = READ_FIRST_BYTES;
    loop {
        let asked = most.min(length.saturating_sub(offset) as usize);
        let mut piece = vec![0; asked];
        let got = segment.file.read_at(&mut piece, offset)?;
        piece.truncate(got);
        let piece = Bytes::from(piece);
        let mut at = 0;
        while let Some(header) =
            piece.get(at..).and_then(|p| p.first_chunk::<HEADER_BYTES>()).and_then(Header::parse)
        {
            if piece.len() - at < header.span() {
                break;
            }
            if !is_sound(&header, &piece[at..at + header.span()]) {
                return Ok(reached);
            }
            if header.kind == Kind::Entry && header.index >= from {
                if header.index != reached || reached >= durable || found.is_full() {
                    return Ok(reached);
                }
                segment.mark(header.index, offset + at as u64);
                found.bytes += header.length;
                found
                    .entries
                    .push((reached, piece.slice(at + HEADER_BYTES..at + HEADER_BYTES + header.length)));
                reached += 1;
            }
            at += header.span();
        }
        if reached >= durable || found.is_full() {
            return Ok(reached);
        }
        // A record may be longer than the first piece; one that is not whole in the longest is none.
        if at == 0 && (most == READ_BYTES || asked < most) {
            return Ok(reached);
        }
        most = READ_BYTES;
        offset += at as u64;
    }
}
