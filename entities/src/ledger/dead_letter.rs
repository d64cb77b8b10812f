//! Records the request log would not take. Their payloads are not shown: they may hold what made them fail.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql::Sql;

/// One dead letter.
#[derive(Clone, Debug, FromQueryResult, PartialEq, Eq)]
pub struct DeadLetterRow {
    pub id: i64,
    /// Whose spool it came from.
    pub node: i32,
    /// Its sequence number there.
    pub seq: i64,
    /// `None`: the payload could not be read.
    pub rid: Option<i64>,
    pub reason: String,
    /// Microseconds since the Unix epoch.
    pub created_at: i64,
    /// Microseconds since the Unix epoch; when a replay put it on the books.
    pub replayed_at: Option<i64>,
}

/// Newest first, with ids below `before`, at most `limit`.
///
/// # Errors
/// When the database cannot be read.
pub async fn list<C: ConnectionTrait>(
    connection: &C,
    before: Option<i64>,
    limit: u64,
) -> Result<Vec<DeadLetterRow>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT id, node, seq, rid, reason, created_at, replayed_at FROM dead_letters WHERE id < ",
    );
    sql.bind(before.unwrap_or(i64::MAX));
    sql.push(" ORDER BY id DESC LIMIT ")
        .bind(limit.min(1_000) as i64);
    DeadLetterRow::find_by_statement(sql.done())
        .all(connection)
        .await
}

/// How many wait for a replay.
///
/// # Errors
/// When the database cannot be read.
pub async fn waiting<C: ConnectionTrait>(connection: &C) -> Result<u64, DbErr> {
    #[derive(FromQueryResult)]
    struct Waiting {
        waiting: i64,
    }
    let sql = Sql::new(
        connection.get_database_backend(),
        "SELECT count(*) AS waiting FROM dead_letters WHERE replayed_at IS NULL",
    );
    let row = Waiting::find_by_statement(sql.done())
        .one(connection)
        .await?;
    Ok(row.map_or(0, |row| row.waiting.unsigned_abs()))
}
