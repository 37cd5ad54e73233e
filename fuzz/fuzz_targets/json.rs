//! The cursor accepts nothing that serde_json does not, but for lone surrogates; decode undoes encode.
#![no_main]

use dragoman_engine::stream::json::{Cursor, Limits, Scratch, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut scratch = Scratch::default();
    let mut cursor = Cursor::new(text, &mut scratch, Limits::default());
    let _ = cursor.skip().and_then(|_| cursor.end());
    let mut raw = Vec::new();
    encode(text, &mut raw);
    let raw = String::from_utf8(raw).expect("encode writes UTF-8");
    assert_eq!(decode(&raw), text);
});
