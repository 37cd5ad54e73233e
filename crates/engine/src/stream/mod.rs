//! A stream's building blocks: frames, JSON spans, and the exact release rule of one lane.

pub mod hold;
pub mod json;
pub mod sse;
