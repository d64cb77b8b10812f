//! Why the process does not start, or ended badly: every sentence says what to do about it.

use std::net::SocketAddr;
use std::path::PathBuf;

use sea_orm::DbErr;
use steward_actors::backup::BackupError;
use steward_actors::ledger_store::WriteError;
use steward_actors::spool;
use steward_actors::supervision::GroupExit;
use steward_actors::tree;
use steward_actors::vault::VaultError;

use super::restore::RestoreError;
use crate::config::ConfigError;
use crate::demo::DemoError;
use crate::demo::guard::GuardError;
use crate::error::ApiError;
use crate::telemetry::TelemetryError;

/// Why the process does not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("the data directory {path} cannot be used: {cause}")]
    DataDirectory {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error(
        "the data directory {0} is in use by another Steward; stop that one, or choose another `data.dir`"
    )]
    Locked(PathBuf),
    #[error("the database cannot be used: {0}")]
    Database(#[from] DbErr),
    #[error("the database server takes connections and does not answer; see its own log")]
    DatabaseSilent,
    #[error(
        "another Steward is node {node} on this database (its session there: {session}); give every Steward a `node.id` \
         of its own, or, if that one is gone for good, end the session with `SELECT pg_terminate_backend({session})`"
    )]
    NodeTaken { node: u8, session: String },
    #[error("the ledger cannot be used: {0}")]
    Ledger(#[from] WriteError),
    #[error("the key file cannot be used: {0}")]
    Vault(#[from] VaultError),
    #[error(
        "the schema changes with this release, and the backup before it could not be made: {0}; nothing was changed. Mend \
         that, or make a backup of your own and set `database.backup_before_migrating = false`"
    )]
    BeforeUpgrade(BackupError),
    #[error("the sealed secrets cannot be sealed anew: {0}")]
    Reseal(String),
    #[error("the spool cannot be opened: {0}")]
    Spool(#[from] spool::OpenError),
    #[error("what the spool holds cannot be read: {0}")]
    Replay(#[from] spool::ReadError),
    #[error(transparent)]
    Tree(#[from] tree::StartError),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        address: SocketAddr,
        cause: std::io::Error,
    },
    #[error("the HTTP server failed: {0}")]
    Server(std::io::Error),
    #[error("{0}")]
    Refused(ApiError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error("standard input cannot be read: {0}")]
    Input(std::io::Error),
    #[error("no password was given on standard input")]
    EmptyPassword,
    #[error("the supervision tree gave up: {0}")]
    TreeGaveUp(String),
    #[error(transparent)]
    Guard(#[from] GuardError),
    #[error(transparent)]
    Demo(#[from] DemoError),
}

impl From<ApiError> for StartError {
    fn from(cause: ApiError) -> Self {
        Self::Refused(cause)
    }
}

pub(super) fn gave_up(exit: &GroupExit) -> StartError {
    StartError::TreeGaveUp(match exit {
        GroupExit::Escalated(chain) => chain.to_string(),
        GroupExit::Shutdown { .. } => "it was ended from inside".into(),
    })
}
