//! `look_up_addresses`: what MMDB files say of addresses, by the relay's own reading.
use pyo3::prelude::*;
use std::path::PathBuf;

/// A JSON document: files with their age, addresses with country, kind and records.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // what Python gives is ours
pub fn look_up_addresses(py: Python<'_>, files: Vec<PathBuf>, addresses: Vec<String>) -> String {
    py.detach(|| dragoman_relay::address::files::report(&files, &addresses))
}
