//! Throwaway databases of either kind, migrated and opened as the product opens them. For tests only.

use std::ops::Deref;

use sea_orm_migration::sea_orm::{ConnectionTrait, Database, DbErr};
use steward_entities::database::{DatabaseConfig, Databases};
use tempfile::TempDir;

/// Names the PostgreSQL server to test against: a URL whose user may create databases.
pub const POSTGRES_URL_VARIABLE: &str = "STEWARD_TEST_POSTGRES_URL";

/// A migrated database that disappears when dropped. Dereferences to its open [`Databases`].
pub struct TestDatabase {
    databases: Databases,
    config: DatabaseConfig,
    /// Only on PostgreSQL: (server, name of the database to drop).
    server: Option<(String, String)>,
    dir: TempDir,
}

impl TestDatabase {
    /// Two files in a directory of its own.
    #[allow(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = DatabaseConfig::Sqlite {
            dir: dir.path().to_path_buf(),
        };
        Self::migrated(config, None, dir).await
    }

    /// A new database on the server named by `STEWARD_TEST_POSTGRES_URL`.
    ///
    /// # Panics
    /// When the variable is not set or the server does not answer. Tests that call this have `postgres` in
    /// their name, so that a run without a server can leave them out.
    #[allow(
        clippy::expect_used,
        clippy::panic,
        reason = "a test without its database has failed"
    )]
    pub async fn postgres() -> Self {
        let server = std::env::var(POSTGRES_URL_VARIABLE).unwrap_or_else(|_| {
            panic!("set {POSTGRES_URL_VARIABLE} to a PostgreSQL server whose user may create databases, or leave out the tests with `postgres` in their name")
        });
        let name = format!("steward_test_{:016x}", rand::random::<u64>());
        // Not from template1, the default: an autovacuum worker that happens to be in it makes this fail.
        on_server(
            &server,
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        )
        .await
        .expect("the PostgreSQL server makes a test database");
        let config = DatabaseConfig::Postgres {
            url: with_database(&server, &name),
        };
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self::migrated(config, Some((server, name)), dir).await
    }

    /// How it was opened; opens again to play a second process or a restart.
    pub fn config(&self) -> &DatabaseConfig {
        &self.config
    }

    /// A directory that lives as long as the database: for spools, key files and the like.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    #[allow(clippy::expect_used, reason = "a test without its database has failed")]
    async fn migrated(
        config: DatabaseConfig,
        server: Option<(String, String)>,
        dir: TempDir,
    ) -> Self {
        let databases = Databases::open(&config)
            .await
            .expect("the test database opens");
        crate::migrate_control(&databases.control)
            .await
            .expect("the control tables migrate");
        crate::migrate_ledger(&databases.ledger)
            .await
            .expect("the ledger tables migrate");
        crate::migrate_events(&databases.events)
            .await
            .expect("the tables of events migrate");
        Self {
            databases,
            config,
            server,
            dir,
        }
    }
}

impl Deref for TestDatabase {
    type Target = Databases;

    fn deref(&self) -> &Databases {
        &self.databases
    }
}

impl Drop for TestDatabase {
    #[allow(
        clippy::disallowed_methods,
        reason = "no process of Steward's: it ends with the test"
    )]
    fn drop(&mut self) {
        let Some((server, name)) = self.server.take() else {
            return;
        };
        // Dropping happens inside the test's runtime, which cannot be waited for from here.
        let cleanup = std::thread::Builder::new().spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            if let Ok(runtime) = runtime {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                let _ = runtime.block_on(on_server(&server, &drop));
            }
        });
        if let Ok(thread) = cleanup {
            let _ = thread.join();
        }
    }
}

async fn on_server(url: &str, statement: &str) -> Result<(), DbErr> {
    let connection = Database::connect(url).await?;
    connection.execute_unprepared(statement).await?;
    connection.close().await
}

/// The same server and credentials, another database.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (url, String::new()),
    };
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority..]
        .find('/')
        .map_or(base.len(), |at| authority + at);
    format!("{}/{name}{query}", &base[..end])
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            ("postgres://u:p@h:5433/postgres", "postgres://u:p@h:5433/n"),
            ("postgres://u@h", "postgres://u@h/n"),
            (
                "postgres://u@h/a?sslmode=disable",
                "postgres://u@h/n?sslmode=disable",
            ),
        ] {
            assert_eq!(with_database(url, "n"), expected);
        }
    }
}
