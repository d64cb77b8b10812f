//! Which version of a prompt a call was made with, and what such calls came to per day.
//!
//! Most calls name none: NULL costs a row next to nothing, the index holds only calls that do, and the rollup leaves the
//! others out, so that nothing that is on the books already has to be counted for it.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::dialect;

pub(super) struct Prompts;

impl MigrationName for Prompts {
    fn name(&self) -> &str {
        "m0013_prompts"
    }
}

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
impl MigrationTrait for Prompts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Ids are the control plane's, `public_id` is the prompt's, `name` is `name@number`.
        dialect::run(
            manager,
            "ALTER TABLE request_logs ADD COLUMN prompt_version_id BIGINT; \
             CREATE INDEX request_logs_prompt ON request_logs (prompt_version_id, rid) WHERE prompt_version_id IS NOT NULL; \
             CREATE TABLE dim_prompt_versions (id BIGINT NOT NULL PRIMARY KEY, public_id TEXT NOT NULL, name TEXT NOT NULL); \
             CREATE INDEX dim_prompt_versions_public_id ON dim_prompt_versions (public_id); \
             CREATE INDEX dim_prompt_versions_name ON dim_prompt_versions (name)",
        )
        .await?;
        let sums: String = SUMS
            .iter()
            .map(|column| format!("{column} BIGINT NOT NULL DEFAULT 0, "))
            .collect();
        // The bucket is the start of the local day in microseconds since the epoch.
        let rollup = format!(
            "CREATE TABLE prompt_daily (bucket BIGINT NOT NULL, prompt_version_id BIGINT NOT NULL DEFAULT 0, {sums}\
             duration_histogram $BYTES NOT NULL, ttft_histogram $BYTES NOT NULL, \
             node BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (bucket, prompt_version_id, node))"
        );
        dialect::run(manager, &rollup).await?;
        let view = match manager.get_database_backend() {
            DbBackend::Postgres => include_str!("m0013_prompts.postgres.sql"),
            _ => include_str!("m0013_prompts.sqlite.sql"),
        };
        dialect::run(manager, &format!("DROP VIEW request_log_view; {view}")).await
    }
}
