//! Rollups of many small rows lie in the order of their keys (SQLite): a day's, or a token's of a day, is read without
//! looking each row up elsewhere, and one tree is written where there were two. Those with histograms stay as they are:
//! long rows are better off in a table of their own.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::dialect;

pub(super) struct ClusteredRollups;

impl MigrationName for ClusteredRollups {
    fn name(&self) -> &str {
        "m0059_clustered_rollups"
    }
}

/// Table and its keys beside the bucket and the node, in the order in which rows lie: a token's models, which are asked for
/// most, each in one place.
const TABLES: [(&str, &[&str]); 4] = [
    ("user_daily", &["end_user_id", "mode"]),
    (
        "usage_stats_hourly",
        &["token_id", "model_id", "account_id", "mode"],
    ),
    (
        "usage_stats_daily",
        &["token_id", "model_id", "account_id", "mode"],
    ),
    ("tenant_provider_daily", &["tenant_id", "provider_id"]),
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
impl MigrationTrait for ClusteredRollups {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            return Ok(());
        }
        for (table, keys) in TABLES {
            let counted: String = keys
                .iter()
                .chain(&SUMS)
                .map(|column| format!("{column} BIGINT NOT NULL DEFAULT 0, "))
                .collect();
            let key = format!("bucket, {}, node", keys.join(", "));
            let columns = format!("{key}, {}", SUMS.join(", "));
            // In order, so that the tree is written from one end to the other.
            let sql = format!(
                "CREATE TABLE {table}_anew (bucket BIGINT NOT NULL, {counted}node BIGINT NOT NULL DEFAULT 0, \
                 PRIMARY KEY ({key})) WITHOUT ROWID; \
                 INSERT INTO {table}_anew ({columns}) SELECT {columns} FROM {table} ORDER BY {key}; \
                 DROP TABLE {table}; ALTER TABLE {table}_anew RENAME TO {table}"
            );
            dialect::run(manager, &sql).await?;
        }
        Ok(())
    }
}
