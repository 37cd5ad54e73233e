//! The relay as a call from Python: it takes the thread for good and uses no Python after.
use pyo3::prelude::*;

/// The relay allocates per request; a general allocator would fragment under it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs a relay with the arguments of `dragoman relay` until it is asked to stop. Gives the exit status.
#[pyfunction]
pub fn relay(py: Python<'_>, argv: Vec<String>) -> i32 {
    py.detach(move || dragoman_relay::run(&argv))
}
