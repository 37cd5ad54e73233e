//! The rig of the benchmark: what the three programs `provider`, `floor` and `load` share.
//! It measures from outside; nothing here is part of the product or linked into it.

pub mod answer;
pub mod check;
pub mod client;
pub mod net;
pub mod os;
pub mod request;
pub mod samples;
pub mod script;
pub mod spec;
pub mod tls;
