//! The database behind the application under test: which kind, a fresh one per test, and a look at its rows from outside.

use std::path::Path;

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

/// A database of its own on the test server, dropped at the end.
pub struct PostgresDatabase {
    server: String,
    name: String,
}

impl PostgresDatabase {
    pub async fn create() -> Self {
        let server = std::env::var("STEWARD_TEST_POSTGRES_URL").expect(
            "STEWARD_TEST_POSTGRES_URL names the test server (tests/postgres.sh start DIR)",
        );
        Self::create_on(&server).await
    }

    pub async fn create_on(server: &str) -> Self {
        let name = format!("it_{}", uuid::Uuid::new_v4().simple());
        connect(server)
            .await
            .execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await
            .expect("create a database");
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
