//! Figures of a day that are derived from the log: who was active, and what the day's calls came to.
//!
//! One row a day for all nodes, always derived whole, so that deriving it again changes nothing. `recounted_at` and
//! `differences` tell when the day was last recounted from the log and how many rollup figures were off by then.

use sea_orm_migration::prelude::*;

use crate::dialect;

pub(super) struct DailyStatistics;

impl MigrationName for DailyStatistics {
    fn name(&self) -> &str {
        "m0006_daily_statistics"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for DailyStatistics {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The bucket is the start of the local day in microseconds since the epoch, as in the rollups.
        dialect::run(
            manager,
            "CREATE TABLE user_activity_stats (bucket BIGINT NOT NULL PRIMARY KEY, stat_date TEXT NOT NULL, \
             daily_active_users BIGINT NOT NULL, jwt_active_users BIGINT NOT NULL, updated_at BIGINT NOT NULL); \
             CREATE TABLE ai_request_stats (bucket BIGINT NOT NULL PRIMARY KEY, stat_date TEXT NOT NULL, \
             request_count BIGINT NOT NULL, success_count BIGINT NOT NULL, error_count BIGINT NOT NULL, \
             prompt_tokens BIGINT NOT NULL, completion_tokens BIGINT NOT NULL, total_tokens BIGINT NOT NULL, \
             updated_at BIGINT NOT NULL, recounted_at BIGINT, differences BIGINT)",
        )
        .await
    }
}
