//! Reads a closed or running log for people: its entries, and proofs that one of them is in the signed tree.
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dragoman_engine::ledger::checkpoint::Checkpoint;
use dragoman_engine::ledger::merkle::{Hash, Nodes, consistency_proof, inclusion_proof};
use dragoman_engine::ledger::note::Verifier;
use dragoman_engine::ledger::proof::Proof;
use dragoman_engine::ledger::tile::{
    TILE_HEIGHT, TILE_WIDTH, level_size, node_in_tile, parse_tile, tile_path,
};

use super::derive::TILE_BYTES_MAX;
use super::disk::Disk;
use super::entries::{self, Opening};
use super::segments::Segments;
use super::shard::Layout;

/// One log, opened to be read beside its writer.
#[derive(Debug)]
pub struct LogReader {
    disk: Arc<dyn Disk>,
    layout: Layout,
    segments: Segments,
    opening: Opening,
}

fn wrong(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

impl LogReader {
    /// Opens the shard's folder `dir`.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> io::Result<Self> {
        let layout = Layout { root: dir.to_owned(), shard: String::new() };
        // Entries are read up to where they end: a reader beside the writer has no other count.
        let segments = Segments::open(&disk, &layout, u64::MAX)?;
        let first = segments.read(0, 1, 1)?;
        let opening = first.first().and_then(|(_, entry)| entries::opening(entry));
        let opening = opening.ok_or_else(|| wrong(format!("{}: entry 0 opens no log", dir.display())))?;
        Ok(Self { disk, layout, segments, opening })
    }

    /// The log's name.
    pub fn log(&self) -> &str {
        &self.opening.log
    }

    /// Its verifier key.
    pub fn key(&self) -> &str {
        &self.opening.key
    }

    /// Whole entries from `from` on, at most `entries` of them; empty at the log's end.
    pub fn read(&self, from: u64, entries: usize, bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        self.segments.read_available(from, entries, bytes)
    }

    /// The log's checkpoint with its note, its signature verified.
    pub fn checkpoint(&self) -> io::Result<(Checkpoint, String)> {
        let note = self.disk.read(&self.layout.checkpoint(), super::recover::SMALL_FILE_BYTES_MAX)?;
        let note = note.ok_or_else(|| wrong("there is no checkpoint yet"))?;
        let key = Verifier::parse(&self.opening.key).map_err(wrong)?;
        let checkpoint = Checkpoint::open(&note, &key).map_err(wrong)?;
        Ok((checkpoint, String::from_utf8(note).map_err(wrong)?))
    }

    /// A proof that entry `index` is in the checkpoint's tree.
    pub fn prove(&self, index: u64) -> io::Result<Proof> {
        let (checkpoint, note) = self.checkpoint()?;
        let mut nodes = TileNodes { disk: &*self.disk, root: &self.layout.root, size: checkpoint.size };
        let hashes = inclusion_proof(&mut nodes, index, checkpoint.size)?.ok_or_else(|| {
            wrong(format!("entry {index} is not under a checkpoint yet ({})", checkpoint.size))
        })?;
        let entry = self.read(index, 1, 1)?.first().map(|(_, e)| e.to_vec());
        let entry = entry.ok_or_else(|| wrong(format!("there is no entry {index}")))?;
        Ok(Proof { entry, index, hashes, checkpoint: note })
    }

    /// A proof that the tree of the first `new` entries extends that of the first `old`; `new` is under a checkpoint.
    pub fn prove_consistency(&self, old: u64, new: u64) -> io::Result<Vec<Hash>> {
        let (checkpoint, _) = self.checkpoint()?;
        if new > checkpoint.size {
            return Err(wrong(format!("{new} entries are not under a checkpoint yet ({})", checkpoint.size)));
        }
        let mut nodes = TileNodes { disk: &*self.disk, root: &self.layout.root, size: checkpoint.size };
        consistency_proof(&mut nodes, old, new)?.ok_or_else(|| wrong(format!("{old} is more than {new}")))
    }
}

/// Subtree hashes from tile files.
struct TileNodes<'a> {
    disk: &'a dyn Disk,
    root: &'a Path,
    size: u64,
}

impl Nodes for TileNodes<'_> {
    type Error = io::Error;

    fn node(&mut self, height: u32, index: u64) -> io::Result<Hash> {
        let (level, rest) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let first = index << rest;
        let n = first / TILE_WIDTH;
        let width = (level_size(self.size, level) - n * TILE_WIDTH).min(TILE_WIDTH);
        // The full tile may have replaced the partial one since the checkpoint was read.
        let read = |width| self.disk.read(&self.root.join(tile_path(level, n, width)), TILE_BYTES_MAX);
        let bytes = match read(width)? {
            Some(bytes) => bytes,
            None => read(TILE_WIDTH)?
                .ok_or_else(|| wrong(format!("{} is missing", tile_path(level, n, width))))?,
        };
        let hashes =
            parse_tile(&bytes).ok_or_else(|| wrong(format!("{} is damaged", tile_path(level, n, width))))?;
        let inside = (first % TILE_WIDTH) as usize >> rest;
        node_in_tile(&hashes, rest, inside).ok_or_else(|| wrong("a tile is too short"))
    }
}
