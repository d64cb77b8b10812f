//! Puts right, at the start, what a node of the version before left out of the rollups of all calls
//! (`steward_entities::ledger::whole`). The last node to be upgraded starts last, so nothing stays out. A file has one
//! process, which is of one version: there a difference is a fault, and the nightly recount is to find it.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use steward_entities::database::{Databases, begin_write};
use steward_entities::ledger::rollup::TOTAL_DAILY;
use steward_entities::ledger::whole::{self, PAIRS};

use super::postgres::ROLLUPS_LOCK;

/// Versions run beside each other for an upgrade, not for longer.
pub const LOOKED_BACK_US: i64 = 35 * 24 * 3_600_000_000;

/// Makes the rollups of all calls whole from `since` on; the days that were not, rising.
///
/// # Errors
/// When the database cannot be read or written; what was put right before stays.
pub async fn make_whole(databases: &Databases, since: i64) -> Result<Vec<i64>, DbErr> {
    let mut days = Vec::new();
    if databases.ledger.get_database_backend() != DbBackend::Postgres {
        return Ok(days);
    }
    for pair in PAIRS {
        for (bucket, node) in whole::differing(&databases.ledger_read, pair, since).await? {
            let txn = begin_write(&databases.ledger).await?;
            // Whoever counts for this node holds it too.
            let lock = format!("SELECT pg_advisory_xact_lock({ROLLUPS_LOCK}, {node})");
            txn.execute_unprepared(&lock).await?;
            whole::count_anew(&txn, pair, bucket, node).await?;
            txn.commit().await?;
            if pair.0.name == TOTAL_DAILY.name {
                days.push(bucket);
            }
        }
    }
    days.dedup();
    if !days.is_empty() {
        tracing::info!(
            days = days.len(),
            "calls that a node of an earlier version counted by model are in the sums of all calls, too"
        );
    }
    Ok(days)
}
