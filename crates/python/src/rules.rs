//! `check_rules`: whether a rule set compiles, by the code that scans with it.
use dragoman_engine::rules::{Limits, RuleSet, RuleSetSource};
use pyo3::exceptions::PyValueError;
use pyo3::{PyResult, Python, pyfunction};

/// Compile a rule-set document (JSON bytes) and forget it. Raises `ValueError` naming the rule.
#[pyfunction]
pub fn check_rules(py: Python<'_>, document: &[u8]) -> PyResult<()> {
    py.detach(|| {
        let source: RuleSetSource = serde_json::from_slice(document).map_err(|e| e.to_string())?;
        RuleSet::compile(&source, Limits::default()).map(|_| ()).map_err(|e| e.to_string())
    })
    .map_err(PyValueError::new_err)
}
