//! The three things the rig asks of the operating system that std does not offer.

use std::mem::MaybeUninit;

/// Descriptors wanted by the largest run (10,000 streams, two sockets each, and room).
const WANTED_FILES: libc::rlim_t = 65_536;

/// Raises the limit of open files as far as this user may; says what it became.
pub fn raise_file_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: WANTED_FILES, rlim_max: WANTED_FILES };
    // SAFETY: both calls get a valid pointer to an initialised rlimit that outlives them.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0 {
            return WANTED_FILES;
        }
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max.min(WANTED_FILES);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
    limit.rlim_cur
}

/// Makes this thread's sleeps end within a microsecond or so instead of the kernel's default 50.
pub fn exact_sleeps() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and touches no memory of ours.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0, 0, 0);
    }
}

/// CPU this process has used, user and system, in milliseconds.
pub fn own_cpu_ms() -> f64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills the struct we own; zeroed bytes are a valid rusage should it fail.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let ms = |t: libc::timeval| t.tv_sec as f64 * 1e3 + t.tv_usec as f64 / 1e3;
    ms(usage.ru_utime) + ms(usage.ru_stime)
}
