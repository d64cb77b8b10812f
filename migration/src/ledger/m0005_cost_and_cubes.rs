//! What calls cost, and who made them: cost in every rollup, users per day, and counts per token, account, mode and model.
//!
//! Everything counted so far is counted anew from the log: the new tables need the whole of it, and a rollup that begins
//! somewhere in the middle would be believed. Charges are kept in the currency they were made in.

use sea_orm_migration::prelude::*;

use crate::dialect;

pub(super) struct CostAndCubes;

impl MigrationName for CostAndCubes {
    fn name(&self) -> &str {
        "m0005_cost_and_cubes"
    }
}

const COUNTED: [&str; 6] = [
    "model_hourly",
    "model_daily",
    "token_daily",
    "account_daily",
    "tenant_daily",
    "app_daily",
];

/// Table and its keys beside the bucket and the node. They keep sums and no histograms.
const TABLES: [(&str, &[&str]); 3] = [
    ("user_daily", &["end_user_id", "mode"]),
    (
        "usage_stats_hourly",
        &["token_id", "account_id", "mode", "model_id"],
    ),
    (
        "usage_stats_daily",
        &["token_id", "account_id", "mode", "model_id"],
    ),
];

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
impl MigrationTrait for CostAndCubes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in COUNTED {
            for currency in ["usd", "cny"] {
                let sql = format!(
                    "ALTER TABLE {table} ADD COLUMN cost_{currency}_nano BIGINT NOT NULL DEFAULT 0"
                );
                dialect::run(manager, &sql).await?;
            }
            dialect::run(manager, &format!("DELETE FROM {table}")).await?;
        }
        for (table, keys) in TABLES {
            let columns: String = keys
                .iter()
                .chain(&SUMS)
                .map(|column| format!("{column} BIGINT NOT NULL DEFAULT 0, "))
                .collect();
            let sql = format!(
                "CREATE TABLE {table} (bucket BIGINT NOT NULL, {columns}\
                 node BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (bucket, {}, node))",
                keys.join(", ")
            );
            dialect::run(manager, &sql).await?;
        }
        dialect::run(
            manager,
            "UPDATE rollup_backfill SET \
             next_rid = (SELECT COALESCE(min(rid), 0) FROM request_logs), \
             below_rid = (SELECT COALESCE(max(rid) + 1, 0) FROM request_logs)",
        )
        .await
    }
}
