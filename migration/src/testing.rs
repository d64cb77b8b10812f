//! Throwaway databases of either kind, migrated and opened as the product opens them. For tests only.
//!
//! The first test of a build migrates a template, beside its program or on the server; every test gets a copy of it.
//! Migrating takes most of what a small test takes.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use sea_orm_migration::sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, Statement,
};
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
        let template = sqlite_template().await;
        let files = std::fs::read_dir(template).expect("the template's files");
        for file in files {
            let file = file.expect("a file of the template");
            std::fs::copy(file.path(), dir.path().join(file.file_name()))
                .expect("a copy of the template");
        }
        let config = DatabaseConfig::Sqlite {
            dir: dir.path().to_path_buf(),
        };
        Self::opened(config, None, dir).await
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
        let template = postgres_template(&server).await;
        on_server(
            &server,
            &format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await
        .expect("the PostgreSQL server makes a test database");
        let config = DatabaseConfig::Postgres {
            url: with_database(&server, &name),
        };
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self::opened(config, Some((server, name)), dir).await
    }

    /// How it was opened; opens again to play a second process or a restart.
    pub fn config(&self) -> &DatabaseConfig {
        &self.config
    }

    /// A directory that lives as long as the database: for spools, key files and the like.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    #[allow(clippy::expect_used, reason = "a test without its database has failed")]
    async fn opened(
        config: DatabaseConfig,
        server: Option<(String, String)>,
        dir: TempDir,
    ) -> Self {
        let databases = Databases::open(&config)
            .await
            .expect("the test database opens");
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

/// What tells this program from another build of it, whose migrations may be others.
#[allow(clippy::expect_used, reason = "a test without its program has failed")]
fn build() -> (PathBuf, String) {
    let program = std::env::current_exe().expect("this program's path");
    let changed = program
        .metadata()
        .and_then(|it| it.modified())
        .expect("this program's age");
    let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    // A name of PostgreSQL has 63 bytes; of the program's the end tells builds apart.
    let tail = name.len().saturating_sub(16);
    let plain = name.get(tail..).unwrap_or_default();
    let plain: String = plain
        .chars()
        .map(|one| {
            if one.is_ascii_alphanumeric() {
                one
            } else {
                '_'
            }
        })
        .collect();
    let name = format!("template_{}_{:x}", plain.to_lowercase(), since.as_nanos());
    (program, name)
}

/// The files of a migrated database, beside this program.
#[allow(clippy::expect_used, reason = "a test without its database has failed")]
async fn sqlite_template() -> PathBuf {
    let (program, name) = build();
    let beside = program.parent().unwrap_or(Path::new("."));
    let template = beside.join(name);
    if template.is_dir() {
        return template;
    }
    // Whoever is the first to rename has made it; the others' go.
    let making = tempfile::tempdir_in(beside).expect("a directory beside this program");
    migrate(&DatabaseConfig::Sqlite {
        dir: making.path().to_path_buf(),
    })
    .await;
    if std::fs::rename(making.path(), &template).is_ok() {
        // Renamed: nothing is left to remove.
        let _ = making.keep();
    }
    template
}

/// The name of a migrated database on this server.
#[allow(clippy::expect_used, reason = "a test without its database has failed")]
async fn postgres_template(server: &str) -> String {
    let (_, name) = build();
    let mut options = ConnectOptions::new(server);
    options.max_connections(1).sqlx_logging(false);
    let connection = Database::connect(options)
        .await
        .expect("the PostgreSQL server answers");
    if !has_database(&connection, &name).await {
        let say = async |statement: String| {
            connection
                .execute_unprepared(&statement)
                .await
                .expect("the PostgreSQL server makes a template");
        };
        say("SELECT pg_advisory_lock(1937011830)".to_owned()).await;
        if !has_database(&connection, &name).await {
            say(format!(
                "DROP DATABASE IF EXISTS {name}_making WITH (FORCE)"
            ))
            .await;
            // Not from template1, the default: an autovacuum worker that happens to be in it makes this fail.
            say(format!("CREATE DATABASE {name}_making TEMPLATE template0")).await;
            migrate(&DatabaseConfig::Postgres {
                url: with_database(server, &format!("{name}_making")),
            })
            .await;
            // Nobody connects to it any more, so that it can be copied; only then it has its name.
            say(format!(
                "ALTER DATABASE {name}_making ALLOW_CONNECTIONS false"
            ))
            .await;
            say(format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}_making'"
            ))
            .await;
            patiently(
                &connection,
                &format!("ALTER DATABASE {name}_making RENAME TO {name}"),
            )
            .await
            .expect("the template gets its name");
        }
    }
    // With the connection its lock goes.
    let _ = connection.close().await;
    name
}

async fn has_database(connection: &DatabaseConnection, name: &str) -> bool {
    let sql = format!("SELECT 1 FROM pg_database WHERE datname = '{name}'");
    let row = Statement::from_string(connection.get_database_backend(), sql);
    matches!(connection.query_one_raw(row).await, Ok(Some(_)))
}

#[allow(clippy::expect_used, reason = "a test without its database has failed")]
async fn migrate(config: &DatabaseConfig) {
    let databases = Databases::open(config)
        .await
        .expect("the template's database opens");
    crate::migrate_control(&databases.control)
        .await
        .expect("the control tables migrate");
    crate::migrate_ledger(&databases.ledger)
        .await
        .expect("the ledger tables migrate");
    crate::migrate_events(&databases.events)
        .await
        .expect("the tables of events migrate");
    databases.close().await;
}

/// Where a database may be in somebody's hands for a moment: a session that is just ending, the autovacuum.
async fn patiently(connection: &DatabaseConnection, statement: &str) -> Result<(), DbErr> {
    const TIMES: u32 = 100;
    for _ in 0..TIMES {
        match connection.execute_unprepared(statement).await {
            Err(error) if error.to_string().contains("accessed by other users") => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            done => return done.map(drop),
        }
    }
    connection.execute_unprepared(statement).await.map(drop)
}

async fn on_server(url: &str, statement: &str) -> Result<(), DbErr> {
    let connection = Database::connect(url).await?;
    patiently(&connection, statement).await?;
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
