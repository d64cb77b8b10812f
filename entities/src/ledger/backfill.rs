//! The part of the log that the rollups do not have yet: all of it after a change of what they count by. The writer counts it
//! between batches.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::rollup::ROLLUPS;
use super::sql::Sql;

/// Figures of days that are derived from the rollups.
const DERIVED: [&str; 3] = [
    "user_activity_stats",
    "ai_request_stats",
    "conversation_daily",
];

/// Rids in `next..below` are still to be counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rest {
    pub next: i64,
    pub below: i64,
}

impl Rest {
    /// Everything is counted.
    pub fn is_done(self) -> bool {
        self.next >= self.below
    }
}

/// What is still to be counted.
///
/// # Errors
/// When the database cannot be read.
pub async fn rest<C: ConnectionTrait>(connection: &C) -> Result<Rest, DbErr> {
    let sql = Sql::new(
        connection.get_database_backend(),
        "SELECT next_rid, below_rid FROM rollup_backfill WHERE id = 1",
    );
    let Some(row) = connection.query_one_raw(sql.done()).await? else {
        return Ok(Rest::default());
    };
    Ok(Rest {
        next: row.try_get_by_index(0)?,
        below: row.try_get_by_index(1)?,
    })
}

/// Forgets every count, so that all of the log is counted anew. To be done before a writer starts: one that runs has
/// seen that nothing is left to count.
///
/// # Errors
/// When the database cannot be written.
pub async fn begin_anew(txn: &DatabaseTransaction) -> Result<Rest, DbErr> {
    let counted = ROLLUPS.iter().map(|table| table.name).chain(DERIVED);
    for table in counted {
        txn.execute_unprepared(&format!("DELETE FROM {table}"))
            .await?;
    }
    txn.execute_unprepared(
        "UPDATE rollup_backfill SET next_rid = (SELECT COALESCE(min(rid), 0) FROM request_logs), \
         below_rid = (SELECT COALESCE(max(rid) + 1, 0) FROM request_logs)",
    )
    .await?;
    rest(txn).await
}
