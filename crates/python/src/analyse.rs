//! `analyse`: the index's terms for Python.
use dragoman_engine::index;
use pyo3::pyfunction;

/// The terms of `text` as (term, start, end); start and end are code points, as Python counts them.
#[pyfunction]
pub fn analyse(text: &str) -> Vec<(String, usize, usize)> {
    index::analyse(text).into_iter().map(|t| (t.text, t.start, t.end)).collect()
}
