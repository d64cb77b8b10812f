//! The ledger under test, from one transaction to the whole pipeline under faults; one binary.
//!
//! Tests with `postgres` in their name need `STEWARD_TEST_POSTGRES_URL`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests"
)]

mod aggregator;
mod chaos;
mod contents;
mod faulty;
mod life;
mod log_counts;
mod moved;
mod outage;
mod packing;
mod pipeline;
mod prices;
mod records;
mod rollups;
mod seen;
mod silence;
mod store;
mod tree_shape;
