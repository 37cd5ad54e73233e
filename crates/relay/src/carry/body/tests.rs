//! A panic ends one turn and leaks nothing; a reader that does not read stops the turn.
use super::{Out, TurnBody};
use crate::limits;
use crate::metrics::Metrics;
use crate::wire::Lang;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

fn poll(body: &mut TurnBody) -> Poll<Option<String>> {
    let polled = body.poll(&mut Context::from_waker(Waker::noop()));
    polled.map(|frame| frame.map(|bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8")))
}

#[test]
fn a_panic_says_an_error_and_drops_what_was_not_sent() {
    let (out, metrics) = (Rc::new(Out::default()), Arc::new(Metrics::default()));
    let writes = Rc::clone(&out);
    let future = async move {
        writes.with(|out| out.extend_from_slice(b"released before"));
        tokio::task::yield_now().await;
        writes.with(|out| out.extend_from_slice(b"not yet scanned"));
        panic!("a bug");
    };
    let mut body = TurnBody::new(future, out, Arc::clone(&metrics), Lang::En);
    assert_eq!(poll(&mut body), Poll::Ready(Some("released before".to_owned())));
    let Poll::Ready(Some(last)) = poll(&mut body) else { panic!("an error event") };
    assert!(last.starts_with("data: {\"error\"") && last.contains("internal_error"), "{last}");
    assert!(!last.contains("not yet"), "{last}");
    assert_eq!(poll(&mut body), Poll::Ready(None));
    assert!(body.ended());
    assert_eq!(metrics.panics.load(Ordering::Relaxed), 1);
}

#[test]
fn what_one_poll_releases_is_one_frame_and_a_full_buffer_stops_the_turn() {
    let (out, read) = (Rc::new(Out::default()), Rc::new(Cell::new(0)));
    let (writes, reads) = (Rc::clone(&out), Rc::clone(&read));
    let future = async move {
        for _ in 0..100 {
            writes.room().await;
            reads.set(reads.get() + 1);
            writes.with(|out| out.resize(out.len() + limits::OUT_BYTES / 4, b'x'));
        }
    };
    let mut body = TurnBody::new(future, out, Arc::default(), Lang::En);
    let Poll::Ready(Some(first)) = poll(&mut body) else { panic!("a frame") };
    assert_eq!((first.len(), read.get()), (limits::OUT_BYTES, 4), "it reads no further while nobody takes");
    let mut length = first.len();
    while let Poll::Ready(Some(frame)) = poll(&mut body) {
        length += frame.len();
    }
    assert_eq!((length, read.get()), (100 * limits::OUT_BYTES / 4, 100));
}
