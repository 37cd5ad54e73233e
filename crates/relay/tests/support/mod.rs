//! Fakes that speak real sockets: control on `plan.sock` and `pages.sock`, a provider that plays scripts, and
//! a relay in a process of its own (this test binary, started again).
#![allow(dead_code, reason = "each test binary uses a part")]
pub mod client;
pub mod control;
pub mod front;
pub mod h2;
pub mod http;
pub mod mmdb;
pub mod provider;
pub mod relay;
pub mod tls;
pub mod turns;
pub mod wait;
