//! Rollups of all calls, compared with those by model: while nodes of two versions write to one database, the older one
//! counts its calls by model only.
//!
//! A row belongs to one node, so what is wrong with it can be put right from that node's rows by model. Whoever does that
//! keeps the node from counting meanwhile.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement, Value};

use super::measures::{Measures, SUMS};
use super::rollup::{self, MODEL_DAILY, MODEL_HOURLY, RollupTable, TOTAL_DAILY, TOTAL_HOURLY};
use super::sql::Sql;
use crate::database::push_place;

/// A rollup of all calls, and the one by model that counts the same.
pub type Pair = (&'static RollupTable, &'static RollupTable);

/// All of them.
pub static PAIRS: [Pair; 2] = [(&TOTAL_HOURLY, &MODEL_HOURLY), (&TOTAL_DAILY, &MODEL_DAILY)];

/// Buckets from `since` on, and the node of each, where the two do not count the same calls.
///
/// # Errors
/// When the database cannot be read.
pub async fn differing<C: ConnectionTrait>(
    connection: &C,
    (totals, models): Pair,
    since: i64,
) -> Result<Vec<(i64, u8)>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT bucket, CAST(node AS BIGINT) FROM (SELECT bucket, node, request_count AS calls FROM ",
    );
    sql.push(models.name).push(" WHERE bucket >= ").bind(since);
    sql.push(" UNION ALL SELECT bucket, node, -request_count AS calls FROM ");
    sql.push(totals.name).push(" WHERE bucket >= ").bind(since);
    sql.push(") AS counted GROUP BY bucket, node HAVING sum(calls) <> 0 ORDER BY bucket, node");
    let found = connection.query_all_raw(sql.done()).await?;
    let each = found.iter().map(|row| {
        let node: i64 = row.try_get_by_index(1)?;
        let node = u8::try_from(node).map_err(|error| DbErr::Type(error.to_string()))?;
        Ok((row.try_get_by_index(0)?, node))
    });
    each.collect()
}

/// Counts a bucket of a node anew, from its rows by model. Nobody counts for that node until `txn` ends.
///
/// # Errors
/// When the database cannot be read or written, or a histogram in it not read.
pub async fn count_anew(
    txn: &DatabaseTransaction,
    (totals, models): Pair,
    bucket: i64,
    node: u8,
) -> Result<(), DbErr> {
    let of_node = [i64::from(node)];
    let only: [(&str, &[i64]); 1] = [("node", &of_node)];
    let mut all = Measures::default();
    for row in rollup::rows(txn, models, (bucket, bucket + 1), &only).await? {
        all.merge(&row.measures);
    }
    let backend = txn.get_database_backend();
    let delete = format!(
        "DELETE FROM {} WHERE bucket = $1 AND node = $2",
        totals.name
    );
    let key: [Value; 2] = [bucket.into(), i64::from(node).into()];
    txn.execute_raw(Statement::from_sql_and_values(backend, delete, key.clone()))
        .await?;
    let mut values: Vec<Value> = key.into();
    values.extend(all.sums.map(Value::from));
    values.extend([all.duration.encode().into(), all.ttft.encode().into()]);
    let mut insert = format!(
        "INSERT INTO {} (bucket, node, {}, duration_histogram, ttft_histogram) VALUES (",
        totals.name,
        SUMS.join(", ")
    );
    for at in 1..=values.len() {
        insert.push_str(if at == 1 { "" } else { ", " });
        push_place(&mut insert, backend, at);
    }
    insert.push(')');
    txn.execute_raw(Statement::from_sql_and_values(backend, insert, values))
        .await?;
    Ok(())
}
