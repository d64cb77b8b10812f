//! The watch: alert rules in virtual time over a real database, and the promises about telling people.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod costs;
mod history;
mod notices;
mod reports;
mod rounds;
mod world;
