//! C2SP `signed-note` with Ed25519: text, signatures, and the verifier key that names who signed.
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// The signature type byte of plain Ed25519 notes.
const ED25519: u8 = 1;
/// More signature lines than this are refused (the specification asks for at least 16).
pub const SIGNATURES_MAX: usize = 32;
/// A longer note is refused.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// Why a note is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteError {
    /// Not the shape of a signed note.
    Malformed(&'static str),
    /// A signature of the known key does not verify.
    Invalid,
    /// No signature of the known key is present.
    Unsigned,
    /// A key name or verifier key that is not allowed.
    Key(&'static str),
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "malformed note: {why}"),
            Self::Invalid => f.write_str("the signature is invalid"),
            Self::Unsigned => f.write_str("no signature of the expected key"),
            Self::Key(why) => write!(f, "unusable key: {why}"),
        }
    }
}

impl std::error::Error for NoteError {}

/// Who may have signed: a key's name, its id and the public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    id: u32,
    key: VerifyingKey,
}

impl Verifier {
    /// A verifier for `name` and an Ed25519 public key.
    pub fn new(name: &str, public: &[u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        let key = VerifyingKey::from_bytes(public).map_err(|_| NoteError::Key("no Ed25519 point"))?;
        Ok(Self { name: name.to_owned(), id: key_id(name, public), key })
    }

    /// Parses `<name>+<8 hex of the id>+<base64 of type byte and key>`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        const SHAPE: NoteError = NoteError::Key("expected name+id+key");
        let mut parts = text.splitn(3, '+');
        let (name, id, key) =
            (parts.next().ok_or(SHAPE)?, parts.next().ok_or(SHAPE)?, parts.next().ok_or(SHAPE)?);
        let bytes = STANDARD.decode(key).map_err(|_| SHAPE)?;
        let Some((&ED25519, public)) = bytes.split_first() else { return Err(SHAPE) };
        let public: &[u8; 32] = public.try_into().map_err(|_| SHAPE)?;
        let verifier = Self::new(name, public)?;
        if format!("{:08x}", verifier.id) == id {
            Ok(verifier)
        } else {
            Err(NoteError::Key("the id does not match"))
        }
    }

    /// The key's name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key's 32 bytes.
    pub fn public(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The note's text, once a signature of this key over it was verified.
    pub fn open<'a>(&self, note: &'a [u8]) -> Result<&'a str, NoteError> {
        let (text, signatures) = split(note)?;
        let mut seen = false;
        for line in signatures {
            let (name, id, signature) = parse_signature(line)?;
            if name != self.name || id != self.id {
                continue;
            }
            let bytes: [u8; 64] = signature.try_into().map_err(|_| NoteError::Invalid)?;
            self.key
                .verify_strict(text.as_bytes(), &Signature::from_bytes(&bytes))
                .map_err(|_| NoteError::Invalid)?;
            seen = true;
        }
        if seen { Ok(text) } else { Err(NoteError::Unsigned) }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ED25519];
        bytes.extend_from_slice(&self.public());
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(bytes))
    }
}

/// A log's signing key under its name. Its `Debug` shows the name only.
pub struct Signer {
    name: String,
    key: SigningKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer from a 32-byte seed.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(seed) })
    }

    /// The key's name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What others need to check this signer's notes.
    pub fn verifier(&self) -> Verifier {
        let key = self.key.verifying_key();
        Verifier { name: self.name.clone(), id: key_id(&self.name, key.as_bytes()), key }
    }

    /// `text` (which ends in a newline) with this key's signature line.
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = key_id(&self.name, self.key.verifying_key().as_bytes()).to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n\u{2014} {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

/// `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)[:4]`.
fn key_id(name: &str, public: &[u8; 32]) -> u32 {
    let digest = Sha256::new()
        .chain_update(name.as_bytes())
        .chain_update([b'\n', ED25519])
        .chain_update(public)
        .finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn check_name(name: &str) -> Result<(), NoteError> {
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
        return Err(NoteError::Key("a name is not empty and has no space and no plus"));
    }
    Ok(())
}

/// The text (with its last newline) and the signature lines of a note.
pub fn split(note: &[u8]) -> Result<(&str, Vec<&str>), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::Malformed("too long"));
    }
    let note = std::str::from_utf8(note).map_err(|_| NoteError::Malformed("not UTF-8"))?;
    if note.bytes().any(|b| b < 0x20 && b != b'\n') {
        return Err(NoteError::Malformed("control character"));
    }
    let at = note.rfind("\n\n").ok_or(NoteError::Malformed("no blank line"))?;
    let (text, rest) = (&note[..=at], &note[at + 2..]);
    let body = rest.strip_suffix('\n').ok_or(NoteError::Malformed("no newline at the end"))?;
    let lines: Vec<&str> = body.split('\n').collect();
    if body.is_empty() || lines.len() > SIGNATURES_MAX {
        return Err(NoteError::Malformed("number of signatures"));
    }
    Ok((text, lines))
}

fn parse_signature(line: &str) -> Result<(&str, u32, Vec<u8>), NoteError> {
    const SHAPE: NoteError = NoteError::Malformed("signature line");
    let (name, encoded) = line.strip_prefix("\u{2014} ").and_then(|l| l.split_once(' ')).ok_or(SHAPE)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| SHAPE)?;
    let (id, signature) = bytes.split_first_chunk::<4>().ok_or(SHAPE)?;
    if name.is_empty() || signature.is_empty() {
        return Err(SHAPE);
    }
    Ok((name, u32::from_be_bytes(*id), signature.to_vec()))
}

#[cfg(test)]
mod tests;
