//! Supervision, seen from outside: every restart type, strategy, deadline and kind of death.
//!
//! Virtual time wherever no real thread has to block.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)] // Also in the parts that are not `#[test]` functions.

mod support;

mod chaos;
mod deaths;
mod delivery;
mod drain;
mod hang;
mod nesting;
mod pacing;
mod strategies;
mod tree;
