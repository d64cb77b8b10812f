//! What tokens and tenants used in their life, kept by the writer per node and added up here.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::sql::Sql;

/// Sums over all nodes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Total {
    pub total_requests: i64,
    pub total_tokens: i64,
    /// Microseconds since the Unix epoch; when the last answer ended.
    pub last_at: i64,
}

#[derive(FromQueryResult)]
struct Row {
    id: i64,
    total_requests: i64,
    total_tokens: i64,
    last_at: i64,
}

/// Totals of tokens by their control-plane ids; ids never used are missing.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_tokens<C: ConnectionTrait>(
    connection: &C,
    ids: &[i64],
) -> Result<HashMap<i64, Total>, DbErr> {
    read(
        connection,
        "token_totals",
        "token_id",
        "last_used_at",
        Some(ids),
    )
    .await
}

/// Totals of every token. For counters that start with what was used before (quotas, at boot).
///
/// # Errors
/// When the database cannot be read.
pub async fn of_all_tokens<C: ConnectionTrait>(
    connection: &C,
) -> Result<HashMap<i64, Total>, DbErr> {
    read(connection, "token_totals", "token_id", "last_used_at", None).await
}

/// Totals of tenants by their control-plane ids; ids never active are missing.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_tenants<C: ConnectionTrait>(
    connection: &C,
    ids: &[i64],
) -> Result<HashMap<i64, Total>, DbErr> {
    read(
        connection,
        "tenant_totals",
        "tenant_id",
        "last_active_at",
        Some(ids),
    )
    .await
}

/// Totals of every tenant. For a list that is in their order.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_all_tenants<C: ConnectionTrait>(
    connection: &C,
) -> Result<HashMap<i64, Total>, DbErr> {
    read(
        connection,
        "tenant_totals",
        "tenant_id",
        "last_active_at",
        None,
    )
    .await
}

async fn read<C: ConnectionTrait>(
    connection: &C,
    table: &str,
    key: &str,
    last: &str,
    ids: Option<&[i64]>,
) -> Result<HashMap<i64, Total>, DbErr> {
    let text = format!(
        "SELECT {key} AS id, CAST(sum(total_requests) AS BIGINT) AS total_requests, \
         CAST(sum(total_tokens) AS BIGINT) AS total_tokens, max({last}) AS last_at FROM {table}"
    );
    let mut sql = Sql::new(connection.get_database_backend(), &text);
    if let Some(ids) = ids {
        sql.push(" WHERE ").push(key).push(" IN ").bind_list(ids);
    }
    sql.push(" GROUP BY ").push(key);
    let rows = Row::find_by_statement(sql.done()).all(connection).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let total = Total {
                total_requests: row.total_requests,
                total_tokens: row.total_tokens,
                last_at: row.last_at,
            };
            (row.id, total)
        })
        .collect())
}
