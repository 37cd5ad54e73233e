//! C2SP `tlog-checkpoint`: a tree's origin, size and root as a signed note.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::merkle::Hash;
use super::note::{NoteError, Signer, Verifier, split};

/// A tree head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log; also the name of its key.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The note's text.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// The signed note.
    pub fn sign(&self, signer: &Signer) -> String {
        signer.sign(&self.text())
    }

    /// Parses the note's text. Extension lines are refused: this log never writes any.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        const SHAPE: NoteError = NoteError::Malformed("expected origin, size and root lines");
        let body = text.strip_suffix('\n').ok_or(SHAPE)?;
        let lines: Vec<&str> = body.split('\n').collect();
        let [origin, size, root] = lines[..] else { return Err(SHAPE) };
        let parsed: u64 = size.parse().map_err(|_| SHAPE)?;
        let root = STANDARD.decode(root).ok().and_then(|r| Hash::try_from(r).ok()).ok_or(SHAPE)?;
        if origin.is_empty() || parsed.to_string() != size {
            return Err(SHAPE);
        }
        Ok(Self { origin: origin.to_owned(), size: parsed, root })
    }

    /// Opens a signed checkpoint of the log whose key is `verifier`.
    pub fn open(note: &[u8], verifier: &Verifier) -> Result<Self, NoteError> {
        let checkpoint = Self::parse(verifier.open(note)?)?;
        if checkpoint.origin == verifier.name() {
            Ok(checkpoint)
        } else {
            Err(NoteError::Malformed("the origin is another log's"))
        }
    }

    /// Reads a checkpoint without trusting it: for messages, never for a verdict.
    pub fn unverified(note: &[u8]) -> Result<Self, NoteError> {
        Self::parse(split(note)?.0)
    }
}
