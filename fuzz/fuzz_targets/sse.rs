//! The frames of a stream do not depend on how it was cut.
#![no_main]

use dragoman_engine::stream::sse::{Event, Splitter};
use libfuzzer_sys::fuzz_target;

fn frames<'c>(chunks: impl Iterator<Item = &'c [u8]>) -> Option<Vec<Vec<u8>>> {
    let mut splitter = Splitter::new(256);
    let mut out = Vec::new();
    for chunk in chunks {
        let mut feed = splitter.feed(chunk);
        while let Some(event) = feed.next().ok()? {
            if let Event::Data(data) = event {
                out.push(data.to_vec());
            }
        }
    }
    out.extend(splitter.finish().map(<[u8]>::to_vec));
    Some(out)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let cut = frames(bytes.chunks(usize::from(size).max(1)));
    let whole = frames(std::iter::once(bytes));
    // A limit may be met at another place, so only streams within it are compared.
    if let (Some(cut), Some(whole)) = (cut, whole) {
        assert_eq!(cut, whole);
    }
});
