//! Months of calls and of conversations as files that stay: written once a month is over, verified, and brought back when
//! somebody wants to look.
//!
//! A month is a directory, `<kind>/<YYYY-MM>`: Parquet files and a manifest with their hashes and numbers of rows. It is
//! written aside and goes to its place — a directory, or the folder or bucket that operators set — when it is whole, the
//! manifest last; then a row of `archives` says so, and retention may let the month go. What comes for it later stays until it is
//! in a further part. Bringing back puts in what is
//! missing, so it can be done any number of times; rollups never lost what it told and are left alone. Months that lie
//! there and that nobody here knows can be taken up. What is *not* here: encryption (docs/decisions/0020).

mod calls;
mod find;
mod growing;
mod import;
mod late;
mod manifest;
mod part;
mod place;
mod said;
mod sheet;
mod write;

pub(crate) use late::Marks;

pub use find::{FIND, FindMonths, Found, find};
pub use import::{Asked, IMPORT, ImportMonth, bring_back};
pub use place::{are_there, open_place, seal_place};
pub use write::{WRITE, WriteMonths, waiting, write_all};

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sea_orm::DbErr;
use steward_entities::database::Databases;

use crate::contents::store::{ContentStore, StoreError};
use crate::depot::DepotError;
use crate::domain::clock::SharedClock;
use crate::domain::setting::InForce;
use crate::outward::Outward;
use crate::retention::Kind;
use crate::vault::{Vault, VaultError};

/// Months of these are archived.
pub const KINDS: [Kind; 2] = [Kind::RequestLogs, Kind::Contents];

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub contents: Arc<ContentStore>,
    /// What says when a month is archived.
    pub settings: InForce,
    /// Where the files are as long as nobody says otherwise, and where months are written before they go elsewhere.
    pub dir: PathBuf,
    /// Opens the place that operators set.
    pub vault: Arc<Vault>,
    /// Reaches it, when it is a bucket.
    pub outward: Arc<dyn Outward>,
    /// Months are being written.
    pub busy: Arc<AtomicBool>,
    /// Of several nodes on one database one writes at a time.
    pub node: u8,
    pub clock: SharedClock,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("archive::Parts")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// Why a month could not be written or brought back.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Database(#[from] DbErr),
    #[error(transparent)]
    Contents(#[from] StoreError),
    #[error("the archive's directory cannot be used: {0}")]
    Directory(#[from] std::io::Error),
    #[error("the file cannot be written or read: {0}")]
    File(#[from] parquet::errors::ParquetError),
    #[error(transparent)]
    Depot(#[from] DepotError),
    #[error("the place of the archive: {0}")]
    Vault(#[from] VaultError),
    #[error("{0}")]
    Refused(String),
}

/// Runs what blocks on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|stopped| std::io::Error::other(stopped.to_string()))?
}
