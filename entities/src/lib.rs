//! The tables, one per file, and the opening of the databases they live in.
//!
//! Reading functions take any connection; writing functions take a transaction, so that a change, its audit
//! row and the revision that tells the gateway about it are stored together or not at all. Finders demand
//! their scope: a [`scope::Scope`] where a tenant owns the row, the operator's id where an operator does.
//! No HTTP, no actor and no schema change is found here (the latter: `steward-migration`).
//!
//! Times are microseconds since the Unix epoch (UTC), money is billionths of its currency.

pub mod account;
pub mod alert;
pub mod alert_rule;
pub mod alert_series;
pub mod alert_silence;
pub mod alert_transition;
pub mod archive;
pub mod archive_late;
pub mod archive_place;
pub mod backup;
pub mod backup_plan;
pub mod change;
pub mod channel;
pub mod column;
pub mod dashboard_stats;
pub mod database;
pub mod delivery;
pub mod exchange_rate;
pub mod expiry;
pub mod feedback;
pub mod health_check;
pub mod health_day;
pub mod idempotency_key;
pub mod instance;
pub mod job;
pub mod jwt_issuer;
pub mod jwt_test;
pub mod jwt_test_result;
pub mod knowledge_import;
pub mod knowledge_import_error;
pub mod lease;
pub mod ledger;
pub mod metrics_snapshot;
pub mod notification_read;
pub mod operator;
pub mod operator_key;
pub mod ops_log;
pub mod outbox;
pub mod price;
pub mod prompt;
pub mod prompt_label;
pub mod prompt_run;
pub mod prompt_version;
pub mod public_id;
pub mod qa_candidate;
pub mod qa_pair;
pub mod qa_sync_failure;
pub mod qa_sync_request;
pub mod qa_vector;
pub mod qa_vector_removal;
pub mod read_deadline;
pub mod redaction_rule;
pub mod remote_backup;
pub mod report;
pub mod report_run;
pub mod revision;
pub mod role;
pub mod scope;
pub mod session;
pub mod setting;
pub mod system_log;
pub mod template;
pub mod template_distribution;
pub mod tenant;
pub mod token;
pub mod tombstone;

/// The audit log under the name it has in speech: `audit::insert(txn, entry)`.
pub use ops_log as audit;
