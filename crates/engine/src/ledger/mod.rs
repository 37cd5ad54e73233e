//! The ledger's pure half: canonical JSON, the Merkle tree, tiles, signed checkpoints, projection.
//!
//! Formats are public: RFC 8785 (restricted to integers), RFC 6962 section 2.1, C2SP `tlog-tiles`,
//! `signed-note`, `tlog-checkpoint` and `tlog-proof`. Nothing here reads a file or a clock.
pub mod canonical;
pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod project;
pub mod proof;
pub mod tile;

pub use canonical::{CanonicalError, canonical, check};
pub use checkpoint::Checkpoint;
pub use merkle::{Hash, leaf_hash, node_hash};

/// The longest entry, in bytes: a C2SP bundle's length prefix is 16 bits, and this leaves room below it.
pub const ENTRY_BYTES_MAX: usize = 60_000;
