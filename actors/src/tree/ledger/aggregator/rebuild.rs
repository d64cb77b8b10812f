//! Recent calls, read from the log by key.

use sea_orm::{DatabaseConnection, DbErr};
use steward_entities::ledger::recent::{self, RecentCall};

use crate::domain::rid::Rid;
use crate::domain::ring::{Call, KEPT_US, Ring};

/// Rows of one read.
const CHUNK: u64 = 2_000;
/// Keys tell when a call was accepted, windows when it ended: a call that took longer than this is told too late to
/// be found again after a restart.
const LONGEST_US: i64 = 3_600_000_000;

/// What the log says about the last two hours.
pub(super) struct Rebuilt {
    pub(super) ring: Ring,
    /// Rids that were read, rising.
    pub(super) seen: Vec<i64>,
    /// From when on the ring holds every call.
    pub(super) since: i64,
}

/// Reads it.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn rebuild(read: &DatabaseConnection, now_micros: i64) -> Result<Rebuilt, DbErr> {
    let since = now_micros - KEPT_US;
    let mut after = Rid::floor_of_ms((since - LONGEST_US).max(0) / 1_000).0 - 1;
    let mut rebuilt = Rebuilt {
        ring: Ring::default(),
        seen: Vec::new(),
        since,
    };
    loop {
        let rows = recent::after(read, after, CHUNK).await?;
        let full = rows.len() as u64 == CHUNK;
        if let Some(row) = rows.last() {
            after = row.rid;
        }
        rebuilt.seen.extend(rows.iter().map(|row| row.rid));
        rebuilt.ring.add(now_micros, rows.iter().map(call));
        if !full {
            return Ok(rebuilt);
        }
    }
}

fn call(row: &RecentCall) -> Call<'_> {
    Call {
        at: row.response_at,
        model: &row.model,
        account: &row.account,
        token: &row.token,
        tenant: &row.tenant,
        app: &row.app,
        fact: row.fact,
    }
}
