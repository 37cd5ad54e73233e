//! The folding table, decoded once from the generated `fold_table.bin` into two flat levels.
use std::sync::OnceLock;

const DATA: &[u8] = include_bytes!("fold_table.bin");
const MAGIC: &[u8] = b"DGF1";

const PAGE_BITS: u32 = 8;
const PAGE: usize = 1 << PAGE_BITS;
const PAGES: usize = 0x11_0000 >> PAGE_BITS;

/// Value of the length field of an entry that maps to itself.
const IDENTITY: u32 = 31;
const PAYLOAD_BITS: u32 = 21;
const PAYLOAD_MASK: u32 = (1 << PAYLOAD_BITS) - 1;
const LENGTH_BITS: u32 = 5;
const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;
const CLASS_SHIFT: u32 = PAYLOAD_BITS + LENGTH_BITS;

/// Hangul syllables decompose by arithmetic (Unicode, section 3.12).
const HANGUL_FIRST: u32 = 0xAC00;
const HANGUL_LAST: u32 = 0xD7A3;

/// What a code point is to the marks after it, or which kind of mark it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Other,
    LatinGreekCyrillic,
    Math,
    MarkGeneric,
    MarkOfScript,
}

impl Class {
    const fn from_bits(bits: u32) -> Self {
        match bits {
            1 => Self::LatinGreekCyrillic,
            2 => Self::Math,
            3 => Self::MarkGeneric,
            4 => Self::MarkOfScript,
            _ => Self::Other,
        }
    }

    pub const fn is_mark(self) -> bool {
        matches!(self, Self::MarkGeneric | Self::MarkOfScript)
    }

    /// Whether a mark of class `mark` over a base of this class is deleted.
    pub const fn strips(self, mark: Self) -> bool {
        match self {
            Self::LatinGreekCyrillic => true,
            Self::Other => matches!(mark, Self::MarkGeneric),
            _ => false,
        }
    }
}

/// The symbols of one code point, in order.
#[derive(Debug, Clone)]
pub struct Fold {
    few: [u32; 3],
    many: &'static [u32],
    at: u8,
    len: u8,
}

impl Fold {
    pub(crate) const EMPTY: Self = Self { few: [0; 3], many: &[], at: 0, len: 0 };

    pub(crate) const fn one(symbol: u32) -> Self {
        Self { few: [symbol, 0, 0], many: &[], at: 0, len: 1 }
    }

    fn hangul(code: u32) -> Self {
        let index = code - HANGUL_FIRST;
        let last = index % 28;
        let few = [0x1100 + index / 588, 0x1161 + index % 588 / 28, 0x11A7 + last];
        Self { few, many: &[], at: 0, len: if last == 0 { 2 } else { 3 } }
    }
}

impl Iterator for Fold {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.at >= self.len {
            return None;
        }
        let index = usize::from(self.at);
        self.at += 1;
        if self.many.is_empty() { Some(self.few[index]) } else { self.many.get(index).copied() }
    }
}

/// One packed entry: class, length, and the symbol or where the symbols are. Zero is "maps to itself".
#[derive(Debug, Clone, Copy)]
pub struct Entry(u32);

impl Entry {
    const PLAIN: Self = Self(IDENTITY << PAYLOAD_BITS);

    pub const fn class(self) -> Class {
        Class::from_bits(self.0 >> CLASS_SHIFT)
    }

    const fn length(self) -> u32 {
        self.0 >> PAYLOAD_BITS & LENGTH_MASK
    }

    /// Deleted wherever it stands.
    pub const fn is_empty(self) -> bool {
        self.length() == 0
    }

    /// The symbols of `c`, which this entry belongs to, where it is not deleted.
    pub fn fold(self, c: char) -> Fold {
        let payload = self.0 & PAYLOAD_MASK;
        match self.length() {
            0 => Fold::EMPTY,
            1 => Fold::one(payload),
            IDENTITY if (HANGUL_FIRST..=HANGUL_LAST).contains(&u32::from(c)) => Fold::hangul(u32::from(c)),
            IDENTITY => Fold::one(u32::from(c)),
            length => Fold {
                few: [0; 3],
                many: FoldTable::get()
                    .pool
                    .get(payload as usize..(payload + length) as usize)
                    .unwrap_or_default(),
                at: 0,
                len: length as u8,
            },
        }
    }
}

/// Both levels: `pages` leads from the high bits of a code point to a page of `entries`.
pub struct FoldTable {
    pages: Vec<u16>,
    entries: Vec<Entry>,
    pool: Vec<u32>,
    listed: Vec<char>,
}

impl FoldTable {
    pub fn get() -> &'static Self {
        static TABLE: OnceLock<FoldTable> = OnceLock::new();
        TABLE.get_or_init(|| Self::decode(DATA))
    }

    pub fn entry(&self, c: char) -> Entry {
        let code = u32::from(c) as usize;
        let page = usize::from(self.pages[code >> PAGE_BITS]);
        self.entries[page * PAGE + code % PAGE]
    }

    /// Calls `visit` for each code point the table lists.
    pub fn each(&self, mut visit: impl FnMut(char, Entry)) {
        for &c in &self.listed {
            visit(c, self.entry(c));
        }
    }

    /// Page 0 of `entries` is the page of code points that map to themselves.
    fn decode(data: &[u8]) -> Self {
        let (magic, rest) = data.split_at(MAGIC.len());
        assert_eq!(magic, MAGIC, "fold_table.bin is not a folding table");
        let (count, mut rest) = rest.split_at(4);
        let count = u32::from_le_bytes([count[0], count[1], count[2], count[3]]);
        let mut table = Self {
            pages: vec![0; PAGES],
            entries: vec![Entry::PLAIN; PAGE],
            pool: Vec::new(),
            listed: Vec::with_capacity(count as usize),
        };
        let mut code = 0;
        for _ in 0..count {
            code += varint(&mut rest);
            let head = varint(&mut rest);
            let (length, class) = (head >> 3, head & 7);
            let payload = match length {
                0 | IDENTITY => 0,
                1 => varint(&mut rest),
                _ => {
                    let start = table.pool.len() as u32;
                    table.pool.extend((0..length).map(|_| varint(&mut rest)));
                    start
                }
            };
            table.set(code, Entry(class << CLASS_SHIFT | length << PAYLOAD_BITS | payload));
        }
        assert!(rest.is_empty(), "fold_table.bin has trailing bytes");
        table
    }

    fn set(&mut self, code: u32, entry: Entry) {
        let high = (code >> PAGE_BITS) as usize;
        if self.pages[high] == 0 {
            self.pages[high] = (self.entries.len() / PAGE) as u16;
            self.entries.resize(self.entries.len() + PAGE, Entry::PLAIN);
        }
        let slot = usize::from(self.pages[high]) * PAGE + code as usize % PAGE;
        self.entries[slot] = entry;
        self.listed.extend(char::from_u32(code));
    }
}

/// Reads one LEB128 number and moves past it.
fn varint(bytes: &mut &[u8]) -> u32 {
    let mut value = 0;
    let mut shift = 0;
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        value |= u32::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    value
}
