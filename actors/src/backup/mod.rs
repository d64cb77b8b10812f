//! Backups of everything that is in the databases, and their way back.
//!
//! One format for both databases: rows as typed values, a table after another, in four sections (kept conversations, the
//! ledger, events, control). A section is one zstd stream, cut into parts that are sealed one by one under a subkey of the
//! key file, so that a part that was changed, moved, left out or put last too early does not open. A backup is a folder of
//! parts in a [`crate::depot`]; its manifest, authenticated as well, is written last: what has none is no backup. Every
//! section is a consistent picture of its database, taken by a reader: writers do not wait.
//!
//! - [`make`] writes one, [`verify`] reads every byte of one, [`fill`] puts one into empty databases, [`prove`] compares
//!   those with what was read.
//! - [`keep`] says which of many stay.
//! - [`jobs`] are what operators and the clock ask for.
//!
//! Not here: the key file, which is never in a backup; when a backup is due (`tree/upkeep/database_backup`); how tables
//! are made ([`Schema`], passed in). Why no copy of the database's own files: `docs/decisions/0019-backups.md`.

mod archive;
mod export;
mod jobs;
pub mod keep;
mod place;
mod restore;
mod tables;
mod values;

use std::collections::BTreeMap;

use async_trait::async_trait;
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use steward_entities::database::Databases;

use crate::contents::store::StoreError;
use crate::depot::DepotError;
use crate::vault::VaultError;

pub use export::{Asked, Source, make};
pub use jobs::{BACKUP, DRILL, Drill, MakeBackup, Parts, drill, keep_newest};
pub use place::{open_place, seal_place};
pub(crate) use restore::with_partition;
pub use restore::{Expected, Restored, fill, newest, prove, read_manifest, verify};

/// Version of the format.
const FORMAT: u32 = 1;
/// Beginning of every backup's name.
pub const NAME_PREFIX: &str = "steward-";
const MANIFEST: &str = "manifest.json";

/// Names of the schema changes that a database has seen, in order.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Applied {
    pub control: Vec<String>,
    pub ledger: Vec<String>,
    pub events: Vec<String>,
}

/// How tables come about. Passed in: their history is not this crate's.
#[async_trait]
pub trait Schema: Send + Sync + 'static {
    /// What the databases have seen.
    async fn applied(&self, databases: &Databases) -> Result<Applied, DbErr>;

    /// Brings empty databases to just that state.
    ///
    /// # Errors
    /// When this release does not know it: a sentence.
    async fn make(&self, databases: &Databases, applied: &Applied) -> Result<(), String>;

    /// Brings them up to date.
    async fn finish(&self, databases: &Databases) -> Result<(), DbErr>;
}

/// A part as it lies in the depot.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Part {
    pub name: String,
    pub bytes: u64,
    /// SHA-256 of the sealed bytes.
    pub sha256: String,
}

/// What a table holds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct TableSum {
    pub section: String,
    pub table: String,
    pub rows: u64,
    /// Of the rows, in whatever order.
    pub digest: String,
    /// Of every whole-number column, decimal.
    pub sums: BTreeMap<String, String>,
}

/// What a backup holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Manifest {
    pub format: u32,
    /// The folder's name.
    pub name: String,
    /// Microseconds since the Unix epoch.
    pub made_at: i64,
    /// Release that made it.
    pub release: String,
    /// `sqlite` or `postgres`: where it comes from. It goes into either.
    pub database: String,
    /// Key that its parts are sealed under.
    pub key_id: String,
    pub applied: Applied,
    pub tables: Vec<TableSum>,
    /// By section, in order.
    pub parts: BTreeMap<String, Vec<Part>>,
}

impl Manifest {
    /// Of all parts.
    pub fn bytes(&self) -> u64 {
        self.parts.values().flatten().map(|part| part.bytes).sum()
    }

    /// Of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// Why a backup was not made, read or restored, in words for operators.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Depot(#[from] DepotError),
    #[error("the database: {0}")]
    Database(#[from] DbErr),
    #[error("the kept conversations: {0}")]
    Contents(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It is not what it was when it was made.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The databases do not hold what the backup does.
    #[error("the restored data differ: {0}")]
    Differs(String),
    #[error("{0}")]
    Refused(String),
    #[error("it was told to stop")]
    Cancelled,
}

fn damaged(what: impl Into<String>) -> BackupError {
    BackupError::Damaged(what.into())
}
