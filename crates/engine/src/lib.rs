//! Dragoman's pure core: what may pass, and what is provable. No I/O, no clock.
#![forbid(unsafe_code)]
pub mod index;
//! See ARCHITECTURE.md.

pub mod limits;
pub mod stream;
