//! Supervision, seen from outside: every restart type, strategy, deadline and kind of death.
//!
//! Virtual time wherever no real thread has to block.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests, also in the parts that are no test functions; what they spawn stands outside the tree it looks at"
)]

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
