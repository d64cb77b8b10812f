//! The tables, one per file, and the opening of the databases they live in.
//!
//! Reading functions take any connection; writing functions take a transaction, so that a change, its audit
//! row and the revision that tells the gateway about it are stored together or not at all. Finders demand
//! their scope. No HTTP, no actor and no schema change is found here (the latter: `steward-migration`).

pub mod database;
pub mod ledger;
pub mod public_id;
