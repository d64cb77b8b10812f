//! The months in which conversations lie, and everything that reads or writes them.
//!
//! SQLite has one file a month, opened when it is asked for; PostgreSQL one partitioned table. Both are a [`Shelf`]
//! here: a pair of connections and the record ids it holds. A content is stored once, by its record id; a tombstone is
//! consulted in the transaction that would store it, after the lock that a deletion takes too, so that what is deleted
//! does not come back. What a deletion leaves behind elsewhere than in its rows is [`erase`]'s. Searches and lists go newest first, shelf by shelf, and look at a bounded number of rows.

mod erase;
mod expire;
mod late;
mod read;
mod repack;
mod shelf;
mod sql;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sea_orm::{DatabaseConnection, DbErr};

use super::packing::PackingError;

pub use read::{ContentFilter, ContentRow, FoundIn, Hit, SearchCursor, SearchPage};
pub use repack::Repacked;
pub use shelf::Month;
pub use write::Written;

use shelf::Shelves;

/// Brings a month's tables up to date. Passed in: the tables' history is not this crate's.
pub type Migrate =
    Arc<dyn Fn(DatabaseConnection) -> BoxFuture<'static, Result<(), DbErr>> + Send + Sync>;

/// Where the months are.
#[derive(Clone, Debug)]
pub enum Place {
    /// Files in this directory.
    Files(PathBuf),
    /// One PostgreSQL schema, migrated.
    Schema {
        write: DatabaseConnection,
        read: DatabaseConnection,
    },
}

/// Why it did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not do it.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// A row cannot be packed or unpacked.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// The directory cannot be read.
    #[error("the directory of kept conversations cannot be used: {0}")]
    Directory(#[from] std::io::Error),
}

/// Sums over every month.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    pub contents: i64,
    /// Packed for good.
    pub compressed: i64,
    /// As it was said, in bytes.
    pub original_bytes: i64,
    /// As it lies, in bytes.
    pub stored_bytes: i64,
}

/// See the module. One per process.
pub struct ContentStore {
    shelves: Shelves,
    /// Where tombstones are.
    control: DatabaseConnection,
    /// A deletion left something behind.
    soiled: tokio::sync::Notify,
}

impl std::fmt::Debug for ContentStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentStore").finish_non_exhaustive()
    }
}

impl ContentStore {
    /// Opens nothing yet. `control` is read for tombstones.
    pub fn new(place: Place, control: DatabaseConnection, migrate: Migrate) -> Arc<Self> {
        Arc::new(Self {
            shelves: Shelves::new(place, migrate),
            control,
            soiled: tokio::sync::Notify::new(),
        })
    }

    /// Closes every month that is open.
    pub async fn close(&self) {
        self.shelves.close().await;
    }
}
