//! Tables of the ledger: what was called, by whom, and what it cost.
//!
//! Read-only here: rows come from the writer alone (`steward-actors`, `ledger_store`). Keys are plain `i64`;
//! what a rid means (time, node, public id) is the caller's knowledge. Lists never use OFFSET for paging nor
//! count without a cap, and a filter no index serves looks at a bounded number of rows per call.

pub mod backfill;
pub mod conversation_count;
pub mod daily;
pub mod dead_letter;
pub mod histogram;
pub mod log_count;
pub mod measures;
pub mod name;
pub mod recent;
pub mod request_attempt;
pub mod request_filter;
pub mod request_log;
pub mod request_page;
pub mod rollup;
pub mod spent;
mod sql;
pub mod total;
pub mod unpriced;
pub mod whole;
