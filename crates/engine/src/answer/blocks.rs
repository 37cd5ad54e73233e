//! Whether a document of the provider says that its own filter acted, by the pointers of the provider's pack.

use super::spec::VendorBlock;
use crate::stream::json::{Cursor, Error, Kind, Limits, Scratch, decode};

/// The pointer that is checked on the way, without another pass.
const FINISH: &str = "/choices/*/finish_reason";

/// The vendor's word if a finish reason is a block.
pub(super) fn finish<'b>(blocks: &'b [VendorBlock], reason: &str) -> Option<&'b str> {
    let mut values = blocks.iter().filter(|block| block.pointer == FINISH).flat_map(|block| &block.equals);
    values.find(|value| *value == reason).map(String::as_str)
}

/// The vendor's word if another pointer of a block holds one of its values in `text`.
pub(super) fn elsewhere<'b>(
    blocks: &'b [VendorBlock],
    text: &str,
    scratch: &mut Scratch,
) -> Result<Option<&'b str>, Error> {
    for block in blocks.iter().filter(|block| block.pointer != FINISH) {
        let key = block.pointer.rsplit('/').find(|segment| *segment != "*").unwrap_or_default();
        // A cheap refusal: the last name does not even occur. An escaped name is not the vendor's way.
        if memchr::memmem::find(text.as_bytes(), key.as_bytes()).is_none() {
            continue;
        }
        let segments: Vec<&str> = block.pointer.split('/').skip(1).collect();
        let mut cursor = Cursor::new(text, scratch, Limits::default());
        if let Some(value) = find(&mut cursor, &segments, &block.equals)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn find<'b>(
    cursor: &mut Cursor<'_>,
    segments: &[&str],
    equals: &'b [String],
) -> Result<Option<&'b str>, Error> {
    let kind = cursor.kind()?;
    let Some((first, rest)) = segments.split_first() else {
        let span = cursor.skip()?;
        let raw = &cursor.text()[span.start..span.end];
        let value = if kind == Kind::String { decode(&raw[1..raw.len() - 1]) } else { raw.into() };
        return Ok(equals.iter().find(|known| **known == value).map(String::as_str));
    };
    let mut found = None;
    match kind {
        Kind::Object => {
            let mut members = cursor.enter(kind)?;
            while let Some(key) = cursor.key(&mut members)? {
                if decode(cursor.slice(key)) == *first && found.is_none() {
                    found = find(cursor, rest, equals)?;
                } else {
                    cursor.skip()?;
                }
            }
        }
        Kind::Array => {
            let mut members = cursor.enter(kind)?;
            let mut position = 0usize;
            while cursor.element(&mut members)? {
                if found.is_none() && (*first == "*" || first.parse() == Ok(position)) {
                    found = find(cursor, rest, equals)?;
                } else {
                    cursor.skip()?;
                }
                position += 1;
            }
        }
        _ => {
            cursor.skip()?;
        }
    }
    Ok(found)
}
