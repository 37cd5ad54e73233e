//! See ARCHITECTURE.md.
pub mod journal;
