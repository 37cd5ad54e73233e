use super::{ENOUGH, Frames, PREFACE};
use crate::accept::guard::{Rules, Vitals};
use proptest::prelude::*;

/// Bytes that are handed on when `bytes` come in pieces of `cut`, and whether they were refused.
fn passed(bytes: &[u8], cut: usize) -> (Vec<u8>, bool) {
    let (mut rules, vitals) = (Frames::default(), Vitals::new(0, true));
    let (mut raw, mut out) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        raw.extend_from_slice(piece);
        while !raw.is_empty() {
            match rules.classify(&raw, &vitals, 0) {
                Ok(0) => break,
                Ok(pass) => out.extend(raw.drain(..pass)),
                Err(_) => return (out, true),
            }
        }
    }
    (out, false)
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

proptest! {
    /// How the network cuts the bytes changes nothing.
    #[test]
    fn every_cut_passes_the_same(frames in prop::collection::vec((0_u8..11, any::<u8>(), 0_usize..600), 0..300), cut in 1_usize..700) {
        let mut bytes = PREFACE.to_vec();
        for (kind, flags, length) in frames {
            bytes.extend(frame(kind, flags, &vec![b'x'; length]));
        }
        prop_assert_eq!(passed(&bytes, cut), passed(&bytes, bytes.len()));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 1_usize..50) {
        let bytes = [PREFACE, &bytes].concat();
        let (out, refused) = passed(&bytes, cut);
        prop_assert!(bytes.starts_with(&out));
        prop_assert!(refused || out.len() + 16_400 > bytes.len());
    }
}

#[test]
fn another_preface_is_refused_at_its_first_wrong_byte() {
    assert!(!passed(&PREFACE[..10], 1).1);
    assert!(passed(b"GET / HTTP/1.1\r\n", 1).1);
    assert!(passed(b"PRI * HTTP/2.1", 3).1);
}

#[test]
fn what_stands_for_a_flood_is_a_head_without_end() {
    let frames: Vec<&[u8]> = ENOUGH.chunks(9).collect();
    assert!(frames.iter().all(|f| f[..3] == [0; 3] && f[4] == 0 && f[5..] == [0x7f, 0xff, 0xff, 0xff]));
    assert_eq!(frames.iter().map(|f| f[3]).filter(|kind| *kind == 1).count(), 1);
}
