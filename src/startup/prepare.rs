//! What has to stand before anything runs: the data directory and its lock, the databases at this version's
//! schema, the facts that are fixed at first start, and somebody who may sign in.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono_tz::Tz;
use futures_util::FutureExt;
use serde_json::json;
use steward_actors::contents::intake::Intake;
use steward_actors::contents::store::{ContentStore, Migrate, Place};
use steward_actors::domain::calendar;
use steward_actors::domain::clock::{Clock, SharedClock};
use steward_actors::domain::rid::Rid;
use steward_actors::domain::setting::{Defaults, InForce};
use steward_actors::ledger_store::rebuild::REBUILD;
use steward_actors::spool::{self, FsyncPolicy, Spool, SpoolConfig};
use steward_actors::tree::foundation::settings_keeper;
use steward_actors::tree::ledger::content_writer;
use steward_actors::vault::Vault;
use steward_entities::database::{
    self, CONTENTS_DIR, DatabaseConfig, Databases, NodeClaim, NodeTaken, begin_write,
    open_contents_schema,
};
use steward_entities::ledger::backfill;
use steward_entities::{audit, dashboard_stats, exchange_rate, instance, job};

use super::StartError;
use crate::config::Config;
use crate::features::operators::offline;
use crate::schema;

const CONTENTS_SPOOL_DIR: &str = "contents-spool";
/// The smallest there is: a conversation may be a megabyte, and a dropped segment is some dozens of them at least.
const CONTENTS_SEGMENT_BYTES: u64 = 8 << 20;
/// Conversations kept in memory until they are stored; more are read from disk again.
const CONTENTS_CACHED: usize = 64;
/// Row of `instance`.
const TIME_ZONE: &str = "time_zone";
const LOCK_FILE: &str = "steward.lock";
/// A server that accepts connections and says nothing must not hold up the start for ever.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const CLAIM_WITHIN: Duration = Duration::from_secs(5);
const CLAIM_AGAIN: Duration = Duration::from_millis(100);

pub(super) fn make_directory(dir: &Path) -> Result<(), StartError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|cause| StartError::DataDirectory {
            path: dir.to_owned(),
            cause,
        })
}

pub(super) fn lock_data_directory(dir: &Path) -> Result<File, StartError> {
    make_directory(dir)?;
    let unusable = |cause| StartError::DataDirectory {
        path: dir.to_owned(),
        cause,
    };
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK_FILE))
        .map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(dir.to_owned())),
        Err(TryLockError::Error(cause)) => Err(unusable(cause)),
    }
}

pub(super) async fn open_databases(config: &Config) -> Result<Databases, StartError> {
    let place = place_of(config);
    // Three databases are opened in it: on the heap, so that callers stay small.
    Ok(Box::pin(answered(Databases::open(&place))).await??)
}

/// Claims this process's node, so that no other Steward on the same database is the same one.
pub(super) async fn claim_node(config: &Config) -> Result<Option<NodeClaim>, StartError> {
    let (place, node) = (place_of(config), config.node.id);
    let began = Instant::now();
    loop {
        match answered(database::claim_node(&place, node)).await?? {
            Ok(claim) => return Ok(claim),
            // A process that was just killed: the server may not have noticed yet.
            Err(_) if began.elapsed() < CLAIM_WITHIN => tokio::time::sleep(CLAIM_AGAIN).await,
            Err(NodeTaken { session }) => {
                return Err(StartError::NodeTaken {
                    node,
                    session: session.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()),
                });
            }
        }
    }
}

async fn answered<T>(work: impl Future<Output = T>) -> Result<T, StartError> {
    tokio::time::timeout(ANSWER_WITHIN, work)
        .await
        .map_err(|_| StartError::DatabaseSilent)
}

fn place_of(config: &Config) -> DatabaseConfig {
    if config.database.url.is_empty() {
        DatabaseConfig::Sqlite {
            dir: config.data.dir.clone(),
        }
    } else {
        DatabaseConfig::Postgres {
            url: config.database.url.clone(),
        }
    }
}

/// Kept conversations: their spool, their months, and what lets them in.
pub(super) async fn open_contents(
    config: &Config,
    databases: &Databases,
    vault: &Arc<Vault>,
    clock: &SharedClock,
    in_force: &InForce,
) -> Result<(content_writer::Parts, Arc<Intake>), StartError> {
    let dir = &config.data.dir;
    let settings = &config.conversations;
    let (spool, _) = Spool::open(SpoolConfig {
        segment_bytes: CONTENTS_SEGMENT_BYTES,
        overflow: spool::Overflow::DropOldest,
        min_free_bytes: config.spool.min_free_bytes.saturating_mul(2),
        max_bytes: Some(settings.spool_max_bytes),
        cache_capacity: CONTENTS_CACHED,
        fsync: FsyncPolicy::Never,
        ..SpoolConfig::new(dir.join(CONTENTS_SPOOL_DIR), config.node.id)
    })?;
    let (place, migrate): (Place, Migrate) = if config.database.url.is_empty() {
        (Place::Files(dir.join(CONTENTS_DIR)), schema::contents())
    } else {
        let (write, read) = open_contents_schema(&config.database.url).await?;
        steward_migration::migrate_contents(&write).await?;
        (
            Place::Schema { write, read },
            Arc::new(|_| async { Ok(()) }.boxed()),
        )
    };
    let store = ContentStore::new(place, databases.control_read.clone(), migrate);
    let intake = Intake::new(
        Arc::clone(&spool),
        Arc::clone(vault),
        Arc::clone(in_force),
        settings.max_memory_bytes,
    );
    let parts = content_writer::Parts {
        spool,
        store,
        vault: Arc::clone(vault),
        clock: Arc::clone(clock),
        settings: Arc::clone(in_force),
    };
    Ok((parts, intake))
}

/// The zone in which days begin: fixed at first start, since every daily figure depends on it. Another one in the
/// configuration takes its place: everything counted by hours and days is counted anew from the log, which a job
/// follows. A start that dies in between does it again, under whichever zone is configured then.
pub(super) async fn settle_time_zone(
    databases: &Databases,
    configured: &str,
    claim: Option<&NodeClaim>,
    clock: &dyn Clock,
) -> Result<Tz, StartError> {
    let wanted = if configured.is_empty() {
        iana_time_zone::get_timezone().unwrap_or_default()
    } else {
        configured.to_owned()
    };
    let wanted: Tz = wanted.parse().unwrap_or(Tz::UTC);
    let txn = begin_write(&databases.control).await?;
    let fixed = instance::insert_if_absent(&txn, TIME_ZONE, wanted.name()).await?;
    txn.commit().await?;
    let fixed = fixed.parse().unwrap_or(Tz::UTC);
    if configured.is_empty() || fixed == wanted {
        return Ok(fixed);
    }
    let others = match claim {
        Some(claim) => claim.others().await?,
        None => Vec::new(),
    };
    if !others.is_empty() {
        tracing::warn!(
            in_force = fixed.name(),
            configured,
            nodes = ?others,
            "stats.time_zone is not changed while other nodes count by the old one; stop them, start one with the new \
             zone, then the others"
        );
        return Ok(fixed);
    }
    count_anew(databases, fixed, wanted, clock.now_micros()).await?;
    Ok(wanted)
}

async fn count_anew(
    databases: &Databases,
    from: Tz,
    to: Tz,
    now_micros: i64,
) -> Result<(), StartError> {
    tracing::warn!(
        from = from.name(),
        to = to.name(),
        "stats.time_zone has changed: hours and days are counted anew from the log"
    );
    let txn = begin_write(&databases.ledger).await?;
    let rest = backfill::begin_anew(&txn).await?;
    txn.commit().await?;
    let txn = begin_write(&databases.control).await?;
    instance::put(&txn, TIME_ZONE, to.name()).await?;
    // Days whose calls are gone cannot be counted again; they stay as they were.
    if rest.next > 0 {
        let oldest = Rid(rest.next).ms().saturating_mul(1_000);
        let first = [from, to].map(|zone| calendar::date_of(zone, oldest));
        let first = first[0].min(first[1]).to_string();
        dashboard_stats::delete_from(&txn, &first).await?;
    }
    let params = json!({"time_zone": to.name(), "from_rid": rest.next, "below_rid": rest.below});
    let row = job::insert(&txn, REBUILD, params, String::new(), now_micros).await?;
    let entry = audit::Entry {
        operator_id: None,
        operator_name: "configuration".to_owned(),
        action: REBUILD.to_owned(),
        target_type: "job".to_owned(),
        target_id: row.public_id,
        details: json!({"stats.time_zone": [from.name(), to.name()]}),
        ip: String::new(),
        request_id: String::new(),
    };
    audit::insert(&txn, entry, now_micros).await?;
    txn.commit().await?;
    Ok(())
}

/// Writes down the exchange rate in force: the configuration may have changed it while nothing ran.
pub(super) async fn note_exchange_rate(
    databases: &Databases,
    defaults: &Defaults,
    clock: &dyn Clock,
) -> Result<(), StartError> {
    let (settings, _) = settings_keeper::read(databases, defaults).await?;
    let txn = begin_write(&databases.control).await?;
    let rate = settings.rate.cny_per_usd_nano();
    exchange_rate::note(&txn, rate, clock.now_micros()).await?;
    txn.commit().await?;
    Ok(())
}

#[allow(
    clippy::print_stdout,
    reason = "the one time the generated password is shown"
)]
pub(super) async fn first_operator(
    databases: &Databases,
    clock: &dyn Clock,
) -> Result<(), StartError> {
    let chosen = std::env::var("STEWARD_ADMIN_PASSWORD").ok();
    let made = offline::ensure_first_operator(databases, chosen.as_deref(), clock).await?;
    if let Some(first) = made {
        println!(
            "\nFirst start: sign in as {} with the password {}",
            first.username,
            first.password.reveal()
        );
        println!(
            "It is shown this once. `steward user passwd {}` sets another.\n",
            first.username
        );
    }
    Ok(())
}
