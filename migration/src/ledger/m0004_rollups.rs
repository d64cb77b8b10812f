//! Rollups per hour and day, the providers they refer to, and how far the log from before them has been counted.

use sea_orm_migration::prelude::*;

use crate::dialect;

pub(super) struct Rollups;

impl MigrationName for Rollups {
    fn name(&self) -> &str {
        "m0004_rollups"
    }
}

/// Table and its keys beside the bucket and the node.
const TABLES: [(&str, &[&str]); 6] = [
    ("model_hourly", &["model_id", "provider_id"]),
    ("model_daily", &["model_id", "provider_id"]),
    ("token_daily", &["token_id"]),
    ("account_daily", &["account_id"]),
    ("tenant_daily", &["tenant_id"]),
    ("app_daily", &["app_id"]),
];

const SUMS: [&str; 17] = [
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
];

#[async_trait::async_trait]
impl MigrationTrait for Rollups {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, keys) in TABLES {
            // 0 is nobody: a NULL in a key would double rows on upsert.
            let columns: String = keys
                .iter()
                .chain(&SUMS)
                .map(|column| format!("{column} BIGINT NOT NULL DEFAULT 0, "))
                .collect();
            // The bucket is the start of the local hour or day in microseconds since the epoch.
            let sql = format!(
                "CREATE TABLE {table} (bucket BIGINT NOT NULL, {columns}\
                 duration_histogram $BYTES NOT NULL, ttft_histogram $BYTES NOT NULL, \
                 node BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (bucket, {}, node))",
                keys.join(", ")
            );
            dialect::run(manager, &sql).await?;
        }
        dialect::run(
            manager,
            "CREATE TABLE providers (id $PK, name TEXT NOT NULL UNIQUE); \
             INSERT INTO providers (name) SELECT DISTINCT provider FROM request_logs WHERE provider <> ''; \
             CREATE TABLE rollup_backfill (id BIGINT NOT NULL PRIMARY KEY, next_rid BIGINT NOT NULL, below_rid BIGINT NOT NULL); \
             INSERT INTO rollup_backfill (id, next_rid, below_rid) SELECT 1, COALESCE(min(rid), 0), COALESCE(max(rid) + 1, 0) FROM request_logs",
        )
        .await
    }
}
