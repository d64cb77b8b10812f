//! How many conversations calls make up: distinct ones where calls carry an id, and each call by itself where none does.
//!
//! Counted from the log, newest first, and bounded: nothing keeps which ids were seen.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql::Sql;

/// Newest calls of a stretch that are looked at.
pub const CALLS_LOOKED_AT: i64 = 500_000;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, Eq, FromQueryResult, PartialEq)]
pub struct ConversationCount {
    /// Calls looked at; [`CALLS_LOOKED_AT`] when there may be more.
    pub calls: i64,
    /// Calls that carry no id.
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
        "WITH looked AS (SELECT tenant_id, NULLIF(conversation_id, '') AS id FROM request_logs WHERE rid >= ",
    );
    sql.bind(rids.start).push(" AND rid < ").bind(rids.end);
    if let Some(tenant) = tenant {
        sql.push(" AND tenant_id = ").bind(tenant);
    }
    sql.push(" ORDER BY rid DESC LIMIT ").bind(CALLS_LOOKED_AT);
    sql.push(
        ") SELECT (SELECT COUNT(*) FROM looked) AS calls, (SELECT COUNT(*) FROM looked WHERE id IS NULL) AS without_id, \
         (SELECT COUNT(*) FROM (SELECT DISTINCT tenant_id, id FROM looked WHERE id IS NOT NULL) AS named) AS with_id",
    );
    let row = ConversationCount::find_by_statement(sql.done())
        .one(connection)
        .await?;
    Ok(row.unwrap_or_default())
}
