//! Undoing and writing the escapes of JSON strings. A high surrogate at the end of one string may be completed by
//! the low one at the start of the next string of the same text; it never invents a character from half a pair.

use std::borrow::Cow;

/// The high half of a pair that ended the string before, if it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surrogate(Option<u16>);

impl Surrogate {
    pub fn is_pending(self) -> bool {
        self.0.is_some()
    }

    /// The text ended: a half pair becomes U+FFFD.
    pub fn finish(&mut self, out: &mut String) {
        if self.0.take().is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn unit(&mut self, unit: u16, out: &mut String) {
        match (self.0.take(), unit) {
            (Some(high), 0xDC00..=0xDFFF) => {
                let code = 0x1_0000 + ((u32::from(high) - 0xD800) << 10) + (u32::from(unit) - 0xDC00);
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            (before, _) => {
                if before.is_some() {
                    out.push(char::REPLACEMENT_CHARACTER);
                }
                match unit {
                    0xD800..=0xDBFF => self.0 = Some(unit),
                    _ => out.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)),
                }
            }
        }
    }
}

/// Appends the text of a string's raw contents, which a cursor has validated.
pub fn unescape(raw: &str, surrogate: &mut Surrogate, out: &mut String) {
    let bytes = raw.as_bytes();
    let mut from = 0;
    while let Some(length) = memchr::memchr(b'\\', &bytes[from..]) {
        if length > 0 {
            surrogate.finish(out);
            out.push_str(&raw[from..from + length]);
        }
        let at = from + length + 1;
        from = at + 1;
        let plain = match bytes.get(at) {
            Some(b'u') => {
                from = (at + 5).min(bytes.len());
                surrogate.unit(hex(&bytes[at + 1..from]), out);
                continue;
            }
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(other) => char::from(*other),
            None => return,
        };
        surrogate.finish(out);
        out.push(plain);
    }
    if from < raw.len() {
        surrogate.finish(out);
        out.push_str(&raw[from..]);
    }
}

/// The text of a string that stands alone.
pub fn decode(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut surrogate = Surrogate::default();
    unescape(raw, &mut surrogate, &mut out);
    surrogate.finish(&mut out);
    Cow::Owned(out)
}

/// Whether an escape of the contents `raw` is half a surrogate pair: no text, and read differently by each reader.
pub fn has_lone_surrogate(raw: &str) -> bool {
    let bytes = raw.as_bytes();
    let unit = |at: usize| {
        let escape = bytes.get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"));
        escape.map(|escape| hex(&escape[2..]))
    };
    let mut at = 0;
    while let Some(length) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += length;
        at += match unit(at) {
            None => 2,
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => return true,
            Some(_) => 6,
        };
    }
    false
}

/// Appends `text` as the contents of a JSON string, without its quotes.
pub fn encode(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

fn hex(digits: &[u8]) -> u16 {
    digits.iter().fold(0, |value, &digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => 0,
        };
        (value << 4) | u16::from(nibble)
    })
}
