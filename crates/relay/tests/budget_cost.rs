//! What a limit costs a turn in the common case: no allocation, and how many nanoseconds (printed, with --nocapture).
use dragoman_relay::budget::bucket::{Bucket, Took};
use dragoman_relay::budget::message::Allotment;
use dragoman_relay::budget::named::{Name, Names};
use dragoman_relay::budget::rate::Pace;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::Instant;

struct Counting;

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is the system allocator's own; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.with(|n| n.set(n.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const TURNS: u32 = 200_000;

fn name(key: &str) -> Name<'_> {
    Name { id: "team-daily", starts: 1_795_651_200_000, thing: [key, ""] }
}

fn bucket(key: &str) -> Bucket {
    let most = 1 << 50;
    let made = Bucket::new(&name(key), format!("team-daily:20261126:{key}"), "ten", (u64::MAX, most), true);
    let asked = made.ask(1 << 40, 1);
    let (bucket, granted) = (asked.bucket.to_owned(), asked.need);
    let said = Allotment {
        bucket,
        granted,
        before: 0,
        returned: 0,
        ms: 1 << 50,
        most,
        left: 0,
        resets: 0,
        gone: false,
    };
    made.heard(&said, 1, 1);
    made
}

/// Nanoseconds and allocations of one turn's check: find the bucket, reserve, settle.
fn checked(buckets: &Names<Bucket>, key: &str) -> (f64, u64) {
    let before = ALLOCATED.with(Cell::get);
    let began = Instant::now();
    for _ in 0..TURNS {
        let found = buckets.find(&name(black_box(key)), |_| bucket(key));
        assert_ne!(found.take(black_box(900), 2), Took::No);
        found.settle(900, 130);
    }
    let ns = began.elapsed().as_secs_f64() * 1e9 / f64::from(TURNS);
    (ns, ALLOCATED.with(Cell::get) - before)
}

#[test]
fn a_check_allocates_nothing_and_asks_nobody() {
    let buckets = Names::<Bucket>::default();
    let keys: Vec<String> =
        (0..1_000).map(|n| format!("key_local_018f3c1e-7a2b-7c3d-8e4f-{n:012}")).collect();
    for key in &keys {
        buckets.find(&name(key), |_| bucket(key));
    }
    let (alone, allocated) = checked(&buckets, &keys[7]);
    assert_eq!(allocated, 0, "a check allocates");
    let apart = std::thread::scope(|scope| {
        let threads: Vec<_> = [&keys[8], &keys[9]].map(|key| scope.spawn(|| checked(&buckets, key).0)).into();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(0.0, f64::max)
    });
    let shared = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| checked(&buckets, &keys[7]).0)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(0.0, f64::max)
    });
    let pace = Pace::new(&name("key"));
    let began = Instant::now();
    for n in 0..u64::from(TURNS) {
        assert!(pace.take(1, (1 << 30, 1 << 20), black_box(n)).is_ok());
    }
    let rate = began.elapsed().as_secs_f64() * 1e9 / f64::from(TURNS);
    println!(
        "ns a check: {alone:.0} alone, {apart:.0} two threads apart, {shared:.0} two threads on one bucket; a rate {rate:.0}"
    );
}
