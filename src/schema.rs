//! How tables come about, for those who make empty databases: the migrations, behind what `actors` knows of them.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use sea_orm::DbErr;
use steward_actors::backup::{Applied, Schema};
use steward_actors::contents::store::Migrate;
use steward_actors::tree::BackupGround;
use steward_entities::database::Databases;

/// The history of this release's tables.
#[derive(Clone, Copy, Debug)]
pub struct Migrations;

#[async_trait]
impl Schema for Migrations {
    async fn applied(&self, databases: &Databases) -> Result<Applied, DbErr> {
        let applied = steward_migration::applied(
            &databases.control_read,
            &databases.ledger_read,
            &databases.events_read,
        );
        let steward_migration::Pending {
            control,
            ledger,
            events,
        } = applied.await?;
        Ok(Applied {
            control,
            ledger,
            events,
        })
    }

    async fn make(&self, databases: &Databases, applied: &Applied) -> Result<(), String> {
        let known = steward_migration::known();
        let many = |known: &[String], applied: &[String]| {
            known.starts_with(applied).then_some(applied.len())
        };
        let of = (
            many(&known.control, &applied.control),
            many(&known.ledger, &applied.ledger),
            many(&known.events, &applied.events),
        );
        let (Some(control), Some(ledger), Some(events)) = of else {
            return Err(
                "the backup was made by a release that is newer than this one; restore it with that one"
                    .to_owned(),
            );
        };
        let few = |many: usize| u32::try_from(many).unwrap_or(u32::MAX);
        steward_migration::migrate_first(
            (&databases.control, &databases.ledger, &databases.events),
            (few(control), few(ledger), few(events)),
        )
        .await
        .map_err(|error| format!("the tables cannot be made: {error}"))
    }

    async fn finish(&self, databases: &Databases) -> Result<(), DbErr> {
        steward_migration::migrate_control(&databases.control).await?;
        steward_migration::migrate_ledger(&databases.ledger).await?;
        steward_migration::migrate_events(&databases.events).await
    }
}

/// Makes the tables of a month of kept conversations.
pub fn contents() -> Migrate {
    Arc::new(|connection| {
        async move { steward_migration::migrate_contents(&connection).await }.boxed()
    })
}

/// What backups are restored with, rehearsals in `data_dir`, which leave that much of its disk.
pub fn ground(data_dir: &Path, keep_free_bytes: u64) -> BackupGround {
    BackupGround {
        schema: Arc::new(Migrations),
        migrate_contents: contents(),
        data_dir: data_dir.to_path_buf(),
        keep_free_bytes,
    }
}
