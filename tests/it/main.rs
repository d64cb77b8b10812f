//! The `steward` binary as a child process, seen as its users see it: through HTTP, and through its database.
//!
//! Folders by face: `gateway/` (`/v1/*`), `api/` (`/api/v1/*`), `push/` (WebSockets), `tree/` (supervision, start and stop), `chaos/` (kill -9
//! and lost databases), and `commands`, `demo`. Nothing here links the product's insides. `STEWARD_IT_DATABASE=postgres` runs it all on the
//! PostgreSQL server named by `STEWARD_TEST_POSTGRES_URL`; otherwise it is SQLite.

// A helper of a test may panic: that is how a test fails. What it prints is for whoever reads the failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::large_futures,
    clippy::disallowed_methods,
    reason = "tests, which play callers and receivers beside the process; they end with the test's runtime"
)]
#![allow(unreachable_pub)] // modules shared with examples/ are public within it

#[path = "../fake_provider/mod.rs"]
mod fake_provider;
#[path = "../fake_stores/mod.rs"]
mod fake_stores;

mod api;
mod chaos;
mod commands;
mod demo;
mod gateway;
mod provider;
mod push;
mod support;
mod tree;
