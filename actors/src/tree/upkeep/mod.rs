//! Work that keeps the house in order and may wait.

pub mod job_runner;
pub mod retention;
