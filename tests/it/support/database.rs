//! The database behind the application under test: which kind, a fresh one per test, and a look at its rows from outside.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// The kind this run of the tests is about.
    pub fn of_this_run() -> Self {
        match std::env::var("STEWARD_IT_DATABASE").as_deref() {
            Ok("postgres") => Self::Postgres,
            Ok("sqlite") | Err(_) => Self::Sqlite,
            Ok(other) => panic!("STEWARD_IT_DATABASE is sqlite or postgres, not {other}"),
        }
    }
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options)
        .await
        .unwrap_or_else(|e| panic!("connect to the test's database: {e}"))
}

fn server() -> String {
    std::env::var("STEWARD_TEST_POSTGRES_URL")
        .expect("STEWARD_TEST_POSTGRES_URL names the test server (tests/postgres.sh start DIR)")
}

/// A database of its own on the test server, dropped at the end.
pub struct PostgresDatabase {
    server: String,
    name: String,
}

impl PostgresDatabase {
    /// Migrated.
    pub async fn create() -> Self {
        let server = server();
        let template = template(&server).await;
        Self::create_from(&server, &template).await
    }

    pub async fn empty() -> Self {
        Self::create_on(&server()).await
    }

    /// An empty one on a server of the test's own.
    pub async fn create_on(server: &str) -> Self {
        Self::create_from(server, "template0").await
    }

    async fn create_from(server: &str, template: &str) -> Self {
        let name = format!("it_{}", uuid::Uuid::new_v4().simple());
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        patiently(&connect(server).await, &create).await;
        Self {
            server: server.to_owned(),
            name,
        }
    }

    pub fn url(&self) -> String {
        let (base, _) = self.server.rsplit_once('/').expect("a URL with a database");
        format!("{base}/{}", self.name)
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A thread of its own: dropping may happen inside a runtime, which must not be blocked on.
        let dropping = std::thread::Builder::new().spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(async {
                if let Ok(connection) = Database::connect(ConnectOptions::new(&server)).await {
                    let _ = connection
                        .execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                        .await;
                }
            });
        });
        if let Ok(dropping) = dropping {
            let _ = dropping.join();
        }
    }
}

/// The name of a database that this build of Steward has migrated. Whoever comes first makes it: every test gets a copy, since
/// migrating takes longer than most of what is tested.
async fn template(server: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_steward"));
    let changed = program.metadata().and_then(|it| it.modified());
    let since = changed.expect("Steward's age").duration_since(UNIX_EPOCH);
    let name = format!("it_template_{:x}", since.expect("an age").as_nanos());
    let there = format!("SELECT COUNT(*) FROM pg_database WHERE datname = '{name}'");
    let connection = connect(server).await;
    if number(&connection, &there).await == 0 {
        // Held until this connection ends.
        patiently(&connection, "SELECT pg_advisory_lock(1937011831)").await;
        if number(&connection, &there).await == 0 {
            let making = PostgresDatabase::create_on(server).await;
            let data = tempfile::tempdir().expect("a directory");
            let migrated = Command::new(program)
                .args(["migrate", "--data-dir"])
                .arg(data.path())
                .env("STEWARD__DATABASE__URL", making.url())
                .output()
                .expect("start Steward");
            assert!(migrated.status.success(), "{migrated:?}");
            let from = &making.name;
            let close = format!("ALTER DATABASE {from} ALLOW_CONNECTIONS false");
            patiently(&connection, &close).await;
            patiently(
                &connection,
                &format!("ALTER DATABASE {from} RENAME TO {name}"),
            )
            .await;
        }
    }
    name
}

/// Makes a statement; where a database is in somebody's hands for a moment (a session that is just ending, the autovacuum)
/// again.
async fn patiently(connection: &DatabaseConnection, statement: &str) {
    const TIMES: u32 = 200;
    for _ in 0..TIMES {
        match connection.execute_unprepared(statement).await {
            Ok(_) => return,
            Err(error) if error.to_string().contains("accessed by other users") => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{statement}: {error}"),
        }
    }
    panic!("{statement}: somebody is in that database");
}

/// The ledger as somebody with a database client sees it.
pub async fn ledger(kind: Kind, data_dir: &Path, url: Option<&str>) -> DatabaseConnection {
    match kind {
        Kind::Sqlite => {
            connect(&format!(
                "sqlite://{}?mode=rwc",
                data_dir.join("ledger.db").display()
            ))
            .await
        }
        Kind::Postgres => {
            let connection = connect(url.expect("a PostgreSQL URL")).await;
            connection
                .execute_unprepared("SET search_path TO ledger")
                .await
                .expect("the ledger's schema");
            connection
        }
    }
}

/// The control tables as somebody with a database client sees them.
pub async fn control(kind: Kind, data_dir: &Path, url: Option<&str>) -> DatabaseConnection {
    match kind {
        Kind::Sqlite => {
            let file = data_dir.join("steward.db");
            connect(&format!("sqlite://{}?mode=rw", file.display())).await
        }
        Kind::Postgres => {
            let connection = connect(url.expect("a PostgreSQL URL")).await;
            connection
                .execute_unprepared("SET search_path TO steward")
                .await
                .expect("the control tables' schema");
            connection
        }
    }
}

/// One whole number.
pub async fn number(connection: &DatabaseConnection, sql: &str) -> i64 {
    let row = connection
        .query_one_raw(Statement::from_string(
            connection.get_database_backend(),
            sql,
        ))
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
        .unwrap_or_else(|| panic!("{sql}: no row"));
    row.try_get_by_index(0)
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}
