//! The journal, and reading, verifying and proving logs, for Python. Reports cross as JSON.
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands converted arguments over by value")]
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dragoman_engine::ledger::merkle::{Hash, verify_consistency};
use dragoman_engine::ledger::note::Verifier;
use dragoman_engine::ledger::project::{Batch, project as project_batch};
use dragoman_engine::ledger::proof::Proof;
use dragoman_engine::ledger::{ENTRY_BYTES_MAX, check};
use dragoman_relay::journal::disk::RealDisk;
use dragoman_relay::journal::prove::LogReader as RustReader;
use dragoman_relay::journal::verify::{LogReport, verify_zone as verify};
use dragoman_relay::journal::{Journal as RustJournal, JournalConfig, JournalError as RustError};
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::types::{PyBytes, PyDict, PyDictMethods as _};
use pyo3::{Bound, PyErr, PyResult, Python, create_exception, pyclass, pyfunction, pymethods};
use serde_json::{Value, json};

create_exception!(dragoman._native, JournalError, PyException, "args: (kind, sentence)");

/// Bytes read at once for a person.
const READ_BYTES: usize = 4 << 20;

fn journal_error(e: &RustError) -> PyErr {
    let kind = match e {
        RustError::Unavailable(_) => "unavailable",
        RustError::Slow => "slow",
        RustError::Entry(_) => "entry",
        RustError::Closed => "closed",
        RustError::Locked(_) => "locked",
        RustError::Config(_) => "config",
        RustError::Corrupt(_) => "corrupt",
        RustError::Io(_) => "io",
    };
    JournalError::new_err((kind, e.to_string()))
}

/// One writer's log in a folder of its own. Methods block without the interpreter lock.
#[pyclass(frozen, module = "dragoman._native")]
pub struct Journal {
    journal: RustJournal,
    #[pyo3(get)]
    log_id: String,
}

#[pymethods]
impl Journal {
    #[new]
    #[pyo3(signature = (folder, zone, *, segment_bytes = None, keep_open = false))]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        zone: String,
        segment_bytes: Option<u64>,
        keep_open: bool,
    ) -> PyResult<Self> {
        let mut config = JournalConfig::new(folder, zone);
        config.keep_open = keep_open;
        config.segment_bytes = segment_bytes.unwrap_or(config.segment_bytes);
        let opened = py.detach(|| RustJournal::open(&config)).map_err(|e| journal_error(&e))?;
        Ok(Self { journal: opened.journal, log_id: opened.log_id })
    }

    /// The index of a canonical entry, once it is durable.
    fn append(&self, py: Python<'_>, entry: Vec<u8>) -> PyResult<u64> {
        self.append_many(py, vec![entry])
    }

    /// The first index of entries that became durable together.
    fn append_many(&self, py: Python<'_>, entries: Vec<Vec<u8>>) -> PyResult<u64> {
        py.detach(|| {
            for entry in &entries {
                check(entry).map_err(|e| RustError::Entry(e.to_string()))?;
            }
            self.journal.append_many(entries).wait()
        })
        .map_err(|e| journal_error(&e))
    }

    /// Durable entries from an index on, as (index, bytes).
    #[pyo3(signature = (start, max_entries = 1000, max_bytes = 1 << 20))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        start: u64,
        max_entries: usize,
        max_bytes: usize,
    ) -> PyResult<Vec<(u64, Bound<'py, PyBytes>)>> {
        let read =
            py.detach(|| self.journal.read(start, max_entries, max_bytes)).map_err(|e| journal_error(&e))?;
        Ok(read.iter().map(|(index, entry)| (*index, PyBytes::new(py, entry))).collect())
    }

    /// How many entries are durable.
    fn durable(&self) -> u64 {
        self.journal.durable()
    }

    /// Writes what is queued and signs the last checkpoint; idempotent.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.journal.clone().close());
    }
}

/// Sums of a batch of entries, one a line; see the stub for the shape.
#[pyfunction]
#[pyo3(signature = (batch, first = 0))]
pub fn project<'py>(py: Python<'py>, batch: &[u8], first: u64) -> PyResult<Bound<'py, PyDict>> {
    let Batch { entries, kinds, usage, spends, simulated, interventions, interrupted, opened } = py
        .detach(|| project_batch(batch, first))
        .map_err(|e| PyValueError::new_err(format!("line {}: {}", e.line, e.why)))?;
    let rows: Vec<_> = usage
        .into_iter()
        .map(|(k, u)| {
            let who = (k.tenant, k.key, k.app, k.asked, k.provider, k.model, k.day, k.status, k.currency);
            (who, (u.turns, u.input, u.cached, u.output, u.unknown, u.spend, u.unpriced))
        })
        .collect();
    let spends: Vec<_> =
        spends.into_iter().map(|s| (s.tenant, s.bucket, s.index, s.amount, s.over)).collect();
    let opened: Vec<_> = opened.into_iter().map(|o| (o.log, o.key, o.origin, o.at)).collect();
    let sums = PyDict::new(py);
    sums.set_item("entries", entries)?;
    sums.set_item("kinds", kinds)?;
    sums.set_item("usage", rows)?;
    sums.set_item("spends", spends)?;
    sums.set_item("simulated", simulated)?;
    sums.set_item("interventions", interventions)?;
    sums.set_item("interrupted", interrupted)?;
    sums.set_item("opened", opened)?;
    Ok(sums)
}

fn hex(hash: &Hash) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn report(log: &LogReport) -> Value {
    json!({
        "dir": log.dir, "log": log.log, "key": log.key, "origin": log.origin,
        "proven": log.proven, "unproven": log.unproven, "root": log.root.as_ref().map(hex),
        "witnesses": log.witnesses, "torn": log.torn, "open": log.open, "kinds": log.kinds,
        "findings": log.findings, "wrong": log.wrong,
    })
}

/// Checks a registry's journal folder and others against it: a JSON report.
#[pyfunction]
pub fn ledger_verify(py: Python<'_>, registry: PathBuf, journals: Vec<PathBuf>) -> PyResult<String> {
    let zone = py.detach(|| verify(&RealDisk, &registry, &journals)).map_err(|e| os_error(&e))?;
    let logs: Vec<Value> = zone.logs.iter().map(report).collect();
    let sound = zone.is_sound();
    let whole =
        json!({"sound": sound, "logs": logs, "findings": zone.findings, "unadmitted": zone.unadmitted});
    Ok(whole.to_string())
}

fn os_error(e: &std::io::Error) -> PyErr {
    PyOSError::new_err(e.to_string())
}

/// One shard's folder, read beside its writer. It knows where it read last: one that is kept reads on without a search.
#[pyclass(frozen, module = "dragoman._native")]
pub struct LogReader(RustReader);

#[pymethods]
impl LogReader {
    #[new]
    fn new(py: Python<'_>, folder: PathBuf) -> PyResult<Self> {
        py.detach(|| open_log(&folder)).map(Self).map_err(|e| os_error(&e))
    }

    /// Whole entries from an index on, as (index, bytes); empty at the end.
    fn read<'py>(
        &self,
        py: Python<'py>,
        start: u64,
        max_entries: usize,
    ) -> PyResult<Vec<(u64, Bound<'py, PyBytes>)>> {
        let read = py.detach(|| self.0.read(start, max_entries, READ_BYTES)).map_err(|e| os_error(&e))?;
        Ok(read.iter().map(|(index, entry)| (*index, PyBytes::new(py, entry))).collect())
    }
}

fn open_log(folder: &Path) -> std::io::Result<RustReader> {
    RustReader::open(Arc::new(RealDisk), folder)
}

/// A shard's name, key, origin and verified checkpoint, as JSON.
#[pyfunction]
pub fn ledger_head(py: Python<'_>, folder: PathBuf) -> PyResult<String> {
    let head = py.detach(|| -> std::io::Result<Value> {
        let reader = open_log(&folder)?;
        let checkpoint = reader.checkpoint().ok().map(|(c, _)| json!({"size": c.size, "root": hex(&c.root)}));
        Ok(json!({"log": reader.log(), "key": reader.key(), "checkpoint": checkpoint}))
    });
    Ok(head.map_err(|e| os_error(&e))?.to_string())
}

/// A C2SP tlog-proof of one entry, as text.
#[pyfunction]
pub fn ledger_prove(py: Python<'_>, folder: PathBuf, index: u64) -> PyResult<String> {
    let proof = py.detach(|| open_log(&folder)?.prove(index)).map_err(|e| os_error(&e))?;
    Ok(proof.text())
}

/// (index, entry, tree size, root) of a proof that holds under the verifier key. Raises `ValueError` otherwise.
#[pyfunction]
pub fn ledger_check_proof<'py>(
    py: Python<'py>,
    proof: &str,
    key: &str,
) -> PyResult<(u64, Bound<'py, PyBytes>, u64, String)> {
    let wrong = |e: &dyn std::fmt::Display| PyValueError::new_err(e.to_string());
    let verifier = Verifier::parse(key).map_err(|e| wrong(&e))?;
    let proof = Proof::parse(proof).map_err(|e| wrong(&e))?;
    if proof.entry.len() > ENTRY_BYTES_MAX {
        return Err(wrong(&"the entry is too long"));
    }
    let head = proof.verify(&verifier).map_err(|e| wrong(&e))?;
    let head = head.ok_or_else(|| wrong(&"the entry is not in the signed tree at this index"))?;
    Ok((proof.index, PyBytes::new(py, &proof.entry), head.size, hex(&head.root)))
}

/// The hashes of an RFC 6962 consistency proof between two sizes of a shard's tree.
#[pyfunction]
pub fn ledger_prove_consistency(
    py: Python<'_>,
    folder: PathBuf,
    old: u64,
    new: u64,
) -> PyResult<Vec<Bound<'_, PyBytes>>> {
    let hashes = py.detach(|| open_log(&folder)?.prove_consistency(old, new)).map_err(|e| os_error(&e))?;
    Ok(hashes.iter().map(|hash| PyBytes::new(py, hash)).collect())
}

/// Whether the hashes show that the tree (`new`, `new_root`) extends (`old`, `old_root`).
#[pyfunction]
pub fn ledger_check_consistency(
    old: u64,
    old_root: Hash,
    new: u64,
    new_root: Hash,
    hashes: Vec<Hash>,
) -> bool {
    verify_consistency(old, &old_root, new, &new_root, &hashes)
}
