//! `RuleSet`, `Lane` and `normalise`: the streaming policy for Python.
use std::sync::Arc;

use dragoman_engine::rules::{Direction, Granularity, Limits, Locale, RuleSet as Rules, RuleSetSource};
use dragoman_engine::stream::hold::{Action, Finding, Lane as Scanner, Stop};
use dragoman_engine::text;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// (rule id, action, offset, start, end).
type Found = (String, &'static str, u64, u64, u64);

/// A compiled rule set.
#[pyclass(frozen)]
pub struct RuleSet {
    rules: Arc<Rules>,
}

/// One text that is scanned as it comes.
#[pyclass]
pub struct Lane {
    rules: Arc<Rules>,
    lane: Scanner,
}

#[pymethods]
impl RuleSet {
    #[new]
    fn new(py: Python<'_>, document: &[u8]) -> PyResult<Self> {
        py.detach(|| {
            let source: RuleSetSource = serde_json::from_slice(document).map_err(|e| e.to_string())?;
            Rules::compile(&source, Limits::default()).map_err(|e| e.to_string())
        })
        .map(|rules| Self { rules: Arc::new(rules) })
        .map_err(PyValueError::new_err)
    }

    fn stream(&self, direction: &str, locale: &str) -> PyResult<Lane> {
        let locale = match locale {
            "en" => Locale::En,
            "zh" => Locale::Zh,
            _ => return Err(PyValueError::new_err("locale must be \"en\" or \"zh\"")),
        };
        let lane = Scanner::new(Arc::clone(&self.rules), direction_of(direction)?, locale);
        Ok(Lane { rules: Arc::clone(&self.rules), lane })
    }

    fn is_active(&self, direction: &str) -> PyResult<bool> {
        Ok(self.rules.is_active(direction_of(direction)?))
    }
}

#[pymethods]
impl Lane {
    fn push(&mut self, text: &str) -> (String, Vec<Found>) {
        let (mut out, mut findings) = (String::new(), Vec::new());
        self.lane.push(text, &mut out, &mut findings);
        (out, self.named(&findings))
    }

    fn finish(&mut self) -> (String, Vec<Found>) {
        let (mut out, mut findings) = (String::new(), Vec::new());
        self.lane.finish(&mut out, &mut findings);
        (out, self.named(&findings))
    }

    fn discard(&mut self) {
        self.lane.discard();
    }

    #[getter]
    fn held(&self) -> usize {
        self.lane.held()
    }

    #[getter]
    fn stopped(&self) -> Option<(&'static str, Option<String>, Option<&'static str>)> {
        self.lane.stopped().map(|stop| match stop {
            Stop::Overflow => ("overflow", None, None),
            Stop::Refused { rule, granularity } => {
                let granularity = match granularity {
                    Granularity::Span => "span",
                    Granularity::Answer => "answer",
                };
                ("refused", Some(self.rules.rule(rule).id.clone()), Some(granularity))
            }
        })
    }
}

impl Lane {
    fn named(&self, findings: &[Finding]) -> Vec<Found> {
        let name = |f: &Finding| {
            let action = match f.action {
                Action::Redact => "redact",
                Action::Refuse => "refuse",
                Action::Flag => "flag",
                Action::Allow => "allow",
            };
            (self.rules.rule(f.rule).id.clone(), action, f.offset, f.start, f.end)
        };
        findings.iter().map(name).collect()
    }
}

fn direction_of(direction: &str) -> PyResult<Direction> {
    match direction {
        "in" => Ok(Direction::In),
        "out" => Ok(Direction::Out),
        _ => Err(PyValueError::new_err("direction must be \"in\" or \"out\"")),
    }
}

/// The text as rules of view A see it.
#[pyfunction]
pub fn normalise(text: &str) -> String {
    text::normalise(text)
}
