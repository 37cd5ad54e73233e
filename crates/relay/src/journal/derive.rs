//! Derives C2SP tiles and the signed checkpoint from durable entries. Never on a turn's path.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dragoman_engine::ledger::checkpoint::Checkpoint;
use dragoman_engine::ledger::merkle::{Hash, leaf_hash};
use dragoman_engine::ledger::note::Signer;
use dragoman_engine::ledger::tile::{
    Edge, FullTile, TILE_WIDTH, bundle_path, level_size, parse_tile, tile_path, tile_root, write_bundle_entry,
};

use super::disk::Disk;
use super::segments::Segments;
use super::shard::Layout;
use super::turns::OpenTurns;

/// Entries read at once.
const BATCH_ENTRIES: usize = 2048;
/// Bytes read at once.
const BATCH_BYTES: usize = 1 << 20;
/// The longest tile file: a full bundle of the longest entries.
pub const TILE_BYTES_MAX: u64 = TILE_WIDTH * (2 + dragoman_engine::ledger::ENTRY_BYTES_MAX as u64);

/// A file that became final and is not yet durable.
#[derive(Debug)]
struct Final {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// The tree's right edge and the files that follow from it.
#[derive(Debug)]
pub struct Deriver {
    disk: Arc<dyn Disk>,
    layout: Layout,
    segments: Arc<Segments>,
    signer: Signer,
    edge: Edge,
    bundle: Vec<u8>,
    turns: OpenTurns,
    finals: Vec<Final>,
    /// Size of the newest durable checkpoint; `None` before the first.
    signed: Option<u64>,
}

impl Deriver {
    /// A deriver for an empty tree.
    pub fn new(disk: Arc<dyn Disk>, layout: Layout, segments: Arc<Segments>, signer: Signer) -> Self {
        Self {
            disk,
            layout,
            segments,
            signer,
            edge: Edge::default(),
            bundle: Vec::new(),
            turns: OpenTurns::default(),
            finals: Vec::new(),
            signed: None,
        }
    }

    /// The tree's root and size so far.
    pub fn head(&self) -> (u64, Hash) {
        (self.edge.size(), self.edge.root())
    }

    /// Continues from the durable tiles of a tree of `size` leaves: only full tiles are read, the entries of the
    /// last partial bundle come from the journal. Fails with `NotFound` or `InvalidData` if tiles do not serve.
    pub fn resume(&mut self, size: u64) -> io::Result<()> {
        let mut rows: Vec<Vec<Hash>> = Vec::new();
        let mut level = 0;
        while level_size(size, level) > 0 {
            let row = if level == 0 { self.partial_leaves(size)? } else { self.upper_row(size, level)? };
            rows.push(row);
            level += 1;
        }
        self.edge = Edge::from_rows(size, rows).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(())
    }

    fn partial_leaves(&mut self, size: u64) -> io::Result<Vec<Hash>> {
        let start = size - size % TILE_WIDTH;
        self.bundle.clear();
        let mut row = Vec::new();
        while row.len() as u64 + start < size {
            let next = start + row.len() as u64;
            for (_, entry) in self.segments.read(next, (size - next) as usize, BATCH_BYTES)? {
                row.push(leaf_hash(&entry));
                write_bundle_entry(&mut self.bundle, &entry);
            }
        }
        Ok(row)
    }

    fn upper_row(&self, size: u64, level: u32) -> io::Result<Vec<Hash>> {
        let end = level_size(size, level);
        (end - end % TILE_WIDTH..end)
            .map(|n| {
                let path = self.layout.root.join(tile_path(level - 1, n, TILE_WIDTH));
                let bytes = self.disk.read(&path, TILE_BYTES_MAX)?.ok_or(io::ErrorKind::NotFound)?;
                let hashes = parse_tile(&bytes).filter(|h| h.len() as u64 == TILE_WIDTH);
                Ok(tile_root(&hashes.ok_or(io::ErrorKind::InvalidData)?))
            })
            .collect()
    }

    /// Starts over from the journal's first entry.
    pub fn restart(&mut self) {
        self.edge = Edge::default();
        self.bundle.clear();
        self.finals.clear();
    }

    /// Takes over what a start found: the intents that are open, the size of the checkpoint on disk.
    pub fn adopt(&mut self, turns: OpenTurns, signed: Option<u64>) {
        self.turns = turns;
        self.signed = signed;
    }

    /// Takes durable entries up to `limit` into the tree. `watch` also follows intents and results.
    pub fn advance(&mut self, limit: u64, watch: bool) -> io::Result<()> {
        let limit = limit.min(self.segments.durable());
        while self.edge.size() < limit {
            let count = BATCH_ENTRIES.min((limit - self.edge.size()) as usize);
            for (index, entry) in self.segments.read(self.edge.size(), count, BATCH_BYTES)? {
                if watch {
                    self.turns.note(index, &entry);
                }
                self.push(&entry);
            }
            self.flush_finals()?;
        }
        Ok(())
    }

    fn push(&mut self, entry: &[u8]) {
        write_bundle_entry(&mut self.bundle, entry);
        for FullTile { level, n, hashes } in self.edge.push(leaf_hash(entry)) {
            if level == 0 {
                let bytes = std::mem::take(&mut self.bundle);
                self.finals.push(Final { path: self.layout.root.join(bundle_path(n, TILE_WIDTH)), bytes });
            }
            let path = self.layout.root.join(tile_path(level, n, TILE_WIDTH));
            self.finals.push(Final { path, bytes: hashes.concat() });
        }
    }

    /// Full tiles are durable before any checkpoint needs them; then their partial forms go. A folder is synced once
    /// for all its new files.
    fn flush_finals(&mut self) -> io::Result<()> {
        let mut folders: Vec<&Path> = Vec::new();
        for tile in &self.finals {
            let folder = tile.path.parent().unwrap_or(&self.layout.root);
            if !folders.contains(&folder) {
                self.disk.create_dirs(folder)?;
                folders.push(folder);
            }
            self.disk.replace(&tile.path, &tile.bytes, true)?;
        }
        for folder in folders {
            self.disk.sync_dir(folder)?;
        }
        for tile in &self.finals {
            let mut partial = tile.path.clone().into_os_string();
            partial.push(".p");
            self.remove_partials(Path::new(&partial))?;
        }
        self.finals.clear();
        Ok(())
    }

    fn remove_partials(&self, partial: &Path) -> io::Result<()> {
        for name in self.disk.list(partial)? {
            self.disk.remove(&partial.join(name))?;
        }
        match self.disk.remove_dir(partial) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Brings tiles and checkpoint up to the durable entries. `false`: nothing was new.
    pub fn derive(&mut self) -> io::Result<bool> {
        self.flush_finals()?;
        self.advance(u64::MAX, true)?;
        let size = self.edge.size();
        if self.signed == Some(size) {
            return Ok(false);
        }
        self.write_partials()?;
        let checkpoint = Checkpoint { origin: self.signer.name().to_owned(), size, root: self.edge.root() };
        self.disk.replace(&self.layout.checkpoint(), checkpoint.sign(&self.signer).as_bytes(), true)?;
        let scan_from = format!("{}\n", self.turns.oldest(size));
        self.disk.replace(&self.layout.scan_from(), scan_from.as_bytes(), true)?;
        self.disk.sync_dir(&self.layout.root)?;
        self.signed = Some(size);
        Ok(true)
    }

    /// Partial tiles are not synced: a start writes them anew from full tiles and the journal.
    pub fn write_partials(&self) -> io::Result<()> {
        let size = self.edge.size();
        let mut files: Vec<(String, &[u8], Vec<u8>)> = Vec::new();
        for (level, row) in self.edge.rows().iter().enumerate().filter(|(_, row)| !row.is_empty()) {
            let n = level_size(size, level as u32) / TILE_WIDTH;
            files.push((tile_path(level as u32, n, row.len() as u64), &[], row.concat()));
        }
        if !self.bundle.is_empty() {
            files.push((bundle_path(size / TILE_WIDTH, size % TILE_WIDTH), &self.bundle, Vec::new()));
        }
        for (path, borrowed, owned) in files {
            let path = self.layout.root.join(path);
            self.disk.create_dirs(path.parent().unwrap_or(&self.layout.root))?;
            self.disk.replace(&path, if owned.is_empty() { borrowed } else { &owned }, false)?;
        }
        Ok(())
    }

    /// After a start: other partial forms of the rightmost tiles may have been lost in a power cut. They are
    /// prefixes of the present ones, so they are written anew; wider ones belong to entries that were never durable.
    pub fn repair_partials(&self) -> io::Result<()> {
        let size = self.edge.size();
        self.write_partials()?;
        for (level, row) in self.edge.rows().iter().enumerate() {
            let n = level_size(size, level as u32) / TILE_WIDTH;
            self.repair(&tile_path(level as u32, n, 1), row.len(), |width| row[..width].concat())?;
        }
        let ends = bundle_ends(&self.bundle);
        self.repair(&bundle_path(size / TILE_WIDTH, 1), ends.len(), |width| {
            self.bundle[..ends[width - 1]].to_vec()
        })
    }

    fn repair(&self, path: &str, widest: usize, bytes: impl Fn(usize) -> Vec<u8>) -> io::Result<()> {
        let path = self.layout.root.join(path);
        let folder = path.parent().unwrap_or(&self.layout.root);
        let fits = |name: &String| name.parse::<usize>().ok().filter(|w| (1..=widest).contains(w));
        // Half-written files first: a replacement below uses the same temporary name.
        let (whole, other): (Vec<_>, Vec<_>) =
            self.disk.list(folder)?.into_iter().partition(|n| fits(n).is_some());
        for name in other {
            self.disk.remove(&folder.join(name))?;
        }
        for width in whole.iter().filter_map(fits) {
            self.disk.replace(&folder.join(width.to_string()), &bytes(width), false)?;
        }
        Ok(())
    }
}

/// Where each entry of a bundle ends.
fn bundle_ends(bundle: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some(length) = bundle.get(at..at + 2) {
        at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        ends.push(at);
    }
    ends
}
