//! A read that is not of one instant, and a log that is damaged.
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::disk::DiskFile;
use super::super::record::Encoder;
use super::{Behind, Position, WINDOW_BYTES, scan};

const LOG: [u8; 16] = [7; 16];

/// A segment of which the first reads miss a part that was written meanwhile.
#[derive(Debug)]
struct Growing {
    bytes: Vec<u8>,
    missed: std::ops::Range<usize>,
    /// Reads that still miss it.
    early: AtomicUsize,
}

impl DiskFile for Growing {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut seen = self.bytes.clone();
        let misses = self.early.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if misses.is_ok() {
            seen[self.missed.clone()].fill(0);
        }
        let from = seen.get(offset as usize..).unwrap_or_default();
        let count = buf.len().min(from.len());
        buf[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A segment with groups of `sizes` entries; a part of the group `number` is missed by the first `early` reads.
fn growing(sizes: &[usize], number: usize, early: usize) -> Growing {
    let mut encoder = Encoder::new(Vec::new(), LOG, 0, 0);
    encoder.segment();
    let mut missed = 0..0;
    for (at, size) in sizes.iter().enumerate() {
        let start = encoder.bytes.len();
        encoder.group(vec![&b"{}"[..]; *size].into_iter());
        if at == number {
            missed = start..encoder.bytes.len() - 8;
        }
    }
    let mut bytes = encoder.bytes;
    bytes.resize(2 * WINDOW_BYTES, 0);
    Growing { bytes, missed, early: AtomicUsize::new(early) }
}

/// The number of entries read, how often each came, and what lies behind.
fn read(file: &Growing) -> (u64, bool, Behind) {
    let mut indexes = Vec::new();
    let from = Position { log: None, next: 0, previous: Some(0), offset: 0 };
    let (end, behind) = scan(file, from, &mut |group| {
        indexes.extend(group.iter().map(|(index, ..)| *index));
        Ok(())
    })
    .unwrap();
    let once = indexes == (0..end.next).collect::<Vec<_>>();
    (end.next, once, behind)
}

#[test]
fn a_group_that_a_read_missed_is_read_again() {
    let file = growing(&[3, 2, 4, 1], 1, 1);
    assert_eq!(read(&file), (10, true, Behind::Nothing));
}

#[test]
fn a_group_that_is_not_there_is_damage() {
    // The negative control: every read misses it.
    let file = growing(&[3, 2, 4, 1], 1, usize::MAX);
    assert_eq!(read(&file), (3, true, Behind::Later(5)));
}

#[test]
fn a_last_group_that_is_not_whole_is_torn() {
    let file = growing(&[3, 2], 1, usize::MAX);
    assert!(matches!(read(&file), (3, true, Behind::Torn(_))));
}
