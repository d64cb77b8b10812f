//! Calls as the log tells them to whoever keeps recent windows, and who was active on a day.

use sea_orm::{ConnectionTrait, DbErr};

use super::measures::{FACT_COLUMNS, FACT_LEN, Fact, fact};
use super::sql::Sql;

/// A row of the log with the names that windows are kept by. Empty names are nobody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecentCall {
    pub rid: i64,
    /// When it ended, microseconds since the Unix epoch.
    pub response_at: i64,
    pub model: String,
    /// Public id.
    pub account: String,
    /// Public id.
    pub token: String,
    /// Public id.
    pub tenant: String,
    pub app: String,
    pub fact: Fact,
}

/// At most `limit` rows with a rid above `after`, rising.
///
/// # Errors
/// When the database cannot be read.
pub async fn after<C: ConnectionTrait>(
    connection: &C,
    after: i64,
    limit: u64,
) -> Result<Vec<RecentCall>, DbErr> {
    let columns: Vec<String> = FACT_COLUMNS
        .split(", ")
        .map(|column| format!("l.{column}"))
        .collect();
    let mut sql = Sql::new(
        connection.get_database_backend(),
        &format!(
            "SELECT {}, l.rid, l.response_at, COALESCE(m.name, ''), COALESCE(a.public_id, ''), \
             COALESCE(t.public_id, ''), COALESCE(n.public_id, ''), COALESCE(p.name, '') FROM request_logs l \
             LEFT JOIN models m ON m.id = l.model_id LEFT JOIN dim_accounts a ON a.id = l.account_id \
             LEFT JOIN dim_tokens t ON t.id = l.token_id LEFT JOIN dim_tenants n ON n.id = l.tenant_id \
             LEFT JOIN apps p ON p.id = l.app_id WHERE l.rid > ",
            columns.join(", ")
        ),
    );
    sql.bind(after).push(" ORDER BY l.rid LIMIT ");
    sql.bind(limit as i64);
    let rows = connection.query_all_raw(sql.done()).await?;
    let each = rows.iter().map(|row| {
        Ok(RecentCall {
            fact: fact(row, 0)?,
            rid: row.try_get_by_index(FACT_LEN)?,
            response_at: row.try_get_by_index(FACT_LEN + 1)?,
            model: row.try_get_by_index(FACT_LEN + 2)?,
            account: row.try_get_by_index(FACT_LEN + 3)?,
            token: row.try_get_by_index(FACT_LEN + 4)?,
            tenant: row.try_get_by_index(FACT_LEN + 5)?,
            app: row.try_get_by_index(FACT_LEN + 6)?,
        })
    });
    each.collect()
}

/// Distinct end users of the day that begins at `bucket`: all, and those who were signed in with a JWT.
///
/// # Errors
/// When the database cannot be read.
pub async fn active_users<C: ConnectionTrait>(
    connection: &C,
    bucket: i64,
) -> Result<(i64, i64), DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT CAST(count(DISTINCT end_user_id) AS BIGINT), \
         CAST(count(DISTINCT CASE WHEN mode = 1 THEN end_user_id END) AS BIGINT) \
         FROM user_daily WHERE end_user_id <> 0 AND bucket = ",
    );
    sql.bind(bucket);
    let row = connection.query_one_raw(sql.done()).await?;
    row.map_or(Ok((0, 0)), |row| {
        Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))
    })
}
