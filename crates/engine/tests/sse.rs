//! The SSE splitter against a reference reader, cut at every place.

use dragoman_engine::stream::sse::{Event, FrameTooLong, Splitter};
use proptest::prelude::*;

mod seeds;
use seeds::configs;

/// Frames, the number of comments, and an unfinished frame.
type Read = (Vec<Vec<u8>>, usize, Option<Vec<u8>>);

fn frames(chunks: &[&[u8]], limit: usize) -> Result<Read, FrameTooLong> {
    let mut splitter = Splitter::new(limit);
    let (mut data, mut comments) = (Vec::new(), 0);
    for chunk in chunks {
        let mut feed = splitter.feed(chunk);
        while let Some(event) = feed.next()? {
            match event {
                Event::Data(bytes) => data.push(bytes.to_vec()),
                Event::Comment => comments += 1,
            }
        }
    }
    let last = splitter.finish().map(<[u8]>::to_vec);
    Ok((data, comments, last))
}

/// Line by line, as the specification puts it.
fn reference(bytes: &[u8]) -> Vec<Vec<u8>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let unified = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = unified.split('\n').collect();
    lines.pop();
    let (mut out, mut data): (Vec<Vec<u8>>, Option<String>) = (Vec::new(), None);
    for line in lines {
        if line.is_empty() {
            out.extend(data.take().map(String::into_bytes));
        } else if line == "data" || line.starts_with("data:") {
            let value = line.strip_prefix("data:").map_or("", |v| v.strip_prefix(' ').unwrap_or(v));
            data = Some(data.map_or_else(|| value.to_owned(), |before| format!("{before}\n{value}")));
        }
    }
    out
}

const STREAM: &[u8] =
    b"\xef\xbb\xbf: hello\r\n\r\nid: 7\nevent: x\ndata: {\"a\":1}\n\ndata:two\r\rdata: li\ndata:  ne\n\n\
:ping\ndata\n\ndatax: no\n\nretry: 5\ndata: \xe4\xbd\xa0\r\n\r\ndata: [DONE]\n\n";

#[test]
fn every_cut_gives_the_same_frames() {
    let expected = reference(STREAM);
    assert_eq!(expected.len(), 6);
    for first in 0..=STREAM.len() {
        for second in first..=STREAM.len() {
            let (data, comments, last) =
                frames(&[&STREAM[..first], &STREAM[first..second], &STREAM[second..]], 64).unwrap();
            assert_eq!(data, expected, "{first} {second}");
            assert_eq!((comments, last), (2, None));
        }
    }
    let single: Vec<&[u8]> = STREAM.chunks(1).collect();
    assert_eq!(frames(&single, 64).unwrap().0, expected);
}

#[test]
fn an_unfinished_frame_is_told_apart() {
    for text in ["data: [DONE]", "data: [DONE]\n", "data: [DONE]\r"] {
        let (data, _, last) = frames(&[text.as_bytes()], 64).unwrap();
        assert!(data.is_empty());
        assert_eq!(last.as_deref(), Some(&b"[DONE]"[..]));
    }
}

#[test]
fn a_frame_beyond_the_limit_is_an_error_in_any_cut() {
    let line = format!("data: {}\n\n", "x".repeat(100));
    let lines = "data: xxxxxxxxxx\n".repeat(10);
    for text in [line.as_bytes(), lines.as_bytes(), &[b'y'; 200][..]] {
        for size in [1, 7, 64, 300] {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(frames(&chunks, 64), Err(FrameTooLong), "{size}");
        }
    }
}

#[test]
fn random_streams_and_cuts() {
    for config in configs(256) {
        proptest!(config, |(pieces in prop::collection::vec( prop::sample::select(vec!["data", ":", " ", "\n", "\r", "\r\n", "x", "data: y", "\n\n", "\u{feff}", "é"]), 0..30, ), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6))| {
            let text = pieces.concat().into_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|c| c.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            prop_assert_eq!(frames(&chunks, 1 << 20).unwrap().0, reference(&text));
        });
    }
}
