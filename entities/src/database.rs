//! Opening and closing the databases, with the settings each of them needs.
//!
//! SQLite: one file per kind of data, one writing connection per file (a second writer would only wait) and
//! a pool of read-only ones. PostgreSQL: one database, one schema per kind of data. Nothing is migrated
//! here, and no statement is logged: they carry other people's data.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous,
};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    DbErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::read_deadline;

/// File of the control tables.
pub const CONTROL_FILE: &str = "steward.db";
/// File of the ledger tables.
pub const LEDGER_FILE: &str = "ledger.db";
/// File of what happens beside the calls: logs, probes, measured values, deliveries.
pub const EVENTS_FILE: &str = "events.db";
/// Directory of the months' files of kept conversations.
pub const CONTENTS_DIR: &str = "contents";
/// PostgreSQL schema of kept conversations.
pub const CONTENTS_SCHEMA: &str = "contents";
/// PostgreSQL schema of the control tables.
pub const CONTROL_SCHEMA: &str = "steward";
/// PostgreSQL schema of the ledger tables.
pub const LEDGER_SCHEMA: &str = "ledger";
/// PostgreSQL schema of events.
pub const EVENTS_SCHEMA: &str = "events";

const READERS: u32 = 4;
const POSTGRES_CONTROL_WRITERS: u32 = 8;
const POSTGRES_EVENTS_WRITERS: u32 = 2;
/// How long a writer waits for a file that another process has locked.
pub const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages of a write-ahead log that a commit moves into the file.
pub const SQLITE_WAL_AUTOCHECKPOINT_PAGES: u32 = 4_000;
/// A write-ahead log that grew beyond this while somebody read for long is cut back as soon as it begins anew.
pub const SQLITE_WAL_KEPT_BYTES: u32 = 64 << 20;
/// How long a caller waits for a connection of the pool. Longer than the busy time-out, so that a locked
/// database is reported as what it is.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(8);
/// A read is given up after this long; a reader never holds a connection for good.
pub const READ_DEADLINE: Duration = Duration::from_secs(20);

/// Where the data lives.
#[derive(Clone, Eq, PartialEq)]
pub enum DatabaseConfig {
    /// Files in `dir`, which must exist.
    Sqlite { dir: PathBuf },
    /// One database of a PostgreSQL server. The URL may hold a password.
    Postgres { url: String },
}

impl std::fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite { dir } => f.debug_struct("Sqlite").field("dir", dir).finish(),
            Self::Postgres { .. } => f.write_str("Postgres { url: … }"),
        }
    }
}

/// Which of the two it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DatabaseKind {
    /// SQLite files.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// All connections of the process. Clones share the pools.
#[derive(Clone, Debug)]
pub struct Databases {
    /// Writes control tables; a single connection on SQLite.
    pub control: DatabaseConnection,
    /// Reads control tables; refuses to write.
    pub control_read: DatabaseConnection,
    /// The one writing connection of the ledger.
    pub ledger: DatabaseConnection,
    /// Reads the ledger; refuses to write.
    pub ledger_read: DatabaseConnection,
    /// Writes events; a single connection on SQLite.
    pub events: DatabaseConnection,
    /// Reads events; refuses to write.
    pub events_read: DatabaseConnection,
    /// Which of the two it is.
    pub kind: DatabaseKind,
    home: Home,
}

/// The runtime that opened the connections.
#[derive(Clone, Debug)]
struct Home(Handle);

/// Ends a task when nobody waits for it any more.
struct Watched<T>(JoinHandle<T>);

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Databases {
    /// Does `work` on the runtime that opened the connections, for actors, whose own runtime may end at any moment: a
    /// connection made there would end with it, and one that was in use would never be given back, because giving back is
    /// a task of the runtime it is dropped on. Dropped, it drops `work` where it runs.
    ///
    /// # Errors
    /// Those of `work`, and when Steward is shutting down.
    #[allow(
        clippy::disallowed_methods,
        reason = "no process: it ends with its caller, who waits for it"
    )]
    pub async fn at_home<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DbErr>> + Send + 'static,
    ) -> Result<T, DbErr> {
        let mut task = Watched(self.home.0.spawn(work));
        match (&mut task.0).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(DbErr::Custom("Steward is shutting down".to_owned())),
            },
        }
    }

    /// Opens every pool; a connection of each is made at once, so that an unreachable database is told now.
    ///
    /// # Errors
    /// When a file cannot be opened or made, or the server cannot be reached.
    pub async fn open(config: &DatabaseConfig) -> Result<Self, DbErr> {
        let home = Home(Handle::current());
        match config {
            DatabaseConfig::Sqlite { dir } => {
                let control = dir.join(CONTROL_FILE);
                let ledger = dir.join(LEDGER_FILE);
                let events = dir.join(EVENTS_FILE);
                // Writers first: they make the file and its WAL, which readers only open.
                Ok(Self {
                    control: sqlite_writer(&control, SqliteSynchronous::Normal).await?,
                    ledger: sqlite_writer(&ledger, SqliteSynchronous::Full).await?,
                    events: sqlite_writer(&events, SqliteSynchronous::Normal).await?,
                    control_read: sqlite_readers(&control).await?,
                    ledger_read: sqlite_readers(&ledger).await?,
                    events_read: sqlite_readers(&events).await?,
                    kind: DatabaseKind::Sqlite,
                    home,
                })
            }
            DatabaseConfig::Postgres { url } => Ok(Self {
                control: postgres(url, CONTROL_SCHEMA, POSTGRES_CONTROL_WRITERS, false).await?,
                ledger: postgres(url, LEDGER_SCHEMA, 1, false).await?,
                events: postgres(url, EVENTS_SCHEMA, POSTGRES_EVENTS_WRITERS, false).await?,
                control_read: postgres(url, CONTROL_SCHEMA, READERS, true).await?,
                ledger_read: postgres(url, LEDGER_SCHEMA, READERS, true).await?,
                events_read: postgres(url, EVENTS_SCHEMA, READERS, true).await?,
                kind: DatabaseKind::Postgres,
                home,
            }),
        }
    }

    /// Waits for what is running, then closes every connection (SQLite: the last one folds the WAL in).
    /// A failure to close is not reported: there is nothing left to do about it.
    pub async fn close(self) {
        for readers in [self.control_read, self.ledger_read, self.events_read] {
            let _ = readers.close().await;
        }
        for writer in [self.control, self.ledger, self.events] {
            let _ = writer.close().await;
        }
    }
}

/// First half of the key of [`NodeClaim`]'s lock: nobody else's.
const NODE_LOCKS: i32 = 0x5354_4e44;

/// The right of this process to be node `n` on a PostgreSQL server: a lock that lasts as long as its session. SQLite
/// needs none, its directory is locked.
#[derive(Debug)]
pub struct NodeClaim {
    session: DatabaseConnection,
    node: u8,
}

impl NodeClaim {
    /// The other nodes that run on this database, rising.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn others(&self) -> Result<Vec<i64>, DbErr> {
        let sql = format!(
            "SELECT CAST(CAST(objid AS TEXT) AS BIGINT) AS node FROM pg_locks WHERE locktype = 'advisory' \
             AND classid = {NODE_LOCKS} AND granted AND objid <> {} \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY node",
            self.node
        );
        let rows = self.session.query_all_raw(postgres_statement(sql)).await?;
        rows.iter().map(|row| row.try_get("", "node")).collect()
    }
}

/// Who has a node already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeTaken {
    /// Process id of the server's session that holds it, if it can be told.
    pub session: Option<i32>,
}

/// Claims a node; `None` on SQLite. The session ends with the process; the server notices within a minute when the
/// machine is gone.
///
/// # Errors
/// When the server cannot be reached.
pub async fn claim_node(
    config: &DatabaseConfig,
    node: u8,
) -> Result<Result<Option<NodeClaim>, NodeTaken>, DbErr> {
    let DatabaseConfig::Postgres { url } = config else {
        return Ok(Ok(None));
    };
    let mut options = quiet(&driver_url(url));
    options
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .set_application_name(format!("steward node {node}"))
        .map_sqlx_postgres_opts(|base| {
            base.options([
                ("tcp_keepalives_idle", "20"),
                ("tcp_keepalives_interval", "10"),
                ("tcp_keepalives_count", "3"),
            ])
        });
    let session = Database::connect(options).await?;
    let sql = format!("SELECT pg_try_advisory_lock({NODE_LOCKS}, {node}) AS got");
    let got = session.query_one_raw(postgres_statement(sql)).await?;
    if got.map_or(Ok(false), |row| row.try_get("", "got"))? {
        return Ok(Ok(Some(NodeClaim { session, node })));
    }
    let sql = format!(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = {NODE_LOCKS} AND objid = {node} AND granted"
    );
    let holder = session.query_one_raw(postgres_statement(sql)).await?;
    let session = match holder {
        Some(row) => row.try_get("", "pid")?,
        None => None,
    };
    Ok(Err(NodeTaken { session }))
}

fn postgres_statement(sql: String) -> Statement {
    Statement::from_string(DbBackend::Postgres, sql)
}

/// Opens one month's file of kept conversations: its one writing connection, and its readers.
///
/// # Errors
/// When the file cannot be opened or made.
pub async fn open_contents_file(
    file: &Path,
) -> Result<(DatabaseConnection, DatabaseConnection), DbErr> {
    let manner = Manner {
        freed: Freed::Overwritten,
        ..Manner::of(SqliteSynchronous::Full)
    };
    let write = sqlite_writer_in(file, manner).await?;
    let read = sqlite_readers(file).await?;
    Ok((write, read))
}

/// Opens the kept conversations of a PostgreSQL database: for writing, and for reading.
///
/// # Errors
/// When the server cannot be reached.
pub async fn open_contents_schema(
    url: &str,
) -> Result<(DatabaseConnection, DatabaseConnection), DbErr> {
    let write = postgres(url, CONTENTS_SCHEMA, 2, false).await?;
    let read = postgres(url, CONTENTS_SCHEMA, READERS, true).await?;
    Ok((write, read))
}

/// Begins a transaction that will write. On SQLite it takes the write lock now: one that starts by reading
/// and upgrades later fails at once when another process wrote in between, whatever the busy time-out.
///
/// # Errors
/// When no connection is free in time, or another process holds the lock longer than the busy time-out.
pub async fn begin_write(connection: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    connection
        .begin_with_options(TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        })
        .await
}

/// Appends the place of a statement's `number`-th value, when values come in the order of their places. To SQLite `$1` is a
/// name, which it looks for among all others each time: a few hundred rows of them would take longer than everything else.
pub fn push_place(sql: &mut String, backend: DbBackend, number: usize) {
    match backend {
        DbBackend::Postgres => {
            sql.push('$');
            sql.push_str(&number.to_string());
        }
        _ => sql.push('?'),
    }
}

/// What becomes of bytes that a file no longer needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Freed {
    /// They stay until something else is written there.
    Left,
    /// Zeros, at once: what was said and deleted is not to be found by whoever reads the file.
    Overwritten,
}

/// How a connection writes to a SQLite file.
struct Manner {
    synchronous: SqliteSynchronous,
    freed: Freed,
    /// Pages of a write-ahead log that a commit moves into the file; 0: a commit never does.
    autocheckpoint_pages: u32,
}

impl Manner {
    fn of(synchronous: SqliteSynchronous) -> Self {
        Self {
            synchronous,
            freed: Freed::Left,
            autocheckpoint_pages: SQLITE_WAL_AUTOCHECKPOINT_PAGES,
        }
    }
}

async fn sqlite_writer(
    file: &Path,
    synchronous: SqliteSynchronous,
) -> Result<DatabaseConnection, DbErr> {
    sqlite_writer_in(file, Manner::of(synchronous)).await
}

/// A connection for clearing up, beside `writer`: on SQLite one of its own, whose commits neither wait for the disk nor move
/// the write-ahead log, so that the file is locked for as long as its rows take and no longer. What a machine that goes down
/// forgets of its work is there again, to be done again. Whoever uses it sees to the log. On PostgreSQL it is `writer`.
///
/// # Errors
/// When the file cannot be opened.
pub async fn beside(writer: &DatabaseConnection) -> Result<DatabaseConnection, DbErr> {
    if writer.get_database_backend() == DbBackend::Postgres {
        return Ok(writer.clone());
    }
    let options = writer.get_sqlite_connection_pool().connect_options();
    let manner = Manner {
        autocheckpoint_pages: 0,
        ..Manner::of(SqliteSynchronous::Normal)
    };
    sqlite_writer_in(options.get_filename(), manner).await
}

async fn sqlite_writer_in(file: &Path, manner: Manner) -> Result<DatabaseConnection, DbErr> {
    let file = file.to_path_buf();
    let mut options = quiet("sqlite://");
    options
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .test_before_acquire(false)
        .map_sqlx_sqlite_opts(move |base| {
            shared_pragmas(base, &file)
                .create_if_missing(true)
                // Only has an effect before the first table exists.
                .auto_vacuum(SqliteAutoVacuum::Incremental)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(manner.synchronous)
                .pragma(
                    "wal_autocheckpoint",
                    manner.autocheckpoint_pages.to_string(),
                )
                .pragma("journal_size_limit", SQLITE_WAL_KEPT_BYTES.to_string())
                .pragma(
                    "secure_delete",
                    match manner.freed {
                        Freed::Left => "OFF",
                        Freed::Overwritten => "ON",
                    },
                )
                .optimize_on_close(true, 400)
        });
    Database::connect(options).await
}

async fn sqlite_readers(file: &Path) -> Result<DatabaseConnection, DbErr> {
    sqlite_readers_within(file, READERS, READ_DEADLINE).await
}

pub(crate) async fn sqlite_readers_within(
    file: &Path,
    readers: u32,
    deadline: Duration,
) -> Result<DatabaseConnection, DbErr> {
    let file = file.to_path_buf();
    let mut options = quiet("sqlite://");
    options
        .max_connections(readers)
        .min_connections(1)
        .max_lifetime(None::<Duration>)
        .test_before_acquire(false)
        .map_sqlx_sqlite_pool_opts(move |base| read_deadline::bounded(base, deadline))
        .map_sqlx_sqlite_opts(move |base| {
            shared_pragmas(base, &file)
                .create_if_missing(false)
                .read_only(true)
        });
    Database::connect(options).await
}

fn shared_pragmas(base: SqliteConnectOptions, file: &Path) -> SqliteConnectOptions {
    base.filename(file)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .foreign_keys(true)
}

async fn postgres(
    url: &str,
    schema: &str,
    connections: u32,
    read_only: bool,
) -> Result<DatabaseConnection, DbErr> {
    let mut options = quiet(&driver_url(url));
    options
        .max_connections(connections)
        // A connection belongs to the runtime it was opened on. Kept for good, it is the one that opened the
        // databases, not that of an actor that may be restarted with its thread.
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .set_schema_search_path(schema)
        .set_application_name("steward");
    if read_only {
        options
            .statement_timeout(READ_DEADLINE)
            .map_sqlx_postgres_opts(|base| base.options([("default_transaction_read_only", "on")]));
    }
    Database::connect(options).await
}

/// Both spellings are usual; the driver below knows only the short one.
fn driver_url(url: &str) -> String {
    match url.strip_prefix("postgresql://") {
        Some(rest) => format!("postgres://{rest}"),
        None => url.to_owned(),
    }
}

fn quiet(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    options
}
