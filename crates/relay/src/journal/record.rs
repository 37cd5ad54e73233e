//! A record of a segment: 40 bytes of header, the body, zeros up to a multiple of eight.
//!
//! `length u32 · crc u32 · previous crc u32 · kind u32 · index u64 · log 16 bytes`, little endian. The CRC32C
//! covers the length, then everything from the previous CRC to the body's end.
use super::GROUP_BYTES_MAX;
use dragoman_engine::ledger::ENTRY_BYTES_MAX;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 40;
/// Records start at multiples of this.
pub const ALIGN: usize = 8;
/// The body of a segment's first record.
pub const SEGMENT_BODY: &[u8] = b"dragoman journal 1";
/// Bytes of a trailer's body: the group's first index (u64), its number of entries (u64).
pub const TRAILER_BYTES: usize = 16;

/// A log's 16-byte id, as in its name.
pub type LogBytes = [u8; 16];

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The first record of a segment; `index` is that of the next entry.
    Segment = 1,
    /// An entry.
    Entry = 2,
    /// The end of a group; `index` is that of the next entry.
    Trailer = 3,
}

impl Kind {
    fn parse(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::Segment),
            2 => Some(Self::Entry),
            3 => Some(Self::Trailer),
            _ => None,
        }
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body.
    pub length: usize,
    /// CRC32C of this record.
    pub crc: u32,
    /// That of the record before; 0 for a log's first.
    pub previous: u32,
    /// What the body is.
    pub kind: Kind,
    /// See [`Kind`].
    pub index: u64,
    /// Whose record it is.
    pub log: LogBytes,
}

impl Header {
    /// Parses a header; `None` if it cannot be one.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let kind = Kind::parse(word(12))?;
        let length = word(0) as usize;
        let fits = match kind {
            Kind::Segment => length == SEGMENT_BODY.len(),
            Kind::Entry => (1..=ENTRY_BYTES_MAX).contains(&length),
            Kind::Trailer => length == TRAILER_BYTES,
        };
        let mut log = [0; 16];
        log.copy_from_slice(&bytes[24..40]);
        let index = u64::from(word(16)) | u64::from(word(20)) << 32;
        fits.then_some(Self { length, crc: word(4), previous: word(8), kind, index, log })
    }

    /// Bytes of the whole record with its padding.
    pub fn span(&self) -> usize {
        span(self.length)
    }
}

/// Bytes of a record whose body has `length`.
pub fn span(length: usize) -> usize {
    (HEADER_BYTES + length).next_multiple_of(ALIGN)
}

/// Bytes that a group of these entries takes in a segment, without the segment's own record.
pub fn group_span<'a>(entries: impl Iterator<Item = &'a [u8]>) -> usize {
    entries.map(|e| span(e.len())).sum::<usize>() + span(TRAILER_BYTES)
}

/// The CRC of a record's bytes (`record` starts at the header and ends with the body).
pub fn crc_of(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..])
}

/// Whether a whole record (with padding) is what its header says.
pub fn is_sound(header: &Header, record: &[u8]) -> bool {
    let end = HEADER_BYTES + header.length;
    record.len() == header.span()
        && crc_of(&record[..end]) == header.crc
        && record[end..].iter().all(|b| *b == 0)
}

/// A trailer's body: first index, number of entries.
pub fn trailer_parts(body: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = body.split_first_chunk::<8>()?;
    let count: &[u8; 8] = rest.try_into().ok()?;
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(*count)))
}

/// Writes records one after another into a buffer, chaining their CRCs.
#[derive(Debug)]
pub struct Encoder {
    /// The bytes so far.
    pub bytes: Vec<u8>,
    log: LogBytes,
    /// The last record's CRC.
    pub previous: u32,
    /// Index of the next entry.
    pub next: u64,
}

impl Encoder {
    /// Continues after a record with CRC `previous`; reuses `bytes`' space.
    pub fn new(mut bytes: Vec<u8>, log: LogBytes, previous: u32, next: u64) -> Self {
        bytes.clear();
        Self { bytes, log, previous, next }
    }

    /// A segment's first record.
    pub fn segment(&mut self) {
        self.record(Kind::Segment, SEGMENT_BODY);
    }

    /// A group: its entries and the trailer.
    pub fn group<'a>(&mut self, entries: impl Iterator<Item = &'a [u8]>) {
        let first = self.next;
        for entry in entries {
            self.record(Kind::Entry, entry);
            self.next += 1;
        }
        let mut body = [0; TRAILER_BYTES];
        body[..8].copy_from_slice(&first.to_le_bytes());
        body[8..].copy_from_slice(&(self.next - first).to_le_bytes());
        self.record(Kind::Trailer, &body);
        debug_assert!(self.bytes.len() <= GROUP_BYTES_MAX + span(SEGMENT_BODY.len()));
    }

    fn record(&mut self, kind: Kind, body: &[u8]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&self.previous.to_le_bytes());
        self.bytes.extend_from_slice(&(kind as u32).to_le_bytes());
        self.bytes.extend_from_slice(&self.next.to_le_bytes());
        self.bytes.extend_from_slice(&self.log);
        self.bytes.extend_from_slice(body);
        let crc = crc_of(&self.bytes[at..]);
        self.bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        self.bytes.resize(at + span(body.len()), 0);
        self.previous = crc;
    }
}
