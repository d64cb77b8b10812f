//! Alerts on the books: between the pure values of [`crate::domain::alert`] and their tables.
//!
//! - [`rows`]: a rule, a series, a notice, as they are kept and read back;
//! - [`settle`]: what a round came to — incident, its steps, the outbox, where the series stands — in the caller's one
//!   transaction, or not at all;
//! - [`address`]: where a channel leads to, sealed;
//! - [`by_hand`]: acknowledging, resolving, and taking a rule away.
//!
//! Whoever moves the series of a rule holds the rule's row until the end of the transaction. Nothing is measured here,
//! and nothing is sent.

pub mod address;
mod by_hand;
mod rows;
mod settle;

pub use by_hand::{acknowledge, resolve, retire};
pub use rows::{ROBOT, Said, kept_notice, notice_of, rule_of, series_of};
pub use settle::{Settled, Step, Telling, silenced, silences_at};
