//! How many of the tokens written to a cache it keeps for an hour: they cost more than those it keeps for minutes.
//!
//! Most calls write none: NULL costs a row next to nothing.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::dialect;

pub(super) struct HourCache;

impl MigrationName for HourCache {
    fn name(&self) -> &str {
        "m0053_hour_cache"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for HourCache {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The view as it was, with one column more at its end.
        let view = match manager.get_database_backend() {
            DbBackend::Postgres => include_str!("m0013_prompts.postgres.sql"),
            _ => include_str!("m0013_prompts.sqlite.sql"),
        };
        let view = view.replace(
            "v.name AS prompt",
            "v.name AS prompt, l.knowledge, COALESCE(l.cache_write_1h_tokens, 0) AS cache_write_1h_tokens",
        );
        dialect::run(
            manager,
            &format!(
                "ALTER TABLE request_logs ADD COLUMN cache_write_1h_tokens BIGINT; \
                 DROP VIEW request_log_view; {view}"
            ),
        )
        .await
    }
}
