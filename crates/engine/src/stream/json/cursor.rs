//! The cursor: pulls one value, member or element after the other and validates on the way. Duplicate keys, depth,
//! the number of keys and the grammar are checked for every value, also for those that are skipped.

use std::collections::HashSet;

use super::escape::decode;

/// Objects larger than this look their keys up in a set instead of a list.
const LIST_OF_KEYS: usize = 48;

/// What may be wrong with a document; `at` is a byte offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Not JSON at this place.
    Syntax {
        at: usize,
    },
    /// The document ends inside a value.
    Ended,
    /// The same key twice in one object.
    DuplicateKey {
        at: usize,
    },
    TooDeep,
    TooManyKeys,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// Half-open byte range of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// The contents of a string, without its quotes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Str {
    pub start: usize,
    pub end: usize,
    /// Contains at least one backslash.
    pub escaped: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub depth: u16,
    pub keys: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: crate::limits::JSON_DEPTH, keys: crate::limits::JSON_KEYS }
    }
}

/// Memory that is reused from document to document.
#[derive(Debug, Default)]
pub struct Scratch {
    keys: Vec<u64>,
}

/// The iteration over one object or array.
#[derive(Debug)]
pub struct Members {
    first: bool,
    base: usize,
    many: Option<HashSet<u64>>,
}

/// A position in a document.
#[derive(Debug)]
pub struct Cursor<'a> {
    text: &'a str,
    pos: usize,
    depth: u16,
    keys: u32,
    limits: Limits,
    seen: &'a mut Vec<u64>,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str, scratch: &'a mut Scratch, limits: Limits) -> Self {
        scratch.keys.clear();
        Self { text, pos: 0, depth: 0, keys: 0, limits, seen: &mut scratch.keys }
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    pub fn slice(&self, string: Str) -> &'a str {
        &self.text[string.start..string.end]
    }

    /// Byte offset of the next byte to read.
    pub fn pos(&self) -> usize {
        self.pos
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn wrong<T>(&self) -> Result<T, Error> {
        if self.pos >= self.text.len() { Err(Error::Ended) } else { Err(Error::Syntax { at: self.pos }) }
    }

    #[inline]
    fn white(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.pos += 1;
        }
    }

    /// The kind of the value that comes next.
    #[inline]
    pub fn kind(&mut self) -> Result<Kind, Error> {
        self.white();
        match self.byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            Some(b'n') => Ok(Kind::Null),
            _ => self.wrong(),
        }
    }

    /// Enters an object or array.
    pub fn enter(&mut self, kind: Kind) -> Result<Members, Error> {
        self.white();
        let open = if kind == Kind::Object { b'{' } else { b'[' };
        if self.byte() != Some(open) {
            return self.wrong();
        }
        if self.depth >= self.limits.depth {
            return Err(Error::TooDeep);
        }
        self.depth += 1;
        self.pos += 1;
        Ok(Members { first: true, base: self.seen.len(), many: None })
    }

    /// The next member's key, the cursor then stands before its value; `None` when the object has ended.
    pub fn key(&mut self, members: &mut Members) -> Result<Option<Str>, Error> {
        if !self.step(members, b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        self.white();
        if self.byte() != Some(b':') {
            return self.wrong();
        }
        self.pos += 1;
        self.keys += 1;
        if self.keys > self.limits.keys {
            return Err(Error::TooManyKeys);
        }
        self.note(members, key)?;
        Ok(Some(key))
    }

    /// Whether the array has another element, the cursor then stands before it.
    pub fn element(&mut self, members: &mut Members) -> Result<bool, Error> {
        self.step(members, b']')
    }

    fn step(&mut self, members: &mut Members, close: u8) -> Result<bool, Error> {
        self.white();
        if self.byte() == Some(close) {
            self.pos += 1;
            self.depth -= 1;
            self.seen.truncate(members.base);
            return Ok(false);
        }
        if members.first {
            members.first = false;
        } else {
            if self.byte() != Some(b',') {
                return self.wrong();
            }
            self.pos += 1;
            self.white();
        }
        Ok(true)
    }

    fn note(&mut self, members: &mut Members, key: Str) -> Result<(), Error> {
        let raw = self.slice(key);
        let hash = if key.escaped { hash(decode(raw).as_bytes()) } else { hash(raw.as_bytes()) };
        let again = if let Some(many) = &mut members.many {
            !many.insert(hash)
        } else {
            let list = &self.seen[members.base..];
            let again = list.contains(&hash);
            if list.len() >= LIST_OF_KEYS {
                members.many = Some(list.iter().copied().chain([hash]).collect());
            } else {
                self.seen.push(hash);
            }
            again
        };
        if again { Err(Error::DuplicateKey { at: key.start }) } else { Ok(()) }
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<Str, Error> {
        self.white();
        if self.byte() != Some(b'"') {
            return self.wrong();
        }
        let start = self.pos + 1;
        let mut at = start;
        let mut escaped = false;
        let bytes = self.text.as_bytes();
        loop {
            at = special(bytes, at);
            match bytes.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return Ok(Str { start, end: at, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    at = escape_end(bytes, at)?;
                }
                Some(_) => return Err(Error::Syntax { at }),
                None => return Err(Error::Ended),
            }
        }
    }

    /// Reads a number; its text is the span.
    pub fn number(&mut self) -> Result<Span, Error> {
        self.white();
        let start = self.pos;
        if self.byte() == Some(b'-') {
            self.pos += 1;
        }
        if self.byte() == Some(b'0') {
            self.pos += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(Span { start, end: self.pos })
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.pos;
        while let Some(b'0'..=b'9') = self.byte() {
            self.pos += 1;
        }
        if self.pos == start { self.wrong() } else { Ok(()) }
    }

    /// Reads `true`, `false` or `null`.
    pub fn literal(&mut self) -> Result<Span, Error> {
        self.white();
        let start = self.pos;
        for word in ["true", "false", "null"] {
            if self.text.as_bytes()[start..].starts_with(word.as_bytes()) {
                self.pos += word.len();
                return Ok(Span { start, end: self.pos });
            }
        }
        self.wrong()
    }

    /// Reads any value and validates it.
    pub fn skip(&mut self) -> Result<Span, Error> {
        let kind = self.kind()?;
        let start = self.pos;
        match kind {
            Kind::Object => {
                let mut members = self.enter(kind)?;
                while self.key(&mut members)?.is_some() {
                    self.skip()?;
                }
            }
            Kind::Array => {
                let mut members = self.enter(kind)?;
                while self.element(&mut members)? {
                    self.skip()?;
                }
            }
            Kind::String => {
                self.string()?;
            }
            Kind::Number => {
                self.number()?;
            }
            Kind::True | Kind::False | Kind::Null => {
                self.literal()?;
            }
        }
        Ok(Span { start, end: self.pos })
    }

    /// The member `name` of the object that comes next, where it is a number. Nothing is used up.
    pub fn peek_number(&mut self, name: &str) -> Result<Option<&'a str>, Error> {
        if self.kind()? != Kind::Object {
            return Ok(None);
        }
        let (pos, depth, keys, seen) = (self.pos, self.depth, self.keys, self.seen.len());
        let found = self.number_of(name);
        (self.pos, self.depth, self.keys) = (pos, depth, keys);
        self.seen.truncate(seen);
        found
    }

    fn number_of(&mut self, name: &str) -> Result<Option<&'a str>, Error> {
        let mut found = None;
        let mut members = self.enter(Kind::Object)?;
        while let Some(key) = self.key(&mut members)? {
            let kind = self.kind()?;
            let value = self.skip()?;
            if kind == Kind::Number && decode(self.slice(key)) == name {
                found = Some(&self.text[value.start..value.end]);
            }
        }
        Ok(found)
    }

    /// Only white space may be left.
    pub fn end(&mut self) -> Result<(), Error> {
        self.white();
        if self.pos == self.text.len() { Ok(()) } else { self.wrong() }
    }
}

/// Whether `bytes` are the contents of one string, and if so, whether any escape is among them.
pub fn contents(bytes: &[u8]) -> Option<bool> {
    let (mut at, mut escaped) = (0, false);
    loop {
        at = special(bytes, at);
        match bytes.get(at) {
            None => return Some(escaped),
            Some(b'\\') => {
                escaped = true;
                at = escape_end(bytes, at).ok()?;
            }
            Some(_) => return None,
        }
    }
}

/// Offset of the next quote, backslash or control character from `at` on, eight bytes a step.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const fn zero(x: u64) -> u64 {
        x.wrapping_sub(ONES) & !x & HIGH
    }
    while let Some(eight) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes([
            eight[0], eight[1], eight[2], eight[3], eight[4], eight[5], eight[6], eight[7],
        ]);
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let slash = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let hit = quote | slash | control;
        if hit != 0 {
            // The lowest set bit is exact; only bits above a true hit can be false ones.
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}

fn escape_end(bytes: &[u8], at: usize) -> Result<usize, Error> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            for offset in at + 2..at + 6 {
                match bytes.get(offset) {
                    Some(digit) if digit.is_ascii_hexdigit() => {}
                    Some(_) => return Err(Error::Syntax { at: offset }),
                    None => return Err(Error::Ended),
                }
            }
            Ok(at + 6)
        }
        Some(_) => Err(Error::Syntax { at: at + 1 }),
        None => Err(Error::Ended),
    }
}

/// Equal keys give equal hashes; two keys of one hash are refused as one, which hurts only who sent them.
fn hash(key: &[u8]) -> u64 {
    const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = (key.len() as u64).wrapping_mul(MIX);
    for chunk in key.chunks(8) {
        let mut word = [0u8; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = (state ^ u64::from_le_bytes(word)).wrapping_mul(MIX);
        state ^= state >> 29;
    }
    state
}
