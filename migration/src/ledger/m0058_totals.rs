//! What all calls came to per hour and day: one row, where there was one for each model and provider.
//!
//! They begin with what was counted by model. Histograms are merged here: no database can.

use std::collections::BTreeMap;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, Statement};
use steward_entities::ledger::histogram::Summing;

use crate::dialect;

pub(super) struct Totals;

impl MigrationName for Totals {
    fn name(&self) -> &str {
        "m0058_totals"
    }
}

const TABLES: [(&str, &str); 2] = [
    ("total_hourly", "model_hourly"),
    ("total_daily", "model_daily"),
];
const HISTOGRAMS: [&str; 2] = ["duration_histogram", "ttft_histogram"];
/// Buckets whose histograms are merged at a time.
const BUCKETS_AT_ONCE: usize = 100;

const SUMS: [&str; 19] = [
    "request_count",
    "success_count",
    "client_error_count",
    "rate_limited_count",
    "upstream_error_count",
    "cancelled_count",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "estimated_count",
    "unpriced_count",
    "duration_ms_sum",
    "ttft_ms_sum",
    "ttft_count",
    "cost_usd_nano",
    "cost_cny_nano",
];

#[async_trait::async_trait]
impl MigrationTrait for Totals {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, models) in TABLES {
            let columns: String = SUMS
                .iter()
                .map(|column| format!("{column} BIGINT NOT NULL DEFAULT 0, "))
                .collect();
            // The bucket is the start of the local hour or day in microseconds since the epoch.
            let create = format!(
                "CREATE TABLE {table} (bucket BIGINT NOT NULL, {columns}\
                 duration_histogram $BYTES NOT NULL, ttft_histogram $BYTES NOT NULL, \
                 node BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (bucket, node))"
            );
            dialect::run(manager, &create).await?;
            let summed: String = SUMS
                .iter()
                .map(|column| format!("CAST(SUM({column}) AS BIGINT), "))
                .collect();
            let listed = SUMS.join(", ");
            let fill = format!(
                "INSERT INTO {table} (bucket, {listed}, duration_histogram, ttft_histogram, node) \
                 SELECT bucket, {summed}CAST('' AS $BYTES), CAST('' AS $BYTES), node FROM {models} GROUP BY bucket, node"
            );
            dialect::run(manager, &fill).await?;
            merge(manager, table, models).await?;
        }
        Ok(())
    }
}

async fn merge(manager: &SchemaManager<'_>, table: &str, models: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let backend = manager.get_database_backend();
    let asked = Statement::from_string(
        backend,
        format!("SELECT DISTINCT bucket FROM {table} ORDER BY bucket"),
    );
    let rows = connection.query_all_raw(asked).await?;
    let buckets: Vec<i64> = rows
        .iter()
        .map(|row| row.try_get_by_index(0))
        .collect::<Result<_, _>>()?;
    for some in buckets.chunks(BUCKETS_AT_ONCE) {
        let (Some(first), Some(last)) = (some.first(), some.last()) else {
            break;
        };
        let asked = Statement::from_sql_and_values(
            backend,
            format!(
                "SELECT bucket, node, {} FROM {models} WHERE bucket >= $1 AND bucket <= $2",
                HISTOGRAMS.join(", ")
            ),
            [(*first).into(), (*last).into()],
        );
        let mut sums: BTreeMap<(i64, i64), [Summing; 2]> = BTreeMap::new();
        for row in connection.query_all_raw(asked).await? {
            let key = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            for (at, sum) in sums.entry(key).or_default().iter_mut().enumerate() {
                let bytes: Vec<u8> = row.try_get_by_index(2 + at)?;
                if sum.add(&bytes).is_err() {
                    // As everywhere: a histogram that cannot be read is given up, the sums beside it stay right.
                    sum.take();
                }
            }
        }
        for ((bucket, node), [mut duration, mut ttft]) in sums {
            let update = Statement::from_sql_and_values(
                backend,
                format!(
                    "UPDATE {table} SET duration_histogram = $1, ttft_histogram = $2 WHERE bucket = $3 AND node = $4"
                ),
                [
                    duration.take().encode().into(),
                    ttft.take().encode().into(),
                    bucket.into(),
                    node.into(),
                ],
            );
            connection.execute_raw(update).await?;
        }
    }
    Ok(())
}
