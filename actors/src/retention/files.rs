//! SQLite's files in good shape: write-ahead logs that stay short, and statistics for its planner.
//!
//! A commit moves a full log into its file by itself, but the log begins anew only when nobody reads from it, and is cut
//! only then. Readers that follow one another closely let it grow without end, so it is folded in from here now and then.
//! That is done on a connection of its own which gives up at once: a writer is never held for longer than
//! [`HELD_MOST`], and what does not succeed is tried again. Blocking; the files of conversations are not looked after
//! here, they are small and cut when something is deleted from them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sea_orm::{DatabaseConnection, DbBackend};
use steward_entities::database::Databases;

/// A log of this length should have begun anew by itself: half as long again as what a commit moves into the file.
pub const LONG_BYTES: u64 = 24 << 20;
/// A log of this length is told of: somebody reads for very long.
const VERY_LONG_BYTES: u64 = 256 << 20;
/// How long it may wait for readers while writers wait for it.
const HELD_MOST: Duration = Duration::from_millis(50);
/// Rows of an index that are looked at for its statistics.
const ROWS_LOOKED_AT: u32 = 400;
/// What `PRAGMA optimize` does: what it does by itself (2), for tables too that this connection has not used.
const EVERY_TABLE: u32 = 0x10002;

/// One of SQLite's files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DatabaseFile {
    path: PathBuf,
}

/// Those of the process; none on PostgreSQL.
pub fn of(databases: &Databases) -> Vec<DatabaseFile> {
    [&databases.control, &databases.ledger, &databases.events]
        .into_iter()
        .filter_map(DatabaseFile::of)
        .collect()
}

/// Folds in the logs that are long. One that cannot be is tried again the next time.
pub fn fold_long_logs(files: &[DatabaseFile]) {
    for file in files {
        let (name, bytes) = (file.name(), file.log_bytes());
        if bytes < LONG_BYTES {
            continue;
        }
        match file.fold() {
            Ok(true) => tracing::debug!(name, bytes, "folded in a write-ahead log"),
            Ok(false) if bytes >= VERY_LONG_BYTES => tracing::warn!(
                name,
                bytes,
                "a write-ahead log is very long and cannot be cut: somebody has been reading from it all the time"
            ),
            Ok(false) => {}
            Err(error) => tracing::warn!(name, %error, "a write-ahead log cannot be folded in"),
        }
    }
}

/// Gives the planner statistics where they are missing or far from what is there.
pub fn optimize(files: &[DatabaseFile]) {
    for file in files {
        if let Err(error) = file.optimize() {
            // It was busy; there is another time.
            tracing::debug!(name = file.name(), %error, "a file's statistics were not looked at");
        }
    }
}

impl DatabaseFile {
    /// The one at `path`.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
        }
    }

    /// The one that `connection` writes to; none on PostgreSQL.
    pub fn of(connection: &DatabaseConnection) -> Option<Self> {
        if connection.get_database_backend() == DbBackend::Postgres {
            return None;
        }
        let options = connection.get_sqlite_connection_pool().connect_options();
        Some(Self::at(options.get_filename()))
    }

    /// Its name in the data directory.
    pub fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// Length of its write-ahead log; 0 when there is none.
    pub fn log_bytes(&self) -> u64 {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        std::fs::metadata(log).map_or(0, |log| log.len())
    }

    /// Moves its log into the file and cuts it; false: somebody is reading from it, or writing.
    ///
    /// # Errors
    /// The file cannot be opened, or the disk fails.
    pub fn fold(&self) -> rusqlite::Result<bool> {
        let connection = self.open()?;
        // Most of the work, for which nobody waits.
        checkpoint(&connection, "PASSIVE")?;
        checkpoint(&connection, "TRUNCATE").map(|is_busy| !is_busy)
    }

    /// Moves as much of its log into the file as can be without anybody waiting.
    ///
    /// # Errors
    /// The file cannot be opened, or the disk fails.
    pub fn move_log(&self) -> rusqlite::Result<()> {
        checkpoint(&self.open()?, "PASSIVE").map(|_| ())
    }

    /// [`optimize`] of this one.
    ///
    /// # Errors
    /// The file cannot be opened, it is locked, or the disk fails.
    pub fn optimize(&self) -> rusqlite::Result<()> {
        let connection = self.open()?;
        connection.execute_batch(&format!(
            "PRAGMA analysis_limit = {ROWS_LOOKED_AT}; PRAGMA optimize = {EVERY_TABLE};"
        ))
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(HELD_MOST)?;
        Ok(connection)
    }
}

/// Whether somebody was in the way.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<bool> {
    let pragma = format!("PRAGMA wal_checkpoint({mode})");
    connection.query_row(&pragma, [], |row| row.get(0))
}
