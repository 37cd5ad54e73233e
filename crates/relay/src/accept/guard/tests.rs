use super::{Stall, Vitals};
use crate::limits::WRITE_STALL_MS;
use std::rc::Rc;
use std::task::{Context, Waker};

#[test]
fn a_stream_whose_reader_takes_nothing_is_cut_and_no_other() {
    let vitals = Vitals::new(1, true);
    let (stuck, waiting, reading): (Rc<Stall>, Rc<Stall>, Rc<Stall>) = Default::default();
    for stall in [&stuck, &waiting, &reading] {
        vitals.watch(stall);
        stall.handed(1);
    }
    // Its source has nothing to give: that is nobody's fault.
    waiting.drained();
    let cx = Context::from_waker(Waker::noop());
    vitals.tick(WRITE_STALL_MS);
    assert!(!stuck.is_cut(&cx), "not a moment too early");
    reading.handed(WRITE_STALL_MS);
    vitals.tick(WRITE_STALL_MS + 2);
    assert_eq!([&stuck, &waiting, &reading].map(|stall| stall.is_cut(&cx)), [true, false, false]);
}
