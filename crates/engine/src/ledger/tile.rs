//! C2SP `tlog-tiles`: paths, tile contents and entry bundles.
use super::merkle::{Frontier, Hash, node_hash};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Tree levels that one tile spans.
pub const TILE_HEIGHT: u32 = 8;

/// `tile/<level>/<n>` with `.p/<width>` where `width` < 256.
pub fn tile_path(level: u32, n: u64, width: u64) -> String {
    format!("tile/{level}/{}", suffix(n, width))
}

/// `tile/entries/<n>` with `.p/<width>` where `width` < 256.
pub fn bundle_path(n: u64, width: u64) -> String {
    format!("tile/entries/{}", suffix(n, width))
}

fn suffix(n: u64, width: u64) -> String {
    let mut path = format!("{:03}", n % 1000);
    let mut rest = n / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH { format!("{path}.p/{width}") } else { path }
}

/// How many hashes of `level` a tree of `size` leaves has: `floor(size / 256^level)`.
pub fn level_size(size: u64, level: u32) -> u64 {
    size.checked_shr(TILE_HEIGHT * level).unwrap_or(0)
}

/// The root of a full tile: the hash that stands for it one level above.
pub fn tile_root(hashes: &[Hash]) -> Hash {
    super::merkle::root_of(hashes)
}

/// The hash `height` levels above the tile's bottom row, at `index` in that row of the tile.
pub fn node_in_tile(hashes: &[Hash], height: u32, index: usize) -> Option<Hash> {
    let width = 1_usize << height;
    let row = hashes.get(index * width..(index + 1) * width)?;
    let mut row = row.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    row.first().copied()
}

/// The hashes of a tile's bytes; `None` if they are no whole number of hashes between 1 and 256.
pub fn parse_tile(bytes: &[u8]) -> Option<Vec<Hash>> {
    let count = bytes.len() / 32;
    if bytes.len() % 32 != 0 || count == 0 || count as u64 > TILE_WIDTH {
        return None;
    }
    Some(bytes.chunks_exact(32).map(|c| <[u8; 32]>::try_from(c).unwrap_or_default()).collect())
}

/// Appends one entry to a bundle: big-endian 16-bit length, then the bytes. The caller bounds the entry.
pub fn write_bundle_entry(out: &mut Vec<u8>, entry: &[u8]) {
    debug_assert!(entry.len() <= super::ENTRY_BYTES_MAX);
    out.extend_from_slice(&u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(entry);
}

/// The entries of a bundle; `None` if it is cut short, empty or holds more than 256.
pub fn parse_bundle(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bytes = rest;
    }
    (!entries.is_empty() && entries.len() as u64 <= TILE_WIDTH).then_some(entries)
}

/// The rightmost tiles of a growing tree, level 0 first: what is needed to write the next ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

/// A tile that became full: its level, its number, its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    /// 0 for leaves.
    pub level: u32,
    /// Its number within the level.
    pub n: u64,
    /// 256 hashes.
    pub hashes: Vec<Hash>,
}

impl Edge {
    /// The edge of a tree of `size` leaves with the given partial rows, level 0 first.
    /// `None` if a row does not have `floor(size / 256^level) mod 256` hashes.
    pub fn from_rows(size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let fits = levels
            .iter()
            .enumerate()
            .all(|(level, row)| row.len() as u64 == level_size(size, level as u32) % TILE_WIDTH);
        (fits && level_size(size, levels.len() as u32) == 0).then_some(Self { size, levels })
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The partial rows, level 0 first; a row may be empty.
    pub fn rows(&self) -> &[Vec<Hash>] {
        &self.levels
    }

    /// Appends a leaf hash; returns the tiles it completed, level 0 first.
    pub fn push(&mut self, leaf: Hash) -> Vec<FullTile> {
        let mut full = Vec::new();
        let (mut level, mut hash) = (0_usize, leaf);
        loop {
            if self.levels.len() <= level {
                self.levels.push(Vec::with_capacity(TILE_WIDTH as usize));
            }
            self.levels[level].push(hash);
            if (self.levels[level].len() as u64) < TILE_WIDTH {
                break;
            }
            let hashes = std::mem::take(&mut self.levels[level]);
            hash = tile_root(&hashes);
            full.push(FullTile { level: level as u32, n: level_size(self.size, level as u32 + 1), hashes });
            level += 1;
        }
        self.size += 1;
        full
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        let mut frontier = Frontier::default();
        for (level, row) in self.levels.iter().enumerate().rev() {
            for hash in row {
                frontier.push_subtree(TILE_HEIGHT * level as u32, *hash);
            }
        }
        frontier.root()
    }
}

#[cfg(test)]
mod tests;
