//! Bringing the databases to this release's schema: a backup first, because no schema change has a way back.
//!
//! Only databases that another release has filled are backed up: new ones hold nothing, and ones that are up to date are
//! left alone. Not in it: kept conversations, whose months are brought up to date when they are opened and whose files
//! stay where they are; and the decision which releases fit each other (`migration/README.md`).

use std::path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use steward_actors::backup::{Asked, NAME_PREFIX, Source, keep_newest, make};
use steward_actors::contents::store::{ContentStore, Place};
use steward_actors::depot;
use steward_actors::domain::clock::SharedClock;
use steward_actors::vault::Vault;
use steward_entities::database::Databases;
use steward_migration::Pending;

use super::{StartError, outgoing};
use crate::config::Config;
use crate::schema::{self, Migrations};

/// In the data directory: backups made before a schema change.
pub(super) const BEFORE_UPGRADE_DIR: &str = "before-upgrade";
/// So many of them stay.
const KEPT: usize = 2;

/// The changes that this release would make.
pub(super) async fn pending(databases: &Databases) -> Result<Pending, StartError> {
    let pending = steward_migration::pending(
        &databases.control_read,
        &databases.ledger_read,
        &databases.events_read,
    );
    Ok(pending.await?)
}

/// Makes them, after a backup where there is something to lose.
///
/// # Errors
/// The backup could not be made (nothing was changed then), or a change failed.
pub(super) async fn bring_up_to_date(
    config: &Config,
    databases: &Databases,
    clock: &SharedClock,
) -> Result<(), StartError> {
    let pending = pending(databases).await?;
    let holds_something = {
        let applied = steward_migration::applied(
            &databases.control_read,
            &databases.ledger_read,
            &databases.events_read,
        );
        !applied.await?.is_empty()
    };
    if !pending.is_empty() && holds_something && config.database.backup_before_migrating {
        back_up(config, databases, clock).await?;
    }
    steward_migration::migrate_control(&databases.control).await?;
    steward_migration::migrate_ledger(&databases.ledger).await?;
    steward_migration::migrate_events(&databases.events).await?;
    Ok(())
}

async fn back_up(
    config: &Config,
    databases: &Databases,
    clock: &SharedClock,
) -> Result<(), StartError> {
    let data_dir = &config.data.dir;
    let path = path::absolute(data_dir.join(BEFORE_UPGRADE_DIR)).map_err(|cause| {
        StartError::DataDirectory {
            path: data_dir.clone(),
            cause,
        }
    })?;
    let now = clock.now_micros();
    let at = DateTime::<Utc>::from_timestamp_micros(now).unwrap_or_default();
    let name = format!("{NAME_PREFIX}{}", at.format("%Y%m%dT%H%M%S%6fZ"));
    tracing::info!(
        place = %path.display(),
        name,
        "the schema changes with this release: making a backup first, which may take minutes"
    );
    let nowhere = Place::Files(path.join("no-conversations"));
    let contents = ContentStore::new(nowhere, databases.control_read.clone(), schema::contents());
    let source = Source {
        databases: databases.clone(),
        contents,
        schema: Arc::new(Migrations),
        vault: Arc::new(Vault::open(data_dir)?),
    };
    let depot = depot::open(
        &depot::Place::Folder { path },
        outgoing(config)?,
        Arc::clone(clock),
    );
    let asked = Asked {
        name: &name,
        at_micros: now,
        progress: &|_| {},
        is_cancelled: &|| false,
    };
    let failed = StartError::BeforeUpgrade;
    let made = make(&source, depot.as_ref(), &asked)
        .await
        .map_err(failed)?;
    tracing::info!(name, rows = made.rows(), bytes = made.bytes(), "backed up");
    keep_newest(depot.as_ref(), KEPT).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sea_orm::ConnectionTrait;
    use steward_actors::backup::read_manifest;
    use steward_migration::testing::TestDatabase;

    use super::super::{RestoreFrom, restore};
    use super::*;
    use crate::startup::prepare::open_databases;

    /// A database as an older release left it, with one fact in it that is this installation's own.
    async fn left_by_an_older_release(databases: &Databases) {
        let all = (&databases.control, &databases.ledger, &databases.events);
        steward_migration::migrate_first(all, (3, 2, 1))
            .await
            .unwrap();
        databases
            .control
            .execute_unprepared("INSERT INTO instance (key, value) VALUES ('of_old', 'kept')")
            .await
            .unwrap();
    }

    fn config_of(dir: &path::Path) -> Config {
        let mut config = Config::load(None, []).unwrap();
        config.data.dir = dir.to_owned();
        config
    }

    fn clock() -> SharedClock {
        Arc::new(steward_actors::domain::clock::SystemClock)
    }

    fn backups(dir: &path::Path) -> Vec<String> {
        let Ok(found) = fs::read_dir(dir.join(BEFORE_UPGRADE_DIR)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = found
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[actix_web::test]
    async fn before_the_schema_changes_everything_is_backed_up_and_there_is_a_way_back() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let config = config_of(dir.path());
        let databases = open_databases(&config).await.unwrap();
        left_by_an_older_release(&databases).await;
        backed_up_once(&config, &databases).await;
        databases.close().await;

        let from = RestoreFrom {
            place: dir.path().join(BEFORE_UPGRADE_DIR).display().to_string(),
            key_file: Some(dir.path().join("steward.key")),
            ..RestoreFrom::default()
        };
        let back = config_of(other.path());
        restore(&back, &from, |_| {}).await.unwrap();
        let restored = open_databases(&back).await.unwrap();
        assert_eq!(of_old(&restored).await.as_deref(), Some("kept"));
    }

    #[actix_web::test]
    async fn before_the_schema_changes_everything_is_backed_up_postgres() {
        let database = TestDatabase::postgres().await;
        database
            .control
            .execute_unprepared("DROP SCHEMA steward, ledger, events CASCADE")
            .await
            .unwrap();
        left_by_an_older_release(&database).await;
        backed_up_once(&config_of(database.dir()), &database).await;
    }

    async fn of_old(databases: &Databases) -> Option<String> {
        steward_entities::instance::get(&databases.control_read, "of_old")
            .await
            .unwrap()
    }

    async fn backed_up_once(config: &Config, databases: &Databases) {
        let dir = &config.data.dir;
        for _ in 0..2 {
            bring_up_to_date(config, databases, &clock()).await.unwrap();
            assert!(pending(databases).await.unwrap().is_empty());
            assert_eq!(backups(dir).len(), 1, "only before a change");
        }
        let depot = depot::open(
            &depot::Place::Folder {
                path: dir.join(BEFORE_UPGRADE_DIR),
            },
            outgoing(config).unwrap(),
            clock(),
        );
        let vault = Vault::open(dir).unwrap();
        let name = &backups(dir)[0];
        let manifest = read_manifest(depot.as_ref(), &vault, name).await.unwrap();
        let applied = &manifest.applied;
        let seen = (
            applied.control.len(),
            applied.ledger.len(),
            applied.events.len(),
        );
        assert_eq!(seen, (3, 2, 1));
        assert_eq!(of_old(databases).await.as_deref(), Some("kept"));
    }

    #[actix_web::test]
    async fn without_a_backup_nothing_is_changed_unless_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config_of(dir.path());
        let databases = open_databases(&config).await.unwrap();
        left_by_an_older_release(&databases).await;
        let before = pending(&databases).await.unwrap();
        // Where backups would go stands a file.
        fs::write(dir.path().join(BEFORE_UPGRADE_DIR), "").unwrap();
        let refused = bring_up_to_date(&config, &databases, &clock()).await;
        assert!(
            matches!(refused, Err(StartError::BeforeUpgrade(_))),
            "{refused:?}"
        );
        assert_eq!(pending(&databases).await.unwrap(), before);
        config.database.backup_before_migrating = false;
        bring_up_to_date(&config, &databases, &clock())
            .await
            .unwrap();
        assert!(pending(&databases).await.unwrap().is_empty());
    }

    #[actix_web::test]
    async fn new_databases_are_not_backed_up_and_old_backups_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let config = config_of(dir.path());
        let databases = open_databases(&config).await.unwrap();
        bring_up_to_date(&config, &databases, &clock())
            .await
            .unwrap();
        assert!(backups(dir.path()).is_empty());
        for _ in 0..=KEPT {
            back_up(&config, &databases, &clock()).await.unwrap();
        }
        assert_eq!(backups(dir.path()).len(), KEPT);
    }
}
