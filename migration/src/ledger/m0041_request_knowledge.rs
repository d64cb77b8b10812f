//! What of the tenant's knowledge a call was given: public ids of pairs, or a word for why none.
//!
//! Most calls are given nothing and nobody asked: NULL costs a row next to nothing.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::dialect;

pub(super) struct RequestKnowledge;

impl MigrationName for RequestKnowledge {
    fn name(&self) -> &str {
        "m0041_request_knowledge"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for RequestKnowledge {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The view as it was, with one column more at its end.
        let view = match manager.get_database_backend() {
            DbBackend::Postgres => include_str!("m0013_prompts.postgres.sql"),
            _ => include_str!("m0013_prompts.sqlite.sql"),
        };
        let view = view.replace("v.name AS prompt", "v.name AS prompt, l.knowledge");
        dialect::run(
            manager,
            &format!(
                "ALTER TABLE request_logs ADD COLUMN knowledge TEXT; DROP VIEW request_log_view; {view}"
            ),
        )
        .await
    }
}
