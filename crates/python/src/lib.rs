//! `dragoman._native`: conversions between Python and the two pure crates. It decides nothing itself.
use pyo3::prelude::*;

mod address;
mod analyse;
mod ledger;
mod policy;
mod relay;
mod rules;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::address::look_up_addresses;
    #[pymodule_export]
    use super::analyse::analyse;
    #[pymodule_export]
    use super::ledger::{
        Journal, JournalError, LogReader, ledger_check_consistency, ledger_check_proof, ledger_head,
        ledger_prove, ledger_prove_consistency, ledger_verify, project,
    };
    #[pymodule_export]
    use super::policy::{Lane, RuleSet, normalise};
    #[pymodule_export]
    use super::relay::relay;
    #[pymodule_export]
    use super::rules::check_rules;
    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        m.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
