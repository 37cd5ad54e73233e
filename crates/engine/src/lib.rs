//! Dragoman's pure core: what may pass, and what is provable. No I/O, no clock.
//! See ARCHITECTURE.md.
#![forbid(unsafe_code)]

pub mod answer;
pub mod index;
pub mod ledger;
pub mod limits;
pub mod request;
pub mod rules;
pub mod stream;
pub mod text;
