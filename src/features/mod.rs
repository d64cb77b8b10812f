//! One file per resource of the control face: its routes, its handlers, its queries.
//!
//! Features never import each other; what several need is in `http`.

#![allow(
    unused_qualifications,
    reason = "the macros that document handlers qualify the types they name"
)]

pub mod accounts;
pub mod alerts;
pub mod archives;
pub mod audit;
pub mod auth;
pub mod backups;
pub mod channels;
pub mod conversations;
pub mod downloads;
pub mod feedback;
pub mod health;
pub mod ingest;
pub mod instance;
pub mod jobs;
pub mod jwt_issuers;
pub mod jwt_tests;
pub mod knowledge;
pub mod logs;
pub mod operator_keys;
pub mod operators;
pub mod prices;
pub mod prompts;
pub mod redaction_rules;
pub mod reports;
pub mod retention;
pub mod roles;
pub mod settings;
pub mod stats;
pub mod supervision;
pub mod system;
pub mod system_logs;
pub mod templates;
pub mod tenants;
pub mod tokens;
