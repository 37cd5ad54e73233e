//! Dragoman's relay: carries turns, records them, decides nothing. The order of a turn is in `carry`.
//! See ARCHITECTURE.md.
pub mod accept;
pub mod address;
mod admin;
mod body;
pub mod cache;
mod carry;
pub mod changes;
mod clock;
pub mod config;
mod contact;
mod control;
mod edge;
pub mod errors;
mod feed;
pub mod frame;
mod identify;
pub mod journal;
pub mod limits;
mod lines;
mod log;
mod mailbox;
mod metrics;
mod plan;
mod provider;
mod proxy;
mod proxy_protocol;
pub mod record;
mod recover;
mod rules;
mod start;
mod state;
mod tls;
mod upload;
pub mod wire;
mod worker;

pub use start::{HELP, run};
