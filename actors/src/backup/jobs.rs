//! What operators and the clock ask for: to make a backup now, and to restore one somewhere and compare it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sea_orm::{ConnectionTrait, DbErr, Statement};
use serde_json::{Value, json};
use steward_entities::database::{DatabaseConfig, Databases, begin_write};
use steward_entities::{audit, backup, backup_plan, expiry};

use super::keep::{Policy, superfluous};
use super::restore::names;
use super::{
    Asked, BackupError, Manifest, NAME_PREFIX, Restored, Source, fill, make, open_place, prove,
    read_manifest, verify,
};
use crate::contents::store::{ContentStore, Migrate, Place};
use crate::depot::{self, Depot, DepotError};
use crate::domain::clock::SharedClock;
use crate::jobs::{JobContext, JobKind};
use crate::outward::Outward;

/// The job that makes a backup.
pub const BACKUP: &str = "backup.database";
/// The job that restores one somewhere and compares it.
pub const DRILL: &str = "backup.drill";
/// Where drills restore to, in the data directory. Removed before and after.
const SCRATCH: &str = "drill";

/// What both work with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub source: Source,
    pub outward: Arc<dyn Outward>,
    pub clock: SharedClock,
    pub zone: Tz,
    /// Holds the scratch directory of drills.
    pub data_dir: PathBuf,
    /// What a drill leaves of the disk: with less, the spool would take no records and the gateway no calls.
    pub keep_free_bytes: u64,
    /// Makes the tables of a month of kept conversations.
    pub migrate_contents: Migrate,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl Parts {
    async fn plan(&self) -> Result<(backup_plan::Model, Box<dyn Depot>), BackupError> {
        let plan = backup_plan::get(&self.source.databases.control_read).await?;
        let plan = plan
            .ok_or_else(|| BackupError::Refused("nobody has said where backups go".to_owned()))?;
        let place = open_place(&self.source.vault, &plan)?;
        let depot = depot::open(&place, Arc::clone(&self.outward), Arc::clone(&self.clock));
        Ok((plan, depot))
    }

    /// Does `work` where the databases' connections were opened.
    async fn at_home<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, BackupError>> + Send + 'static,
    ) -> Result<T, String> {
        let home = self.source.databases.clone();
        let done = home.at_home(async move { Ok::<_, DbErr>(work.await) });
        let done = done.await.map_err(|error| error.to_string())?;
        done.map_err(|error| error.to_string())
    }
}

/// The job [`BACKUP`].
pub struct MakeBackup(pub Parts);

#[async_trait::async_trait]
impl JobKind for MakeBackup {
    fn kind(&self) -> &str {
        BACKUP
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let parts = self.0.clone();
        let work = async move { back_up(&parts, &context).await };
        self.0.at_home(Box::pin(work)).await
    }
}

async fn back_up(parts: &Parts, context: &JobContext) -> Result<Value, BackupError> {
    let (plan, depot) = parts.plan().await?;
    let databases = &parts.source.databases;
    let now = parts.clock.now_micros();
    sweep(parts, depot.as_ref(), &plan.shown).await?;
    let at = DateTime::<Utc>::from_timestamp_micros(now).unwrap_or_default();
    let name = format!(
        "{NAME_PREFIX}{}-{:08x}",
        at.format("%Y%m%dT%H%M%SZ"),
        rand::random::<u32>()
    );
    let txn = begin_write(&databases.control).await?;
    let row = backup::begin(
        &txn,
        name.clone(),
        plan.shown.clone(),
        context.job_id.clone(),
        now,
    )
    .await?;
    txn.commit().await?;
    let asked = Asked {
        name: &name,
        at_micros: now,
        progress: &|per_cent| context.progress(per_cent),
        is_cancelled: &|| context.is_cancelled(),
    };
    let made = make(&parts.source, depot.as_ref(), &asked).await;
    let now = parts.clock.now_micros();
    let txn = begin_write(&databases.control).await?;
    let manifest = match made {
        Ok(manifest) => manifest,
        Err(error) => {
            backup::fail(&txn, row.id, &error.to_string(), now).await?;
            txn.commit().await?;
            tracing::error!(%error, "a backup was not made");
            // Best effort: the next backup sweeps what is left.
            let _ = drop_files(depot.as_ref(), &name).await;
            return Err(error);
        }
    };
    backup::complete(&txn, row.id, sums(&manifest), now).await?;
    txn.commit().await?;
    let removed = make_room(parts, depot.as_ref(), &plan).await?;
    if plan.drill {
        // Its outcome is told with the backup; that the backup is there does not depend on it.
        let _ = drill(parts, &row, depot.as_ref()).await;
    }
    Ok(json!({
        "backup": row.public_id,
        "name": name,
        "bytes": manifest.bytes(),
        "rows": manifest.rows(),
        "removed": removed,
    }))
}

/// Bytes, rows and parts.
fn sums(manifest: &Manifest) -> (i64, i64, i64) {
    let many = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let parts = manifest.parts.values().map(Vec::len).sum::<usize>() as u64;
    (many(manifest.bytes()), many(manifest.rows()), many(parts))
}

/// What earlier attempts left: a process that was killed could not say what became of its backup. One that has its manifest
/// is whole, and stays: in a restored copy it is the very backup that the copy was made from, which was under way when it
/// read these tables.
async fn sweep(parts: &Parts, depot: &dyn Depot, place: &str) -> Result<(), BackupError> {
    let control = &parts.source.databases.control;
    for row in backup::in_state(control, backup::RUNNING, place).await? {
        let found = read_manifest(depot, &parts.source.vault, &row.name).await;
        match &found {
            Err(BackupError::Depot(DepotError::Missing(_))) => drop_files(depot, &row.name).await?,
            Err(BackupError::Depot(_)) => return found.map(drop),
            // There is one, if under other keys: it is not for us to remove.
            Ok(_) | Err(_) => {}
        }
        let txn = begin_write(control).await?;
        let now = parts.clock.now_micros();
        match found {
            Ok(manifest) => backup::complete(&txn, row.id, sums(&manifest), now).await?,
            Err(BackupError::Depot(_)) => {
                backup::fail(&txn, row.id, "it was interrupted", now).await?;
            }
            Err(error) => backup::fail(&txn, row.id, &error.to_string(), now).await?,
        }
        txn.commit().await?;
    }
    Ok(())
}

/// Removes backups that the plan does not keep; how many.
async fn make_room(
    parts: &Parts,
    depot: &dyn Depot,
    plan: &backup_plan::Model,
) -> Result<usize, BackupError> {
    let control = &parts.source.databases.control;
    let rows = backup::in_state(control, backup::COMPLETE, &plan.shown).await?;
    let many = |number: i64| usize::try_from(number).unwrap_or_default();
    let policy = Policy {
        last: many(plan.keep_last),
        daily: many(plan.keep_daily),
        weekly: many(plan.keep_weekly),
        monthly: many(plan.keep_monthly),
    };
    let times: Vec<(i64, i64)> = rows.iter().map(|row| (row.id, row.started_at)).collect();
    let proven = rows.iter().find(|row| row.drill_works == Some(true));
    let gone = superfluous(&times, proven.map(|row| row.id), policy, parts.zone);
    for row in rows.iter().filter(|row| gone.contains(&row.id)) {
        drop_files(depot, &row.name).await?;
        let txn = begin_write(control).await?;
        let now = parts.clock.now_micros();
        backup::removed(&txn, row.id, now).await?;
        let entry = audit::Entry {
            operator_id: None,
            operator_name: "database_backup".to_owned(),
            action: "backups.remove".to_owned(),
            target_type: "backup".to_owned(),
            target_id: row.public_id.clone(),
            details: json!({ "name": row.name }),
            ip: String::new(),
            request_id: String::new(),
        };
        audit::insert(&txn, entry, now).await?;
        txn.commit().await?;
    }
    Ok(gone.len())
}

/// Removes a backup's files, the manifest first: what has none is no backup.
async fn drop_files(depot: &dyn Depot, name: &str) -> Result<(), BackupError> {
    depot.remove(&format!("{name}/{}", super::MANIFEST)).await?;
    for file in depot.list(&format!("{name}/")).await? {
        depot.remove(&file.name).await?;
    }
    Ok(())
}

/// Removes all backups of a place but the newest `many`, and what an interrupted one left. For places that no plan looks
/// after.
///
/// # Errors
/// The place fails.
pub async fn keep_newest(depot: &dyn Depot, many: usize) -> Result<(), BackupError> {
    let whole = names(depot).await?;
    let kept = &whole[whole.len().saturating_sub(many)..];
    let files = depot.list(NAME_PREFIX).await?;
    let folders = files.iter().filter_map(|file| file.name.split_once('/'));
    let found: BTreeSet<&str> = folders.map(|(name, _)| name).collect();
    for name in found {
        if !kept.iter().any(|kept| kept == name) {
            drop_files(depot, name).await?;
        }
    }
    Ok(())
}

/// The job [`DRILL`]: of the newest backup, or of the one that `backup` of its params names.
pub struct Drill(pub Parts);

#[async_trait::async_trait]
impl JobKind for Drill {
    fn kind(&self) -> &str {
        DRILL
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let parts = self.0.clone();
        let work = async move {
            let read = &parts.source.databases.control_read;
            let row = match context.params.get("backup").and_then(Value::as_str) {
                Some(id) => backup::by_public_id(read, id).await?,
                None => backup::newest(read).await?,
            };
            let row = row.filter(|row| row.state == backup::COMPLETE);
            let row =
                row.ok_or_else(|| BackupError::Refused("there is no such backup".to_owned()))?;
            let (plan, depot) = parts.plan().await?;
            if plan.shown != row.place {
                return Err(BackupError::Refused(format!(
                    "the backup lies at {}, which is no longer the place of backups",
                    row.place
                )));
            }
            let (manifest, restored) = drill(&parts, &row, depot.as_ref()).await?;
            Ok(json!({
                "backup": row.public_id,
                "name": manifest.name,
                "tables": restored.tables,
                "rows": restored.rows,
                "contents": restored.contents,
            }))
        };
        self.0.at_home(Box::pin(work)).await
    }
}

/// Restores a backup somewhere, compares it, removes what was restored, and notes what it came to.
///
/// # Errors
/// See [`BackupError`]; noted as well.
pub async fn drill(
    parts: &Parts,
    row: &backup::Model,
    depot: &dyn Depot,
) -> Result<(Manifest, Restored), BackupError> {
    let begun = Instant::now();
    let scratch = parts.data_dir.join(SCRATCH);
    let _ = std::fs::remove_dir_all(&scratch);
    let done = rehearse(parts, &row.name, depot, &scratch).await;
    let _ = std::fs::remove_dir_all(&scratch);
    let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    let error = done.as_ref().err().map(ToString::to_string);
    match &error {
        None => tracing::info!(
            backup = row.name,
            took_ms,
            "a backup was restored and is all there"
        ),
        Some(error) => tracing::error!(backup = row.name, error, "a backup does not restore"),
    }
    let txn = begin_write(&parts.source.databases.control).await?;
    let now = parts.clock.now_micros();
    backup::drilled(&txn, row.id, error.as_deref(), took_ms, now).await?;
    txn.commit().await?;
    done
}

async fn rehearse(
    parts: &Parts,
    name: &str,
    depot: &dyn Depot,
    scratch: &Path,
) -> Result<(Manifest, Restored), BackupError> {
    let vault = &parts.source.vault;
    let manifest = read_manifest(depot, vault, name).await?;
    leave_room(parts, &manifest).await?;
    verify(depot, vault, &manifest).await?;
    let unusable =
        |error: std::io::Error| BackupError::Refused(format!("no place to restore to: {error}"));
    make_private(scratch).map_err(unusable)?;
    let config = DatabaseConfig::Sqlite {
        dir: scratch.to_path_buf(),
    };
    let databases = Box::pin(Databases::open(&config)).await?;
    let contents = ContentStore::new(
        Place::Files(scratch.join("contents")),
        databases.control_read.clone(),
        Arc::clone(&parts.migrate_contents),
    );
    let done = async {
        let schema = parts.source.schema.as_ref();
        let expected = fill(depot, vault, &manifest, (&databases, &contents), schema).await?;
        let restored = prove(&expected, &databases, &contents).await?;
        for connection in [&databases.control, &databases.ledger, &databases.events] {
            sound(connection).await?;
        }
        // That this release can go on with it.
        schema.finish(&databases).await?;
        Ok::<_, BackupError>(restored)
    };
    let done = done.await;
    contents.close().await;
    databases.close().await;
    Ok((manifest, done?))
}

/// Refuses a drill that could fill the disk that the gateway's records go to.
async fn leave_room(parts: &Parts, manifest: &Manifest) -> Result<(), BackupError> {
    let databases = &parts.source.databases;
    let kept = parts.source.contents.totals().await?.stored_bytes;
    let mut stored = u64::try_from(kept).unwrap_or_default();
    for read in [
        &databases.control_read,
        &databases.ledger_read,
        &databases.events_read,
    ] {
        stored = stored.saturating_add(expiry::stored_bytes(read).await?);
    }
    let needed = room_for(stored, manifest.bytes());
    let stat = rustix::fs::statvfs(&parts.data_dir)
        .map_err(|error| BackupError::Refused(format!("the disk cannot be asked: {error}")))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free.saturating_sub(parts.keep_free_bytes) >= needed {
        return Ok(());
    }
    Err(BackupError::Refused(format!(
        "there is no room to restore it here: that takes about {} MiB, {} MiB are free and {} MiB of them have to stay free \
         for the gateway's records; make room, or restore it on another machine with `steward restore`",
        needed >> 20,
        free >> 20,
        parts.keep_free_bytes >> 20,
    )))
}

/// What restoring may take of the disk: the databases as they are now, or the backup when it is larger, and as much again,
/// since what one transaction writes stands in a log before it stands in its file.
fn room_for(stored: u64, backup: u64) -> u64 {
    stored.max(backup).saturating_mul(2)
}

/// That SQLite itself finds nothing wrong with a file.
async fn sound(connection: &sea_orm::DatabaseConnection) -> Result<(), BackupError> {
    let backend = connection.get_database_backend();
    let checked = Statement::from_string(backend, "PRAGMA integrity_check");
    let row = connection.query_one_raw(checked).await?;
    let said = row.map_or(Ok(String::new()), |row| row.try_get_by_index::<String>(0))?;
    if said != "ok" {
        return Err(BackupError::Differs(format!(
            "the file is not sound: {said}"
        )));
    }
    let checked = Statement::from_string(backend, "PRAGMA foreign_key_check");
    match connection.query_one_raw(checked).await? {
        None => Ok(()),
        Some(row) => {
            let table: String = row.try_get_by_index(0)?;
            Err(BackupError::Differs(format!(
                "a row of {table} refers to one that is not there"
            )))
        }
    }
}

fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}
