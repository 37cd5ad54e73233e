//! Reads a segment from its start: whole groups, and what lies behind the last of them.
use std::io;

use super::disk::DiskFile;
use super::record::{ALIGN, HEADER_BYTES, Header, Kind, LogBytes, is_sound, span, trailer_parts};
use super::record::{SEGMENT_BODY, TRAILER_BYTES};

/// Bytes read at once.
const WINDOW_BYTES: usize = 1 << 20;

/// Where a log stands: what its next record must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Whose log; unknown only before a log's very first record was read.
    pub log: Option<LogBytes>,
    /// The next entry's index.
    pub next: u64,
    /// The last record's CRC; `None` accepts what a segment's first record says (its predecessor was not read).
    pub previous: Option<u32>,
    /// Where the next record starts in its segment.
    pub offset: u64,
}

/// What lies behind a segment's last whole group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behind {
    /// Zeros up to the end.
    Nothing,
    /// Bytes of at most one group that was never completed; they end before this offset.
    Torn(u64),
    /// Records of a later group: the log was damaged after it was complete. The group's first index.
    Later(u64),
}

/// A whole group's entries as (index, offset of the record, bytes).
pub type Group = Vec<(u64, u64, Vec<u8>)>;

/// Reads whole groups from `from`, hands each to `take`, and says where they end and what lies behind.
///
/// The file may be written meanwhile, and a read of many pages is not of one instant: it may miss a group and have
/// the one after it. A group is written only after the one before it was synced, so a read that begins after its
/// trailer was seen has all before it; what is then still not there is damaged.
pub fn scan(
    file: &dyn DiskFile,
    from: Position,
    take: &mut dyn FnMut(Group) -> io::Result<()>,
) -> io::Result<(Position, Behind)> {
    let mut window = Window::new(file)?;
    let mut good = groups(&mut window, from, take)?;
    let mut found = behind(&mut window, &good)?;
    while matches!(found, Behind::Later(_)) {
        window.forget();
        let reached = groups(&mut window, good, take)?;
        if reached == good {
            break;
        }
        good = reached;
        found = behind(&mut window, &good)?;
    }
    Ok((good, found))
}

/// Hands on whole groups from `from` on; where they end.
fn groups(
    window: &mut Window<'_>,
    from: Position,
    take: &mut dyn FnMut(Group) -> io::Result<()>,
) -> io::Result<Position> {
    let mut good = from;
    let mut at = from;
    let mut group: Group = Vec::new();
    while let Some((header, body)) = window.record(at.offset)? {
        if !follows(&header, &at) {
            break;
        }
        let next = Position {
            log: Some(header.log),
            previous: Some(header.crc),
            offset: at.offset + header.span() as u64,
            next: at.next,
        };
        match header.kind {
            Kind::Segment if body == SEGMENT_BODY => at = next,
            Kind::Entry if at.offset > 0 => {
                group.push((at.next, at.offset, body.to_vec()));
                at = Position { next: at.next + 1, ..next };
            }
            Kind::Trailer
                if trailer_parts(body) == Some((good.next, group.len() as u64)) && !group.is_empty() =>
            {
                take(std::mem::take(&mut group))?;
                at = next;
                good = next;
            }
            _ => break,
        }
    }
    Ok(good)
}

fn follows(header: &Header, at: &Position) -> bool {
    let first = at.offset == 0;
    first == (header.kind == Kind::Segment)
        && header.index == at.next
        && at.log.is_none_or(|log| log == header.log)
        && at.previous.is_none_or(|crc| crc == header.previous)
}

/// Looks at everything behind `end`: a trailer of any group but the next one means damage, not a torn write,
/// because a group is written only after the one before it was synced.
fn behind(window: &mut Window<'_>, end: &Position) -> io::Result<Behind> {
    let mut last = None;
    let mut offset = end.offset;
    while offset < window.length {
        let bytes = window.at_most(offset, WINDOW_BYTES)?;
        if bytes.is_empty() {
            break;
        }
        if bytes.iter().any(|b| *b != 0) {
            let used = bytes.iter().rposition(|b| *b != 0).unwrap_or(0);
            last = Some(offset + used as u64 + 1);
            let steps = bytes.len().div_ceil(ALIGN);
            let zero: Vec<bool> = bytes.chunks(ALIGN).map(|c| c.iter().all(|b| *b == 0)).collect();
            for step in (0..steps).filter(|s| !zero[*s]) {
                let at = offset + (step * ALIGN) as u64;
                if let Some(first) = later_trailer(window, at, end)? {
                    return Ok(Behind::Later(first));
                }
            }
        }
        offset += WINDOW_BYTES as u64;
    }
    Ok(last.map_or(Behind::Nothing, Behind::Torn))
}

fn later_trailer(window: &mut Window<'_>, at: u64, end: &Position) -> io::Result<Option<u64>> {
    let head = window.at_most(at, HEADER_BYTES)?;
    let Some(header) = head.first_chunk::<HEADER_BYTES>().and_then(Header::parse) else { return Ok(None) };
    if header.kind != Kind::Trailer || end.log.is_some_and(|log| log != header.log) {
        return Ok(None);
    }
    let record = window.at_most(at, span(TRAILER_BYTES))?;
    if !is_sound(&header, record) {
        return Ok(None);
    }
    let first = trailer_parts(&record[HEADER_BYTES..HEADER_BYTES + TRAILER_BYTES]).map(|(first, _)| first);
    Ok(first.filter(|first| *first != end.next))
}

/// A piece of the file in memory, moved along as records are read.
struct Window<'a> {
    file: &'a dyn DiskFile,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn DiskFile) -> io::Result<Self> {
        Ok(Self { file, length: file.len()?, start: 0, bytes: Vec::new() })
    }

    /// What was read before is read again.
    fn forget(&mut self) {
        self.bytes.clear();
    }

    /// The sound record at `offset`; `None` if there is none.
    fn record(&mut self, offset: u64) -> io::Result<Option<(Header, &[u8])>> {
        let head = self.at_most(offset, HEADER_BYTES)?;
        let Some(header) = head.first_chunk::<HEADER_BYTES>().and_then(Header::parse) else {
            return Ok(None);
        };
        let record = self.at_most(offset, header.span())?;
        Ok(is_sound(&header, record).then(|| (header, &record[HEADER_BYTES..HEADER_BYTES + header.length])))
    }

    /// Up to `count` bytes at `offset`, fewer only at the file's end.
    fn at_most(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let end = offset.saturating_add(count as u64).min(self.length);
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let want = count.max(WINDOW_BYTES).min((self.length.saturating_sub(offset)) as usize);
            self.bytes.resize(want, 0);
            let got = self.file.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(got);
            self.start = offset;
        }
        let from = ((offset - self.start) as usize).min(self.bytes.len());
        let to = ((end.max(offset) - self.start) as usize).min(self.bytes.len());
        Ok(&self.bytes[from..to])
    }
}

#[cfg(test)]
mod tests;
