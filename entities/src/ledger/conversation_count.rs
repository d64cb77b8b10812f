//! How many conversations calls make up: distinct ones where calls carry an id, and each call by itself where none does.
//!
//! A conversation is somebody talking to a model. Embeddings, counted tokens and queries to a vector store are no such
//! thing: a chat that is given knowledge makes one or two of them on the way.
//!
//! Counted from the log, newest first, and bounded: nothing keeps which ids were seen. What a whole day came to is derived
//! once in a while and kept ([`put_day`]); a conversation that goes on over midnight is one of either day. A call belongs
//! to the day it was accepted on.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult};

use super::sql::Sql;

/// Newest calls of a stretch that are looked at.
pub const CALLS_LOOKED_AT: i64 = 500_000;

/// Whether a row of the log is part of a conversation: 4, 6 and 7 are embeddings, counted tokens and queries to a vector
/// store.
const IS_TALK: &str = "operation NOT IN (4, 6, 7)";

/// What was counted.
#[derive(Clone, Copy, Debug, Default, Eq, FromQueryResult, PartialEq)]
pub struct ConversationCount {
    /// Calls looked at, of whatever kind; [`CALLS_LOOKED_AT`] when there may be more.
    pub calls: i64,
    /// Those of a conversation that carry no id.
    pub without_id: i64,
    /// Distinct conversations of the others. The same id in two tenants is two conversations.
    pub with_id: i64,
}

/// Counts the calls with record ids in `rids`, of one tenant (by its control-plane id) or of all.
///
/// # Errors
/// When the database cannot be read.
pub async fn count<C: ConnectionTrait>(
    connection: &C,
    rids: std::ops::Range<i64>,
    tenant: Option<i64>,
) -> Result<ConversationCount, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "WITH looked AS (SELECT tenant_id, NULLIF(conversation_id, '') AS id, (",
    );
    sql.push(IS_TALK)
        .push(") AS is_talk FROM request_logs WHERE rid >= ");
    sql.bind(rids.start).push(" AND rid < ").bind(rids.end);
    if let Some(tenant) = tenant {
        sql.push(" AND tenant_id = ").bind(tenant);
    }
    sql.push(" ORDER BY rid DESC LIMIT ").bind(CALLS_LOOKED_AT);
    sql.push(
        ") SELECT (SELECT COUNT(*) FROM looked) AS calls, \
         (SELECT COUNT(*) FROM looked WHERE is_talk AND id IS NULL) AS without_id, \
         (SELECT COUNT(*) FROM (SELECT DISTINCT tenant_id, id FROM looked WHERE is_talk AND id IS NOT NULL) AS named) \
         AS with_id",
    );
    let row = ConversationCount::find_by_statement(sql.done())
        .one(connection)
        .await?;
    Ok(row.unwrap_or_default())
}

/// A tenant's conversations of a day.
#[derive(Clone, Copy, Debug, Default, Eq, FromQueryResult, PartialEq)]
pub struct ConversationDay {
    /// Start of the local day, microseconds since the Unix epoch.
    pub bucket: i64,
    /// 0 is nobody.
    pub tenant_id: i64,
    /// Distinct conversations of the calls that carry an id.
    pub with_id: i64,
    /// Calls of a conversation that carry none.
    pub without_id: i64,
    /// All calls, of whatever kind.
    pub calls: i64,
    /// Microseconds since the Unix epoch.
    pub counted_at: i64,
}

/// Counts all calls with record ids in `rids`, by tenant. Reads every one of them.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_day<C: ConnectionTrait>(
    connection: &C,
    bucket: i64,
    rids: std::ops::Range<i64>,
    now_micros: i64,
) -> Result<Vec<ConversationDay>, DbErr> {
    let mut sql = Sql::new(connection.get_database_backend(), "SELECT ");
    sql.push("CAST(")
        .bind(bucket)
        .push(" AS BIGINT) AS bucket, ");
    sql.push(&format!(
        "tenant_id, COUNT(DISTINCT CASE WHEN {IS_TALK} THEN NULLIF(conversation_id, '') END) AS with_id, \
         COUNT(CASE WHEN {IS_TALK} AND NULLIF(conversation_id, '') IS NULL THEN 1 END) AS without_id, \
         COUNT(*) AS calls, CAST("
    ));
    sql.bind(now_micros)
        .push(" AS BIGINT) AS counted_at FROM request_logs WHERE rid >= ")
        .bind(rids.start)
        .push(" AND rid < ")
        .bind(rids.end)
        .push(" GROUP BY tenant_id");
    ConversationDay::find_by_statement(sql.done())
        .all(connection)
        .await
}

/// Writes what a day came to, in place of what was known of it.
///
/// # Errors
/// When the database cannot be written.
pub async fn put_day(
    txn: &DatabaseTransaction,
    bucket: i64,
    counted: &[ConversationDay],
    now_micros: i64,
) -> Result<(), DbErr> {
    let backend = txn.get_database_backend();
    let mut sql = Sql::new(backend, "DELETE FROM conversation_daily WHERE bucket = ");
    sql.bind(bucket);
    txn.execute_raw(sql.done()).await?;
    let nobody = ConversationDay {
        bucket,
        counted_at: now_micros,
        ..ConversationDay::default()
    };
    let is_told = counted.iter().any(|row| row.tenant_id == 0);
    for row in counted.iter().chain((!is_told).then_some(&nobody)) {
        let mut sql = Sql::new(
            backend,
            "INSERT INTO conversation_daily (bucket, tenant_id, with_id, without_id, calls, counted_at) VALUES (",
        );
        sql.bind(bucket).push(", ").bind(row.tenant_id);
        for value in [row.with_id, row.without_id, row.calls, row.counted_at] {
            sql.push(", ").bind(value);
        }
        sql.push(")");
        txn.execute_raw(sql.done()).await?;
    }
    Ok(())
}

/// Days with buckets in `[from, to)`, rising: of these tenants (by their control-plane ids), or of all and nobody.
///
/// # Errors
/// When the database cannot be read.
pub async fn days<C: ConnectionTrait>(
    connection: &C,
    (from, to): (i64, i64),
    tenants: Option<&[i64]>,
) -> Result<Vec<ConversationDay>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT * FROM conversation_daily WHERE bucket >= ",
    );
    sql.bind(from).push(" AND bucket < ").bind(to);
    if let Some(tenants) = tenants {
        sql.push(" AND tenant_id IN ").bind_list(tenants);
    }
    sql.push(" ORDER BY bucket, tenant_id");
    ConversationDay::find_by_statement(sql.done())
        .all(connection)
        .await
}

/// When a day was counted last; `None` when it never was.
///
/// # Errors
/// When the database cannot be read.
pub async fn counted_at<C: ConnectionTrait>(
    connection: &C,
    bucket: i64,
) -> Result<Option<i64>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT MAX(counted_at) FROM conversation_daily WHERE bucket = ",
    );
    sql.bind(bucket);
    let row = connection.query_one_raw(sql.done()).await?;
    row.map_or(Ok(None), |row| row.try_get_by_index(0))
}
