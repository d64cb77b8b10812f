//! `steward restore`: a backup into an empty data directory, or an empty PostgreSQL database.
//!
//! Every byte of the backup is read and proven before anything is touched, and what was restored is compared with it before
//! it is taken for good. A restore that was killed leaves a mark (a directory, on PostgreSQL a schema): the next one throws
//! away what it left and begins again, and `steward serve` refuses until then. On SQLite everything is made beside its
//! place and moved there at the end, `steward.db` last; once moving has begun, the next call only goes on moving.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sea_orm::{ConnectionTrait, Database, DatabaseBackend, DbErr, Statement};
use steward_actors::backup::{
    BackupError, Manifest, Restored, Schema, fill, newest, prove, read_manifest, verify,
};
use steward_actors::contents::store::{ContentStore, Place};
use steward_actors::depot::{self, Bucket, Depot};
use steward_actors::domain::clock::{Clock, SystemClock};
use steward_actors::vault::{KEY_FILE, Vault};
use steward_entities::database::{
    CONTENTS_DIR, CONTENTS_SCHEMA, CONTROL_FILE, CONTROL_SCHEMA, DatabaseConfig, DatabaseKind,
    Databases, EVENTS_FILE, EVENTS_SCHEMA, LEDGER_FILE, LEDGER_SCHEMA, begin_write,
    open_contents_schema,
};
use steward_entities::{backup, backup_plan, job, outbox, remote_backup};

use super::prepare::{lock_data_directory, make_directory, open_databases};
use super::{StartError, outgoing};
use crate::config::Config;
use crate::schema::{self, Migrations};

/// In the data directory, while a restore is under way.
const RESTORING: &str = "restoring";
/// What is left of that directory, for as long as removing it takes. Renamed first: killed between a file and its directory
/// the restore would be done, and neither its mark nor its end be seen.
const RESTORED: &str = "restored";
/// In there, once everything is there and only has to be moved.
const WHOLE: &str = "whole";
/// On PostgreSQL, while a restore is under way.
const MARK: &str = "steward_restore";
/// Why a job of the copy has ended.
const INTERRUPTED: &str = "interrupted by a restore";
/// Moved in this order: without the last there is no installation.
const FILES: [&str; 5] = [
    CONTENTS_DIR,
    EVENTS_FILE,
    LEDGER_FILE,
    KEY_FILE,
    CONTROL_FILE,
];
const SCHEMAS: [&str; 4] = [
    CONTROL_SCHEMA,
    LEDGER_SCHEMA,
    EVENTS_SCHEMA,
    CONTENTS_SCHEMA,
];

/// Where a backup is restored from.
#[derive(Clone, Debug, Default)]
pub struct RestoreFrom {
    /// A folder, or `s3://bucket/prefix`.
    pub place: String,
    /// Of a bucket.
    pub endpoint: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    /// The backup's name; the newest unless given.
    pub backup: Option<String>,
    /// The copy of the key file that the operator keeps; not needed when the data directory has it.
    pub key_file: Option<PathBuf>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(
        "the data directory {0} is not empty; restore into an empty one, or move what is there away"
    )]
    DirectoryInUse(PathBuf),
    #[error("the database is not empty; restore into an empty one")]
    DatabaseInUse,
    #[error(
        "a backup opens only with the key file it was made with: give your copy of it with --key-file FILE"
    )]
    KeyMissing,
    #[error(
        "{0} is another key file than the one given; move it away, what it opens is not known here"
    )]
    KeyDiffers(PathBuf),
    #[error("{path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error("nothing was restored: {0}")]
    Backup(#[from] BackupError),
    #[error(
        "a restore into this place was interrupted; run `steward restore` again, it begins anew"
    )]
    Unfinished,
    #[error("a bucket needs --endpoint, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    BucketIncomplete,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> RestoreError {
    move |cause| RestoreError::Io {
        path: path.to_owned(),
        cause,
    }
}

/// What is restored, and what it came to; `None`: what an interrupted restore had made ready was moved to its place.
pub type Done = Option<(Manifest, Restored)>;

/// Restores. `say` hears of every step.
///
/// # Errors
/// See [`RestoreError`].
pub async fn restore(
    config: &Config,
    from: &RestoreFrom,
    say: impl Fn(&str),
) -> Result<Done, StartError> {
    let dir = &config.data.dir;
    let _lock = lock_data_directory(dir)?;
    let restoring = dir.join(RESTORING);
    if restoring.join(WHOLE).exists() {
        if !config.database.url.is_empty() {
            unmark(&config.database.url).await?;
        }
        move_in(dir)?;
        return Ok(None);
    }
    refuse_used(config).await?;
    if restoring.exists() {
        say("throwing away what an interrupted restore left");
        std::fs::remove_dir_all(&restoring).map_err(failed(&restoring))?;
    }
    make_directory(&restoring)?;
    let outcome = restored(config, from, &restoring, &say).await;
    if outcome.is_err() && !restoring.join(WHOLE).exists() {
        // What was made so far is of no use; in the data directory everything is as it was.
        let _ = std::fs::remove_dir_all(&restoring);
    }
    outcome.map(Some)
}

async fn restored(
    config: &Config,
    from: &RestoreFrom,
    restoring: &Path,
    say: &impl Fn(&str),
) -> Result<(Manifest, Restored), StartError> {
    let dir = &config.data.dir;
    let vault = keys(dir, restoring, from)?;
    let depot = opened(config, from)?;
    let name = match &from.backup {
        Some(name) => name.clone(),
        None => newest(depot.as_ref()).await.map_err(RestoreError::from)?,
    };
    let manifest = read_manifest(depot.as_ref(), &vault, &name);
    let manifest = manifest.await.map_err(RestoreError::from)?;
    say(&format!(
        "{name}: {} rows in {} MiB; reading all of it",
        manifest.rows(),
        manifest.bytes() >> 20
    ));
    let proven = verify(depot.as_ref(), &vault, &manifest).await;
    proven.map_err(RestoreError::from)?;
    say("the backup is whole; restoring");
    let is_sqlite = config.database.url.is_empty();
    let databases = match is_sqlite {
        true => {
            let place = DatabaseConfig::Sqlite {
                dir: restoring.to_path_buf(),
            };
            Box::pin(Databases::open(&place)).await?
        }
        false => {
            begin_postgres(&config.database.url).await?;
            open_databases(config).await?
        }
    };
    let place = match is_sqlite {
        true => Place::Files(restoring.join(CONTENTS_DIR)),
        false => {
            let (write, read) = open_contents_schema(&config.database.url).await?;
            steward_migration::migrate_contents(&write).await?;
            Place::Schema { write, read }
        }
    };
    let contents = ContentStore::new(place, databases.control_read.clone(), schema::contents());
    let filled = async {
        let ground = (&databases, contents.as_ref());
        let expected = fill(depot.as_ref(), &vault, &manifest, ground, &Migrations).await?;
        say("comparing what was restored with the backup");
        let restored = prove(&expected, &databases, &contents).await?;
        Migrations.finish(&databases).await?;
        let rested = put_to_rest(&databases, &manifest).await?;
        Ok::<_, BackupError>((restored, rested))
    };
    let filled = filled.await.map_err(RestoreError::from);
    contents.close().await;
    databases.close().await;
    let (restored, rested) = filled?;
    for sentence in rested {
        say(&sentence);
    }
    let whole = restoring.join(WHOLE);
    std::fs::File::create(&whole)
        .and_then(|file| file.sync_all())
        .map_err(failed(&whole))?;
    if !is_sqlite {
        unmark(&config.database.url).await?;
    }
    move_in(dir)?;
    Ok((manifest, restored))
}

/// A copy does nothing by itself that the original may be doing still, in the same places: what was under way when the backup
/// was made has ended, notices that waited are not sent twice, and backups and the push of statistics wait for an operator. What was done, in sentences.
async fn put_to_rest(databases: &Databases, manifest: &Manifest) -> Result<Vec<String>, DbErr> {
    let now = SystemClock.now_micros();
    let txn = begin_write(&databases.control).await?;
    let jobs = job::end_all(&txn, INTERRUPTED, now).await?;
    for row in backup::running(&txn).await? {
        if row.name == manifest.name {
            let many = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            let parts = manifest.parts.values().map(Vec::len).sum::<usize>() as u64;
            let sums = (many(manifest.bytes()), many(manifest.rows()), many(parts));
            backup::complete(&txn, row.id, sums, now).await?;
        } else {
            backup::fail(&txn, row.id, INTERRUPTED, now).await?;
        }
    }
    let notices = outbox::give_up_all(&txn, INTERRUPTED, now).await?;
    let plan = backup_plan::disable(&txn, now).await?;
    let remote = remote_backup::disable(&txn, now).await?;
    txn.commit().await?;
    let mut told = Vec::new();
    if jobs > 0 {
        told.push(format!("ended {jobs} jobs that were waiting or under way"));
    }
    if notices > 0 {
        told.push(format!(
            "gave up {notices} notices that waited to be sent: the original has sent them, or will"
        ));
    }
    if plan {
        told.push(
            "no backups are made from here until you enable the plan: give it another place, where the original still runs"
                .to_owned(),
        );
    }
    if remote {
        told.push("statistics are not pushed from here until you enable that".to_owned());
    }
    Ok(told)
}

/// The key file: the data directory's, or the operator's copy, which will become it.
fn keys(dir: &Path, restoring: &Path, from: &RestoreFrom) -> Result<Vault, StartError> {
    let own = dir.join(KEY_FILE);
    let source = match &from.key_file {
        Some(copy) if own.exists() && std::fs::read(&own).ok() != std::fs::read(copy).ok() => {
            return Err(RestoreError::KeyDiffers(own).into());
        }
        Some(copy) => copy.clone(),
        None if own.exists() => own,
        None => return Err(RestoreError::KeyMissing.into()),
    };
    let to = restoring.join(KEY_FILE);
    let copied = || -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let content = std::fs::read(&source)?;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&to)?;
        io::Write::write_all(&mut file, &content)?;
        file.sync_all()
    };
    copied().map_err(failed(&source))?;
    Ok(Vault::open(restoring)?)
}

fn opened(config: &Config, from: &RestoreFrom) -> Result<Box<dyn Depot>, StartError> {
    let place = match from.place.strip_prefix("s3://") {
        None => depot::Place::Folder {
            path: PathBuf::from(&from.place),
        },
        Some(rest) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_matches('/');
            let given = [&from.endpoint, &from.access_key, &from.secret_key];
            if given.iter().any(|text| text.is_empty()) || bucket.is_empty() {
                return Err(RestoreError::BucketIncomplete.into());
            }
            depot::Place::Bucket(Bucket {
                endpoint: from.endpoint.clone(),
                region: from.region.clone(),
                bucket: bucket.to_owned(),
                prefix: match prefix {
                    "" => String::new(),
                    prefix => format!("{prefix}/"),
                },
                access_key: from.access_key.clone(),
                secret_key: from.secret_key.clone(),
            })
        }
    };
    // Whoever types this has the machine already.
    let mut config = config.clone();
    config.egress.allow_private = true;
    Ok(depot::open(
        &place,
        outgoing(&config)?,
        Arc::new(SystemClock),
    ))
}

async fn refuse_used(config: &Config) -> Result<(), StartError> {
    let dir = &config.data.dir;
    if config.database.url.is_empty() {
        let used = FILES
            .iter()
            .any(|file| *file != KEY_FILE && dir.join(file).exists());
        return match used {
            true => Err(RestoreError::DirectoryInUse(dir.clone()).into()),
            false => Ok(()),
        };
    }
    match used_schemas(&config.database.url).await? {
        (true, _) | (false, false) => Ok(()),
        (false, true) => Err(RestoreError::DatabaseInUse.into()),
    }
}

/// Whether a restore has left its mark, and whether there is anything of ours.
async fn used_schemas(url: &str) -> Result<(bool, bool), DbErr> {
    let connection = Database::connect(url.replacen("postgresql://", "postgres://", 1)).await?;
    let asked = Statement::from_string(
        DatabaseBackend::Postgres,
        "SELECT nspname::text AS name FROM pg_namespace",
    );
    let rows = connection.query_all_raw(asked).await?;
    let names: Vec<String> = rows
        .iter()
        .map(|row| row.try_get("", "name"))
        .collect::<Result<_, _>>()?;
    connection.close().await?;
    let has = |name: &str| names.iter().any(|known| known == name);
    Ok((has(MARK), SCHEMAS.iter().any(|schema| has(schema))))
}

/// Leaves the mark, and throws away what a restore with the same mark left.
async fn begin_postgres(url: &str) -> Result<(), DbErr> {
    let drops: String = SCHEMAS
        .iter()
        .map(|schema| format!("DROP SCHEMA IF EXISTS {schema} CASCADE; "))
        .collect();
    on_postgres(url, &format!("CREATE SCHEMA IF NOT EXISTS {MARK}; {drops}")).await
}

async fn unmark(url: &str) -> Result<(), DbErr> {
    on_postgres(url, &format!("DROP SCHEMA IF EXISTS {MARK}")).await
}

async fn on_postgres(url: &str, sql: &str) -> Result<(), DbErr> {
    let connection = Database::connect(url.replacen("postgresql://", "postgres://", 1)).await?;
    connection.execute_unprepared(sql).await?;
    connection.close().await
}

/// Moves everything to its place; may be repeated.
fn move_in(dir: &Path) -> Result<(), RestoreError> {
    let restoring = dir.join(RESTORING);
    for file in FILES {
        let from = restoring.join(file);
        if from.exists() {
            std::fs::rename(&from, dir.join(file)).map_err(failed(&from))?;
        }
    }
    sweep(dir)?;
    let restored = dir.join(RESTORED);
    std::fs::rename(&restoring, &restored).map_err(failed(&restoring))?;
    std::fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed(dir))?;
    sweep(dir)
}

/// Removes what is left of a restore that is done.
fn sweep(dir: &Path) -> Result<(), RestoreError> {
    let restored = dir.join(RESTORED);
    match std::fs::remove_dir_all(&restored) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed(&restored)(cause)),
        _ => Ok(()),
    }
}

/// Refuses a data directory that a restore was interrupted in; what one that is done left there goes.
pub(super) fn refuse_unfinished_directory(dir: &Path) -> Result<(), RestoreError> {
    match dir.join(RESTORING).exists() {
        true => Err(RestoreError::Unfinished),
        false => sweep(dir),
    }
}

/// Refuses a PostgreSQL database that a restore was interrupted in.
pub(super) async fn refuse_unfinished(databases: &Databases) -> Result<(), StartError> {
    if databases.kind == DatabaseKind::Sqlite {
        return Ok(());
    }
    let asked = Statement::from_sql_and_values(
        DatabaseBackend::Postgres,
        "SELECT 1 AS one FROM pg_namespace WHERE nspname = $1",
        [MARK.into()],
    );
    match databases.control_read.query_one_raw(asked).await? {
        Some(_) => Err(RestoreError::Unfinished.into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use steward_actors::backup::Applied;
    use steward_entities::channel;
    use steward_migration::testing::TestDatabase;

    use super::*;

    #[actix_web::test]
    async fn a_notice_that_waited_is_not_sent_twice() {
        put_to_rest_on(TestDatabase::sqlite().await).await;
    }

    #[actix_web::test]
    async fn a_notice_that_waited_is_not_sent_twice_postgres() {
        put_to_rest_on(TestDatabase::postgres().await).await;
    }

    async fn put_to_rest_on(database: TestDatabase) {
        let txn = begin_write(&database.control).await.unwrap();
        let channel = channel::NewChannel {
            public_id: "chn_1".to_owned(),
            name: "hook".to_owned(),
            kind: "webhook".to_owned(),
            shown: String::new(),
            recipients: Vec::new(),
            sealed: Vec::new(),
            sealed_key_id: String::new(),
            takes_all: true,
            enabled: true,
            created_by: String::new(),
        };
        let channel = channel::insert(&txn, channel, 1).await.unwrap();
        let notice = |transition_id| outbox::NewNotice {
            transition_id,
            channel_id: channel.id,
            incident: "inc_1".to_owned(),
            notice: "{}".to_owned(),
        };
        let sent = outbox::insert(&txn, notice(1), 1).await.unwrap();
        outbox::finish(&txn, &[sent.id], outbox::DELIVERED, None, 2)
            .await
            .unwrap();
        outbox::insert(&txn, notice(2), 3).await.unwrap();
        txn.commit().await.unwrap();
        let manifest = Manifest {
            format: 1,
            name: "backup".to_owned(),
            made_at: 4,
            release: String::new(),
            database: "sqlite".to_owned(),
            key_id: String::new(),
            applied: Applied::default(),
            tables: Vec::new(),
            parts: BTreeMap::new(),
        };
        let told = put_to_rest(&database, &manifest).await.unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("gave up 1 notices"), "{told:?}");
        let rows = outbox::of_channel(&database.control_read, channel.id, 10).await;
        let states: Vec<_> = rows
            .unwrap()
            .into_iter()
            .map(|row| (row.state, row.reason))
            .collect();
        let given_up = (outbox::GIVEN_UP.to_owned(), Some(INTERRUPTED.to_owned()));
        let delivered = (outbox::DELIVERED.to_owned(), None);
        assert_eq!(states, [given_up, delivered]);
        assert_eq!(outbox::count_waiting(&database.control_read).await, Ok(0));
        let again = put_to_rest(&database, &manifest).await.unwrap();
        assert!(again.is_empty(), "{again:?}");
    }

    /// A restore's last steps, killed after any of them: the next call, or the next start, goes on.
    #[test]
    fn moving_goes_on_wherever_it_was_killed() {
        for killed_after in 0..=FILES.len() + 2 {
            let home = tempfile::tempdir().unwrap();
            let dir = home.path();
            let (restoring, restored) = (dir.join(RESTORING), dir.join(RESTORED));
            std::fs::create_dir(&restoring).unwrap();
            std::fs::write(restoring.join(WHOLE), "").unwrap();
            for (step, file) in FILES.iter().enumerate() {
                let place = if step < killed_after { dir } else { &restoring };
                std::fs::write(place.join(file), file).unwrap();
            }
            if killed_after > FILES.len() {
                std::fs::rename(&restoring, &restored).unwrap();
            }
            if killed_after > FILES.len() + 1 {
                std::fs::remove_file(restored.join(WHOLE)).unwrap();
            }
            if restoring.exists() {
                assert!(refuse_unfinished_directory(dir).is_err());
                move_in(dir).unwrap();
            }
            refuse_unfinished_directory(dir).unwrap();
            let mut left: Vec<_> = std::fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let mut wanted = FILES.map(str::to_owned).to_vec();
            left.sort();
            wanted.sort();
            assert_eq!(left, wanted, "killed after step {killed_after}");
        }
    }
}
