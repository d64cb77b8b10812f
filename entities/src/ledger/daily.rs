//! Figures of a day, derived from the log and the rollups: one row a day for all nodes, always written whole.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::backfill;
use super::sql::Sql;

/// Who was active on a day.
#[derive(Clone, Debug, Eq, FromQueryResult, PartialEq)]
pub struct UserActivity {
    /// Start of the local day, microseconds since the Unix epoch.
    pub bucket: i64,
    /// `YYYY-MM-DD`.
    pub stat_date: String,
    /// Distinct end users, however they signed in.
    pub daily_active_users: i64,
    /// Those who were signed in with a JWT.
    pub jwt_active_users: i64,
    /// Microseconds since the Unix epoch.
    pub updated_at: i64,
}

/// What a day's calls came to.
#[derive(Clone, Debug, Eq, FromQueryResult, PartialEq)]
pub struct AiRequests {
    /// Start of the local day, microseconds since the Unix epoch.
    pub bucket: i64,
    /// `YYYY-MM-DD`.
    pub stat_date: String,
    pub request_count: i64,
    pub success_count: i64,
    pub error_count: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub total_tokens: i64,
    /// Microseconds since the Unix epoch.
    pub updated_at: i64,
    /// When the day was last recounted from the log, microseconds since the Unix epoch.
    pub recounted_at: Option<i64>,
    /// Figures of rollups that were off then.
    pub differences: Option<i64>,
}

/// Writes both rows of a day; what a recount found stays.
///
/// # Errors
/// When the database cannot be written.
pub async fn put<C: ConnectionTrait>(
    connection: &C,
    users: &UserActivity,
    requests: &AiRequests,
) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let mut sql = Sql::new(
        backend,
        "INSERT INTO user_activity_stats (bucket, stat_date, daily_active_users, jwt_active_users, updated_at) VALUES (",
    );
    sql.bind(users.bucket)
        .push(", ")
        .bind(users.stat_date.as_str());
    for value in [
        users.daily_active_users,
        users.jwt_active_users,
        users.updated_at,
    ] {
        sql.push(", ").bind(value);
    }
    sql.push(
        ") ON CONFLICT (bucket) DO UPDATE SET stat_date = excluded.stat_date, \
         daily_active_users = excluded.daily_active_users, jwt_active_users = excluded.jwt_active_users, \
         updated_at = excluded.updated_at",
    );
    connection.execute_raw(sql.done()).await?;
    let mut sql = Sql::new(
        backend,
        "INSERT INTO ai_request_stats (bucket, stat_date, request_count, success_count, error_count, prompt_tokens, \
         completion_tokens, total_tokens, updated_at) VALUES (",
    );
    sql.bind(requests.bucket)
        .push(", ")
        .bind(requests.stat_date.as_str());
    for value in [
        requests.request_count,
        requests.success_count,
        requests.error_count,
        requests.prompt_tokens,
        requests.completion_tokens,
        requests.total_tokens,
        requests.updated_at,
    ] {
        sql.push(", ").bind(value);
    }
    sql.push(
        ") ON CONFLICT (bucket) DO UPDATE SET stat_date = excluded.stat_date, \
         request_count = excluded.request_count, success_count = excluded.success_count, \
         error_count = excluded.error_count, prompt_tokens = excluded.prompt_tokens, \
         completion_tokens = excluded.completion_tokens, total_tokens = excluded.total_tokens, \
         updated_at = excluded.updated_at",
    );
    connection.execute_raw(sql.done()).await?;
    Ok(())
}

/// Writes down what a recount of a day found; does nothing for a day that has no row.
///
/// # Errors
/// When the database cannot be written.
pub async fn recounted<C: ConnectionTrait>(
    connection: &C,
    bucket: i64,
    at_micros: i64,
    differences: i64,
) -> Result<(), DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "UPDATE ai_request_stats SET recounted_at = ",
    );
    sql.bind(at_micros)
        .push(", differences = ")
        .bind(differences)
        .push(" WHERE bucket = ")
        .bind(bucket);
    connection.execute_raw(sql.done()).await?;
    Ok(())
}

/// Figures that recounts made since `at_micros` found to be off.
///
/// # Errors
/// When the database cannot be read.
pub async fn differences_since<C: ConnectionTrait>(
    connection: &C,
    at_micros: i64,
) -> Result<i64, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT CAST(COALESCE(sum(differences), 0) AS BIGINT) FROM ai_request_stats WHERE recounted_at >= ",
    );
    sql.bind(at_micros);
    let row = connection.query_one_raw(sql.done()).await?;
    let count = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(count.unwrap_or_default())
}

/// Days with buckets in `[from, to)`, rising.
///
/// # Errors
/// When the database cannot be read.
pub async fn user_activity<C: ConnectionTrait>(
    connection: &C,
    (from, to): (i64, i64),
) -> Result<Vec<UserActivity>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT * FROM user_activity_stats WHERE bucket >= ",
    );
    sql.bind(from)
        .push(" AND bucket < ")
        .bind(to)
        .push(" ORDER BY bucket");
    UserActivity::find_by_statement(sql.done())
        .all(connection)
        .await
}

/// Days with buckets in `[from, to)`, rising.
///
/// # Errors
/// When the database cannot be read.
pub async fn ai_requests<C: ConnectionTrait>(
    connection: &C,
    (from, to): (i64, i64),
) -> Result<Vec<AiRequests>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT * FROM ai_request_stats WHERE bucket >= ",
    );
    sql.bind(from)
        .push(" AND bucket < ")
        .bind(to)
        .push(" ORDER BY bucket");
    AiRequests::find_by_statement(sql.done())
        .all(connection)
        .await
}

/// Days that have rollups and not all derived rows yet, the newest first, at most `limit`.
///
/// # Errors
/// When the database cannot be read.
pub async fn missing<C: ConnectionTrait>(connection: &C, limit: u64) -> Result<Vec<i64>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT DISTINCT bucket FROM total_daily WHERE bucket NOT IN (SELECT bucket FROM ai_request_stats) \
         OR bucket NOT IN (SELECT bucket FROM conversation_daily) ORDER BY bucket DESC LIMIT ",
    );
    sql.bind(limit as i64);
    let rows = connection.query_all_raw(sql.done()).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Starts of the days that have rollups, rising.
///
/// # Errors
/// When the database cannot be read.
pub async fn counted<C: ConnectionTrait>(connection: &C) -> Result<Vec<i64>, DbErr> {
    let sql = Sql::new(
        connection.get_database_backend(),
        "SELECT DISTINCT bucket FROM total_daily ORDER BY bucket",
    );
    let rows = connection.query_all_raw(sql.done()).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Whether earlier calls are still being counted, since the rollups or their days are new: until then days gone by are
/// told too low.
///
/// # Errors
/// When the database cannot be read.
pub async fn is_backfilling<C: ConnectionTrait>(connection: &C) -> Result<bool, DbErr> {
    Ok(!backfill::rest(connection).await?.is_done())
}
