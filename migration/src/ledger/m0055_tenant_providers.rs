//! What a tenant's calls came to per day and provider.
//!
//! It begins empty: a day that is not counted as a whole shows by counting fewer calls than `tenant_daily`, and is counted
//! from the log as long as that has it. Calls of no tenant are not counted.

use sea_orm_migration::prelude::*;

use crate::dialect;

pub(super) struct TenantProviders;

impl MigrationName for TenantProviders {
    fn name(&self) -> &str {
        "m0055_tenant_providers"
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
impl MigrationTrait for TenantProviders {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sums: String = SUMS
            .iter()
            .map(|column| format!("{column} BIGINT NOT NULL DEFAULT 0, "))
            .collect();
        // The bucket is the start of the local day in microseconds since the epoch.
        let rollup = format!(
            "CREATE TABLE tenant_provider_daily (bucket BIGINT NOT NULL, tenant_id BIGINT NOT NULL DEFAULT 0, \
             provider_id BIGINT NOT NULL DEFAULT 0, {sums}node BIGINT NOT NULL DEFAULT 0, \
             PRIMARY KEY (bucket, tenant_id, provider_id, node))"
        );
        dialect::run(manager, &rollup).await
    }
}
