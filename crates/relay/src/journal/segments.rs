//! The segments of one log as a reader sees them: which file holds an index, and where in it.
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

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

/// LIMIT: of the newest segments, what a reader learned of each stays: the feed reads behind the writer.
const NEWEST_KEPT: usize = 2;
/// LIMIT: and of as many older ones that were read last. A log grows without end; descriptors and memory do not.
const OLDER_KEPT: usize = 4;

/// One segment.
#[derive(Debug)]
pub struct Segment {
    /// Index of its first entry.
    pub first: u64,
    /// How often it was copied at a start.
    pub generation: u32,
    known: Mutex<Known>,
}

/// What a reader needs of a segment, and can find again.
#[derive(Debug, Default)]
struct Known {
    file: Option<Arc<dyn DiskFile>>,
    /// Where the record of an index (or the trailer before it) starts.
    marks: BTreeMap<u64, u64>,
}

impl Segment {
    /// A segment of which nothing is known yet but its file, where that is open.
    pub fn new(first: u64, generation: u32, file: Option<Arc<dyn DiskFile>>) -> Self {
        Self { first, generation, known: Mutex::new(Known { file, marks: BTreeMap::new() }) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic while it was held leaves it whole: each step below is one operation.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers where the record of `index` (or the trailer before it) starts, of some.
    pub fn mark(&self, index: u64, offset: u64) {
        let marks = &mut self.known().marks;
        let last = marks.last_key_value().map_or(self.first, |(last, _)| *last);
        if index >= last + MARK_EVERY {
            marks.insert(index, offset);
        }
    }

    fn nearest(&self, index: u64) -> u64 {
        self.known().marks.range(..=index).next_back().map_or(0, |(_, offset)| *offset)
    }

    fn file(&self, disk: &dyn Disk, layout: &Layout) -> io::Result<Arc<dyn DiskFile>> {
        let mut known = self.known();
        if let Some(file) = &known.file {
            return Ok(Arc::clone(file));
        }
        let file: Arc<dyn DiskFile> =
            Arc::from(disk.open(&layout.segment(self.first, self.generation), Open::Read)?);
        known.file = Some(Arc::clone(&file));
        Ok(file)
    }

    fn forget(&self) {
        *self.known() = Known::default();
    }
}

/// All segments of a log, oldest first, and how many entries are durable.
#[derive(Debug)]
pub struct Segments {
    disk: Arc<dyn Disk>,
    layout: Layout,
    list: RwLock<Vec<Arc<Segment>>>,
    /// Of those that are not among the newest, which were read last, at the back the last one.
    older: Mutex<VecDeque<Arc<Segment>>>,
    durable: AtomicU64,
}

impl Segments {
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
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push(segment);
        let aged = list.len().checked_sub(NEWEST_KEPT + 1).map(|at| Arc::clone(&list[at]));
        drop(list);
        if let Some(aged) = aged {
            self.read_last(aged);
        }
    }

    /// All segments of a layout, newest generation of each; other names are left alone. `durable` entries count.
    pub fn open(disk: &Arc<dyn Disk>, layout: &Layout, durable: u64) -> io::Result<Self> {
        let mut newest: BTreeMap<u64, u32> = BTreeMap::new();
        for name in disk.list(&layout.segments())? {
            if let Some((first, generation)) = super::shard::parse_segment(&name) {
                let known = newest.entry(first).or_insert(generation);
                *known = generation.max(*known);
            }
        }
        let list =
            newest.into_iter().map(|(first, generation)| Arc::new(Segment::new(first, generation, None)));
        Ok(Self {
            disk: Arc::clone(disk),
            layout: layout.clone(),
            list: RwLock::new(list.collect()),
            older: Mutex::default(),
            durable: AtomicU64::new(durable),
        })
    }

    /// The segment being written.
    pub fn last(&self) -> Option<Arc<Segment>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    fn holding(&self, index: u64) -> Option<Arc<Segment>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let at = list.partition_point(|s| s.first <= index).checked_sub(1)?;
        let found = Arc::clone(&list[at]);
        let is_older = at + NEWEST_KEPT < list.len();
        drop(list);
        if is_older {
            self.read_last(Arc::clone(&found));
        }
        Some(found)
    }

    /// Notes that an older segment is read, and forgets what is known of the one that was not read for longest.
    fn read_last(&self, segment: Arc<Segment>) {
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        older.retain(|one| !Arc::ptr_eq(one, &segment));
        older.push_back(segment);
        if older.len() > OLDER_KEPT
            && let Some(oldest) = older.pop_front()
        {
            oldest.forget();
        }
    }

    /// Like [`Self::read`] for one who does not know how many are durable: what is there, up to the log's end.
    pub fn read_available(&self, from: u64, entries: usize, bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let mut found = Found { entries: Vec::new(), bytes: 0, entries_max: entries, bytes_max: bytes };
        let mut next = from;
        while let Some(segment) = self.holding(next).filter(|_| !found.is_full()) {
            let reached = self.read_segment(&segment, next, u64::MAX, &mut found)?;
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
            let reached = self.read_segment(&segment, next, durable, &mut found)?;
            if reached == next {
                return Err(gone(next));
            }
            next = reached;
        }
        Ok(found.entries)
    }

    /// Reads from one segment until it ends, `durable` is reached or `found` is full; returns the index reached.
    fn read_segment(&self, segment: &Segment, from: u64, durable: u64, found: &mut Found) -> io::Result<u64> {
        let file = segment.file(&*self.disk, &self.layout)?;
        let mut offset = segment.nearest(from);
        let mut reached = from;
        let length = file.len()?;
        let mut most = READ_FIRST_BYTES;
        loop {
            let asked = most.min(length.saturating_sub(offset) as usize);
            let mut piece = vec![0; asked];
            let got = file.read_at(&mut piece, offset)?;
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
