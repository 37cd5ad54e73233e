//! C2SP `tlog-proof`: a text file that shows, offline, that an entry stands in a signed log.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::Checkpoint;
use super::merkle::{Hash, PROOF_HASHES_MAX, leaf_hash, verify_inclusion};
use super::note::{NoteError, Verifier};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// An inclusion proof with its checkpoint; `extra` carries the entry itself (it is proven, not trusted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The entry's bytes.
    pub entry: Vec<u8>,
    /// Its index in the log.
    pub index: u64,
    /// Leaf's sibling first.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

impl Proof {
    /// The proof as text.
    pub fn text(&self) -> String {
        let mut text =
            format!("{FIRST_LINE}\nextra {}\nindex {}\n", STANDARD.encode(&self.entry), self.index);
        for hash in &self.hashes {
            text.push_str(&STANDARD.encode(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Parses a proof; its contents are not yet proven.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        const SHAPE: NoteError =
            NoteError::Malformed("expected a c2sp.org/tlog-proof@v1 with the entry as extra");
        let (head, checkpoint) = text.split_once("\n\n").ok_or(SHAPE)?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(SHAPE);
        }
        let entry = lines.next().and_then(|l| l.strip_prefix("extra ")).ok_or(SHAPE)?;
        let digits = lines.next().and_then(|l| l.strip_prefix("index ")).ok_or(SHAPE)?;
        let index: u64 = digits.parse().map_err(|_| SHAPE)?;
        if index.to_string() != digits {
            return Err(SHAPE);
        }
        let hashes: Option<Vec<Hash>> =
            lines.map(|line| STANDARD.decode(line).ok().and_then(|h| Hash::try_from(h).ok())).collect();
        let hashes = hashes.filter(|h| h.len() <= PROOF_HASHES_MAX).ok_or(SHAPE)?;
        let entry = STANDARD.decode(entry).map_err(|_| SHAPE)?;
        Ok(Self { entry, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// The checkpoint, once its signature and the entry's place in it are proven. `Ok(None)`: not included.
    pub fn verify(&self, verifier: &Verifier) -> Result<Option<Checkpoint>, NoteError> {
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), verifier)?;
        let leaf = leaf_hash(&self.entry);
        let holds = verify_inclusion(&leaf, self.index, checkpoint.size, &checkpoint.root, &self.hashes);
        Ok(holds.then_some(checkpoint))
    }
}
