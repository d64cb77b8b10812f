//! Models that were called without a price, from the daily rollup.

use sea_orm::{ConnectionTrait, DbErr};

use super::sql::Sql;

/// A model of a provider that had calls with tokens and no price.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unpriced {
    /// As the callers named it.
    pub model: String,
    pub provider: String,
    pub unpriced_count: i64,
    /// Model tokens of the days that had such calls, priced ones of these days included.
    pub total_tokens: i64,
    /// Start of the last such day, microseconds since the Unix epoch.
    pub last_day: i64,
}

/// Those of the days that begin in `[from, to)`, most calls first, at most `limit`.
///
/// # Errors
/// When the database cannot be read.
pub async fn models<C: ConnectionTrait>(
    connection: &C,
    (from, to): (i64, i64),
    limit: u64,
) -> Result<Vec<Unpriced>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT m.name, p.name, CAST(sum(d.unpriced_count) AS BIGINT) AS calls, \
         CAST(sum(d.total_tokens) AS BIGINT), max(d.bucket) \
         FROM model_daily d JOIN models m ON m.id = d.model_id JOIN providers p ON p.id = d.provider_id \
         WHERE d.unpriced_count > 0 AND d.bucket >= ",
    );
    sql.bind(from).push(" AND d.bucket < ").bind(to);
    sql.push(" GROUP BY m.name, p.name ORDER BY calls DESC, p.name, m.name LIMIT ");
    sql.bind(limit.cast_signed());
    let rows = connection.query_all_raw(sql.done()).await?;
    let each = rows.iter().map(|row| {
        Ok(Unpriced {
            model: row.try_get_by_index(0)?,
            provider: row.try_get_by_index(1)?,
            unpriced_count: row.try_get_by_index(2)?,
            total_tokens: row.try_get_by_index(3)?,
            last_day: row.try_get_by_index(4)?,
        })
    });
    each.collect()
}
