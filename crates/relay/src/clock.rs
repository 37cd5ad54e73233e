//! The clocks and the randomness of the relay: wall time for entries, boot time for leases (it
//! counts suspension), ids and salts from the system's generator.
use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Builder;

/// Milliseconds UTC.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Milliseconds since boot, suspension included.
pub fn boot_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid, writable timespec, and the clock id is a constant of this system.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    // A lease without a clock never counts as fresh.
    if failed == 0 { now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000 } else { u64::MAX }
}

/// Bytes of randomness fetched from the system in one call.
const POOL_BYTES: usize = 4096;

/// Randomness for ids and salts, fetched in blocks: one system call for about a hundred turns.
/// What was handed out is wiped from the block.
struct Entropy {
    pool: Box<[u8; POOL_BYTES]>,
    used: usize,
}

impl Default for Entropy {
    fn default() -> Self {
        Self { pool: Box::new([0; POOL_BYTES]), used: POOL_BYTES }
    }
}

impl Entropy {
    /// `N` fresh bytes.
    ///
    /// # Panics
    /// When the system has no randomness: a salt that can be guessed is worse than no answer.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > POOL_BYTES {
            fill(&mut self.pool[..]);
            self.used = 0;
        }
        let from = &mut self.pool[self.used..self.used + N];
        let mut taken = [0; N];
        taken.copy_from_slice(from);
        from.fill(0);
        self.used += N;
        taken
    }
}

thread_local! {
    static ENTROPY: RefCell<Entropy> = RefCell::default();
}

/// `N` fresh bytes from the thread's block.
pub fn random<const N: usize>() -> [u8; N] {
    ENTROPY.with_borrow_mut(Entropy::take)
}

/// `<kind>_<zone>_<uuidv7>`.
pub fn new_id(kind: &str, zone: &str) -> String {
    let uuid = Builder::from_unix_timestamp_millis(wall_ms(), &random::<10>()).into_uuid();
    let mut text = String::with_capacity(kind.len() + zone.len() + 38);
    text.push_str(kind);
    text.push('_');
    text.push_str(zone);
    text.push('_');
    text.push_str(uuid.hyphenated().encode_lower(&mut [0; 36]));
    text
}

fn fill(bytes: &mut [u8]) {
    let mut done = 0;
    while done < bytes.len() {
        let rest = &mut bytes[done..];
        // SAFETY: pointer and length describe `rest`, which is writable.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        assert!(got > 0, "the system gives no randomness");
        done += got as usize;
    }
}
