//! Framing and cache against plain references, for any cut and order.
use dragoman_relay::cache::{Cache, Found, Kept};
use dragoman_relay::frame::{self, Bad, Chunked, Length};
use dragoman_relay::limits;
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

/// Encodes `pieces` as chunks.
fn encode(pieces: &[Vec<u8>], trailer: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces.iter().filter(|p| !p.is_empty()) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
    out
}

/// Decodes `bytes` cut at `cuts`; the payload, and what was left after the end.
fn decode(bytes: &[u8], cut: usize) -> Result<(Vec<u8>, usize, bool), Bad> {
    let mut chunked = Chunked::default();
    let (mut payload, mut over) = (Vec::new(), 0);
    for piece in bytes.chunks(cut) {
        let mut buffer = piece.to_vec();
        let (written, left) = chunked.compact(&mut buffer, piece.len())?;
        payload.extend_from_slice(&buffer[..written]);
        over += left;
    }
    Ok((payload, over, chunked.ended()))
}

proptest! {
    #[test]
    fn chunks_decode_to_their_payload_in_any_cut(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        rest in prop::collection::vec(any::<u8>(), 0..9),
        cut in 1_usize..64,
    ) {
        let mut bytes = encode(&pieces, "x: y\r\n");
        bytes.extend_from_slice(&rest);
        prop_assert_eq!(decode(&bytes, cut), Ok((pieces.concat(), rest.len(), true)));
    }

    #[test]
    fn a_cut_body_never_counts_as_ended(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..5),
        cut in 1_usize..32,
        lost in 1_usize..10,
    ) {
        let bytes = encode(&pieces, "");
        let kept = bytes.len().saturating_sub(lost);
        let (payload, _, ended) = decode(&bytes[..kept], cut).expect("sound as far as it goes");
        prop_assert!(!ended && pieces.concat().starts_with(&payload));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 1_usize..50) {
        let decoded = decode(&bytes, cut).map_or(0, |(payload, over, _)| payload.len() + over);
        prop_assert!(decoded <= bytes.len());
        if let Ok(Some(end)) = frame::head_end(&bytes, 0) {
            prop_assert!(bytes[..end].ends_with(b"\r\n\r\n") || &bytes[..end] == b"\r\n");
        }
    }
}

#[test]
fn loose_framing_is_refused() {
    let cases: [&[u8]; 10] = [
        b"2\nab\r\n0\r\n\r\n",
        b"2 \r\nab\r\n0\r\n\r\n",
        b"2;x=1\r\nab\r\n0\r\n\r\n",
        b"+2\r\nab\r\n0\r\n\r\n",
        b"0x2\r\nab\r\n0\r\n\r\n",
        b"\r\nab\r\n0\r\n\r\n",
        b"2\r\nabX\r\n0\r\n\r\n",
        b"2\r\nab\n0\r\n\r\n",
        b"00000000000000002\r\nab\r\n0\r\n\r\n",
        b"0\r\nx: y\n\r\n",
    ];
    for case in cases {
        assert!(decode(case, 1).is_err(), "{:?}", String::from_utf8_lossy(case));
        assert!(decode(case, 64).is_err(), "{:?}", String::from_utf8_lossy(case));
    }
    assert!(decode(b"2\r\nab\r\n0\r\n\r\n", 1).is_ok(), "the negative control");
    let endless = [b"0\r\n".to_vec(), vec![b'a'; 5_000]].concat();
    assert!(decode(&endless, 64).is_err(), "trailers have a limit");
}

#[test]
fn a_head_ends_at_its_empty_line_in_any_cut() {
    let head = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    for searched in 0..head.len() {
        assert_eq!(frame::head_end(&head[..searched], 0), Ok(None));
        assert_eq!(frame::head_end(head, searched), Ok(Some(head.len())), "{searched}");
    }
    assert!(frame::head_end(b"GET / HTTP/1.1\nhost: x\n\n", 0).is_err());
    assert!(frame::head_end(b"GET / HTTP/1.1\r\nhost: x\r\n\n", 0).is_err());
}

#[test]
fn two_lengths_are_never_one() {
    let read = |fields: &[(&str, &str)]| frame::declared(fields.iter().map(|(n, v)| (*n, v.as_bytes())));
    assert!(matches!(read(&[("Content-Length", "7")]), Ok(Some(Length::Known(7)))));
    assert!(matches!(read(&[("Transfer-Encoding", "Chunked")]), Ok(Some(Length::Chunked(_)))));
    assert!(matches!(read(&[("x", "y")]), Ok(None)));
    let both = ("transfer-encoding", "chunked");
    for fields in [
        vec![("content-length", "7"), ("content-length", "7")],
        vec![("content-length", "7"), both],
        vec![both, ("content-length", "7")],
        vec![both, both],
        vec![("content-length", "7, 7")],
        vec![("content-length", "-1")],
        vec![("content-length", "")],
        vec![("content-length", "9999999999999999")],
        vec![("transfer-encoding", "gzip, chunked")],
        vec![("transfer-encoding", "identity")],
    ] {
        assert!(read(&fields).is_err(), "{fields:?}");
    }
}

struct Value(u64, Vec<String>);

impl Kept for Value {
    fn tags(&self) -> &[String] {
        &self.1
    }
}

fn kept(cache: &Cache<Value>, n: u64, tag: &str) {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.to_le_bytes());
    if let Found::Ask(ticket) = cache.find(&key, 0) {
        cache.keep(ticket, Arc::new(Value(n, vec![tag.to_owned()])), 100, || true);
    }
}

fn found(cache: &Cache<Value>, n: u64, now: u64) -> Option<u64> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.to_le_bytes());
    match cache.find(&key, now) {
        Found::Hit(value) => Some(value.0),
        _ => None,
    }
}

#[test]
fn the_cache_forgets_by_tag_by_time_and_by_size() {
    let cache = Cache::new(64);
    kept(&cache, 1, "a");
    kept(&cache, 2, "b");
    assert_eq!((found(&cache, 1, 99), found(&cache, 2, 99)), (Some(1), Some(2)));
    cache.forget(&HashSet::from(["a"]));
    assert_eq!((found(&cache, 1, 99), found(&cache, 2, 99)), (None, Some(2)));
    assert_eq!(found(&cache, 2, 100), None, "it holds until, not at");
    for n in 10..1_000 {
        kept(&cache, n, "c");
        assert!(cache.len() <= 65, "{}", cache.len());
    }
    assert_eq!(found(&cache, 999, 0), Some(999));
    cache.clear();
    assert_eq!(found(&cache, 999, 0), None);
}

#[test]
fn the_cache_forgets_whom_nobody_asked_for_in_two_generations() {
    const STEP: u64 = limits::GENERATION_MS / 10;
    let cache = Cache::new(100_000);
    let mut most = 0;
    for n in 0..1_000 {
        let now = n * STEP;
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_le_bytes());
        for key in [key, [1; 32]] {
            if let Found::Ask(ticket) = cache.find(&key, now) {
                cache.keep(ticket, Arc::new(Value(n, Vec::new())), u64::MAX, || true);
            }
        }
        most = most.max(cache.len());
    }
    assert_eq!(most, 21, "twenty strangers of two generations, and the one who is asked for each time");
    assert!(matches!(cache.find(&[1; 32], 1_000 * STEP), Found::Hit(v) if v.0 == 0), "who is used stays");
    // Set back: the generations go on turning by the new time.
    for n in 2_000..2_040 {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&u64::to_le_bytes(n));
        drop(cache.find(&key, (n - 2_000) * STEP));
    }
    assert!(cache.len() <= 21, "{}", cache.len());
}

#[test]
fn a_crowd_that_keeps_all_it_has_in_use_fits_the_capacity() {
    let cache: Cache<Value> = Cache::new(32);
    let mut crowd: Vec<[u8; 32]> = Vec::new();
    for n in 0..200_u8 {
        let key = [n; 32];
        if let Found::Ask(ticket) = cache.find(&key, 1) {
            cache.keep(ticket, Arc::new(Value(n.into(), Vec::new())), u64::MAX, || true);
        }
        crowd.push(key);
        // Everybody who ever came is asked for again; who is not kept any more is not asked about.
        for known in &crowd {
            if let Found::Ask(ticket) = cache.find(known, 1) {
                drop(ticket);
            }
        }
        assert!(cache.len() <= 32, "{} after {n}", cache.len());
    }
}

#[test]
fn an_answer_older_than_a_change_is_not_kept_and_waiters_ask_themselves() {
    let cache: Cache<Value> = Cache::new(64);
    let Found::Ask(ticket) = cache.find(&[7; 32], 0) else { panic!("nobody asked yet") };
    assert!(matches!(cache.find(&[7; 32], 0), Found::Wait(_)), "an equal miss waits");
    assert!(matches!(cache.find(&[8; 32], 0), Found::Ask(_)), "another does not");
    cache.keep(ticket, Arc::new(Value(7, Vec::new())), 100, || false);
    let Found::Ask(left) = cache.find(&[7; 32], 0) else { panic!("it was not kept") };
    drop(left);
    assert!(matches!(cache.find(&[7; 32], 0), Found::Ask(_)), "who asks and leaves blocks nobody");
}
