//! The living part of Steward.
//!
//! - [`alert_book`]: alerts between the pure values and their tables.
//! - [`backup`]: backups of the databases, and their way back.
//! - [`archive`]: months as files that stay.
//! - [`courier`]: what carries notices out of the house; the front is one.
//! - [`supervision`]: what keeps actors alive; no product noun in it.
//! - [`contents`]: conversations that are kept, from the gateway to the disk and back.
//! - [`depot`]: where files are put away: a folder or a bucket.
//! - [`domain`]: the product's nouns as plain values.
//! - [`fault_point`]: where a test kills the process; nothing in a release.
//! - [`health`]: how every component is, for whoever asks.
//! - [`retention`]: how long what is kept stays, and forgetting it.
//! - [`snapshot_source`]: from the control tables to what the gateway decides by.
//! - [`jobs`]: what a kind of long work looks like.
//! - [`knowledge`]: pairs found by what they mean.
//! - [`live`]: what happens, told to whoever listens.
//! - [`log_feed`]: the process's own log, for those who read it in the console.
//! - [`outward`]: what makes other calls out of the house; the front is one.
//! - [`remote`]: where the day's dashboard numbers are pushed.
//! - [`reports`]: reports between the pure values and their tables: what is due, what it came to.
//! - [`spool`]: the journal on disk that makes the promise.
//! - [`tree`]: the actors themselves; its folders draw the supervision tree.
//! - [`vault`]: seals what must not lie in a database in the clear.

pub mod alert_book;
pub mod archive;
pub mod backup;
pub mod contents;
pub mod courier;
pub mod depot;
pub mod domain;
pub mod fault_point;
pub mod health;
pub mod jobs;
pub mod knowledge;
pub mod ledger_store;
pub mod live;
pub mod log_feed;
pub mod outward;
pub mod remote;
pub mod reports;
pub mod retention;
pub mod snapshot_source;
pub mod spool;
pub mod supervision;
pub mod tree;
pub mod vault;
