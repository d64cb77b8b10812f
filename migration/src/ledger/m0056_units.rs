//! What a provider counts in place of tokens: the read units of a vector store.
//!
//! Most calls have none: NULL costs a row next to nothing.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::dialect;

pub(super) struct Units;

impl MigrationName for Units {
    fn name(&self) -> &str {
        "m0056_units"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Units {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The view as it was, with one column more at its end.
        let view = match manager.get_database_backend() {
            DbBackend::Postgres => include_str!("m0013_prompts.postgres.sql"),
            _ => include_str!("m0013_prompts.sqlite.sql"),
        };
        let view = view.replace(
            "v.name AS prompt",
            "v.name AS prompt, l.knowledge, COALESCE(l.cache_write_1h_tokens, 0) AS cache_write_1h_tokens, \
             COALESCE(l.units, 0) AS units",
        );
        dialect::run(
            manager,
            &format!(
                "ALTER TABLE request_logs ADD COLUMN units BIGINT; DROP VIEW request_log_view; {view}"
            ),
        )
        .await
    }
}
