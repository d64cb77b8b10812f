//! What keeps pretended data and real data apart, in both directions.
//!
//! A demonstration marks its data directory (the file [`MARKER`]) before it writes anything else there, and its
//! database (a row of `instance`) before it holds anything. `steward demo` refuses whatever holds data without
//! the mark, `steward serve` refuses whatever has it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sea_orm::DbErr;
use steward_entities::database::{Databases, begin_write};
use steward_entities::{instance, operator};

/// The file that marks a data directory. Not `demo`: that is where a demonstration lives inside a real directory.
pub const MARKER: &str = "demonstration";
const MARKER_TEXT: &str =
    "This directory holds a demonstration of Steward: everything in it is simulated.\n";
/// What another start may have left before it came to the mark.
const HARMLESS: [&str; 1] = ["steward.lock"];
/// The row of `instance` that marks a database.
const KEY: &str = "demo";

/// What the process is started as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    Real,
    Demonstration,
}

/// Why pretended and real data would meet.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error(
        "the data directory {0} holds a demonstration; run `steward demo` for it, or choose another `data.dir`"
    )]
    DirectoryIsDemo(PathBuf),
    #[error(
        "the data directory {0} is not empty and holds no demonstration; `steward demo` touches no real data: choose an \
         empty directory with --data-dir"
    )]
    DirectoryIsReal(PathBuf),
    #[error("the data directory {path} cannot be looked at or marked: {cause}")]
    Io {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error(
        "the database holds a demonstration; run `steward demo` for it, or choose another `database.url`"
    )]
    DatabaseIsDemo,
    #[error(
        "the database holds data that is not a demonstration's; `steward demo` touches no real data: choose an empty \
         database"
    )]
    DatabaseIsReal,
}

/// Looks at the data directory, which exists, before anything in it is opened; marks an empty one that becomes
/// a demonstration's.
///
/// # Errors
/// See [`GuardError`].
pub fn directory(dir: &Path, purpose: Purpose) -> Result<(), GuardError> {
    let failed = |cause| GuardError::Io {
        path: dir.to_owned(),
        cause,
    };
    let marker = dir.join(MARKER);
    let marked = marker.try_exists().map_err(failed)?;
    match (purpose, marked) {
        (Purpose::Real, false) | (Purpose::Demonstration, true) => Ok(()),
        (Purpose::Real, true) => Err(GuardError::DirectoryIsDemo(dir.to_owned())),
        (Purpose::Demonstration, false) => {
            for entry in std::fs::read_dir(dir).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                if !HARMLESS.iter().any(|harmless| name == *harmless) {
                    return Err(GuardError::DirectoryIsReal(dir.to_owned()));
                }
            }
            let mut file = std::fs::File::create_new(&marker).map_err(failed)?;
            file.write_all(MARKER_TEXT.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(failed)
        }
    }
}

/// Looks at the database before it is migrated: one that has no tables yet has no opinion.
///
/// # Errors
/// See [`GuardError`].
pub async fn unmigrated_database(
    databases: &Databases,
    purpose: Purpose,
) -> Result<(), GuardError> {
    match standing(databases).await {
        Ok(standing) => verdict(purpose, standing),
        Err(_) => Ok(()),
    }
}

/// Looks at the migrated database and marks an empty one that becomes a demonstration's.
///
/// # Errors
/// See [`GuardError`]; the outer error is the database's own.
pub async fn database(
    databases: &Databases,
    purpose: Purpose,
) -> Result<Result<(), GuardError>, DbErr> {
    let standing = standing(databases).await?;
    if let Err(refused) = verdict(purpose, standing) {
        return Ok(Err(refused));
    }
    if purpose == Purpose::Demonstration {
        let txn = begin_write(&databases.control).await?;
        instance::insert_if_absent(&txn, KEY, "true").await?;
        txn.commit().await?;
    }
    Ok(Ok(()))
}

struct Standing {
    marked: bool,
    in_use: bool,
}

async fn standing(databases: &Databases) -> Result<Standing, DbErr> {
    Ok(Standing {
        marked: instance::get(&databases.control, KEY).await?.is_some(),
        // The first start makes an operator: without one nothing has ever run here.
        in_use: operator::any(&databases.control).await?,
    })
}

fn verdict(purpose: Purpose, standing: Standing) -> Result<(), GuardError> {
    match (purpose, standing.marked) {
        (Purpose::Real, true) => Err(GuardError::DatabaseIsDemo),
        (Purpose::Demonstration, false) if standing.in_use => Err(GuardError::DatabaseIsReal),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use steward_migration::testing::TestDatabase;

    use super::*;
    use crate::features::operators::offline;

    #[test]
    fn a_directory_belongs_to_one_purpose_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        directory(dir, Purpose::Real).unwrap();
        std::fs::create_dir(dir.join("demo")).unwrap();
        directory(dir, Purpose::Real).unwrap();
        std::fs::remove_dir(dir.join("demo")).unwrap();
        std::fs::write(dir.join("steward.lock"), "").unwrap();
        directory(dir, Purpose::Demonstration).unwrap();
        directory(dir, Purpose::Demonstration).unwrap();
        let refused = directory(dir, Purpose::Real).unwrap_err().to_string();
        assert!(refused.contains("holds a demonstration"), "{refused}");
        assert!(refused.contains("steward demo"), "{refused}");
    }

    #[test]
    fn a_directory_with_anything_in_it_is_not_made_a_demonstration() {
        for name in ["steward.db", "spool", "ledger.db", "my notes.txt"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(name), "precious").unwrap();
            let refused = directory(dir.path(), Purpose::Demonstration).unwrap_err();
            assert!(matches!(refused, GuardError::DirectoryIsReal(_)), "{name}");
            assert!(!dir.path().join(MARKER).exists());
            directory(dir.path(), Purpose::Real).unwrap();
        }
    }

    async fn a_database_belongs_to_one_purpose(fresh: TestDatabase, used: TestDatabase) {
        use steward_actors::domain::clock::SystemClock;
        for _ in 0..2 {
            database(&fresh, Purpose::Demonstration)
                .await
                .unwrap()
                .unwrap();
        }
        let refused = database(&fresh, Purpose::Real).await.unwrap();
        assert!(matches!(refused, Err(GuardError::DatabaseIsDemo)));

        offline::ensure_first_operator(&used, Some("a password of one's own"), &SystemClock)
            .await
            .unwrap();
        database(&used, Purpose::Real).await.unwrap().unwrap();
        for refused in [
            database(&used, Purpose::Demonstration).await.unwrap(),
            unmigrated_database(&used, Purpose::Demonstration).await,
        ] {
            assert!(matches!(refused, Err(GuardError::DatabaseIsReal)));
        }
        assert_eq!(instance::get(&used.control, KEY).await.unwrap(), None);
    }

    #[actix_web::test]
    async fn a_database_is_real_or_a_demonstration() {
        let (fresh, used) = (TestDatabase::sqlite().await, TestDatabase::sqlite().await);
        a_database_belongs_to_one_purpose(fresh, used).await;
    }

    #[actix_web::test]
    async fn a_database_is_real_or_a_demonstration_postgres() {
        let (fresh, used) = (
            TestDatabase::postgres().await,
            TestDatabase::postgres().await,
        );
        a_database_belongs_to_one_purpose(fresh, used).await;
    }
}
