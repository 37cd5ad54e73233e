//! RFC 8785 canonical JSON, restricted to integers, so that two languages always hash the same bytes.
use std::fmt;

use serde_json::{Map, Value};

use super::ENTRY_BYTES_MAX;

/// The largest integer magnitude: what an IEEE double holds exactly (RFC 8785 section 3.2.2.3).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;
/// Nesting beyond this is refused: an entry is flat, and a verifier's stack is bounded.
pub const DEPTH_MAX: usize = 32;

/// Why a value has no canonical form here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CanonicalError {
    /// A number with a fraction or an exponent, or beyond ±(2^53 − 1).
    Number(String),
    /// Nested deeper than [`DEPTH_MAX`].
    Depth,
    /// Longer than [`ENTRY_BYTES_MAX`]; the length in bytes.
    Length(usize),
    /// Not JSON, or JSON that is not in its canonical form.
    Form(String),
}

impl fmt::Display for CanonicalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n} is not an integer within ±(2^53-1)"),
            Self::Depth => write!(f, "nested deeper than {DEPTH_MAX}"),
            Self::Length(n) => write!(f, "{n} bytes; an entry has at most {ENTRY_BYTES_MAX}"),
            Self::Form(why) => write!(f, "not RFC 8785 canonical JSON: {why}"),
        }
    }
}

impl std::error::Error for CanonicalError {}

/// The RFC 8785 bytes of `value`, at most [`ENTRY_BYTES_MAX`] long.
pub fn canonical(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::with_capacity(1024);
    write_value(&mut out, value, 0)?;
    if out.len() > ENTRY_BYTES_MAX {
        return Err(CanonicalError::Length(out.len()));
    }
    Ok(out)
}

/// The RFC 8785 bytes of a document of any length (digests of rule sets and configurations).
pub fn canonical_document(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write_value(&mut out, value, 0)?;
    Ok(out)
}

/// Parses `bytes` and confirms that they are their own canonical form and fit an entry.
pub fn check(bytes: &[u8]) -> Result<Value, CanonicalError> {
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(CanonicalError::Length(bytes.len()));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|e| CanonicalError::Form(e.to_string()))?;
    // Duplicate keys, white space and needless escapes all show as a difference.
    if canonical(&value)? == bytes {
        Ok(value)
    } else {
        Err(CanonicalError::Form("keys unsorted or repeated, spaces, or another spelling of a string".into()))
    }
}

fn write_value(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), CanonicalError> {
    if depth > DEPTH_MAX {
        return Err(CanonicalError::Depth);
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(n) => write_number(out, n)?,
        Value::String(s) => write_string(out, s),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(out, item, depth + 1)?;
            }
            out.push(b']');
        }
        Value::Object(map) => write_object(out, map, depth)?,
    }
    Ok(())
}

fn write_object(out: &mut Vec<u8>, map: &Map<String, Value>, depth: usize) -> Result<(), CanonicalError> {
    let mut members: Vec<(&String, &Value)> = map.iter().collect();
    // RFC 8785 sorts by UTF-16 code units, which differs from UTF-8 order above U+FFFF only.
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push(b'{');
    for (i, (key, item)) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, key);
        out.push(b':');
        write_value(out, item, depth + 1)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_number(out: &mut Vec<u8>, n: &serde_json::Number) -> Result<(), CanonicalError> {
    let fits = match (n.as_i64(), n.as_u64()) {
        (Some(i), _) => i.unsigned_abs() <= INTEGER_MAX,
        (None, Some(u)) => u <= INTEGER_MAX,
        (None, None) => false,
    };
    if !fits {
        return Err(CanonicalError::Number(n.to_string()));
    }
    out.extend_from_slice(n.to_string().as_bytes());
    Ok(())
}

fn write_string(out: &mut Vec<u8>, s: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in s.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            0x00..=0x1f => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;

/// Appends bytes as lower-case hex. Formatting byte by byte costs more than hashing.
pub fn push_hex(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [0; 64];
    for block in bytes.chunks(pairs.len() / 2) {
        for (pair, byte) in pairs.chunks_exact_mut(2).zip(block) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text.push_str(std::str::from_utf8(&pairs[..block.len() * 2]).unwrap_or_default());
    }
}
